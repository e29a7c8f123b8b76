/**
 * Network configuration lists (CNI specification, section 1): read, checked, and taken apart. What a file says decides which
 * program root runs, so names are checked before anything is made of them. Pure.
 */

import { OBJECT_NAME } from "../../daemon/spec/container.ts";
import { invalid } from "../../daemon/spec/errors.ts";

/** Versions of the specification that nyx speaks, oldest first. Lists, and results of this shape, begin with 0.3.0. */
export const CNI_VERSIONS = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;
/** One of {@linkcode CNI_VERSIONS}. */
export type CniVersion = (typeof CNI_VERSIONS)[number];

/** One plugin's configuration; all but `type` is the plugin's own affair. */
export type PluginConfig = Record<string, unknown> & { type: string };

/** A network as CNI knows it. */
export interface ConfigList {
  name: string;
  cniVersion: CniVersion;
  /** CHECK must not be asked of it. */
  disableCheck: boolean;
  /** GC must not be asked of it. */
  disableGC: boolean;
  /** In the order of ADD. */
  plugins: PluginConfig[];
}

/** Names of plugins, which become names of files, and names of networks. */
const PLUGIN_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/;
const MOST_PLUGINS = 32;
/** Names that mean something else to `--network`. */
const RESERVED = new Set(["bridge", "default", "host", "none", "container"]);

/** Whether a value is a JSON object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether a list's version is at least `wanted`. */
export function atLeast(version: CniVersion, wanted: CniVersion): boolean {
  return CNI_VERSIONS.indexOf(version) >= CNI_VERSIONS.indexOf(wanted);
}

/** Refuses a plugin's name that could lead out of the directory of plugins. */
export function checkPluginName(type: unknown, where: string): asserts type is string {
  if (typeof type === "string" && PLUGIN_NAME.test(type)) return;
  throw invalid(`plugin type of ${where}`, type ?? "", "it is the name of a file in the directory of plugins, no path");
}

/** The newest version that the file names and nyx speaks. */
function versionOf(config: Record<string, unknown>, where: string): CniVersion {
  const { cniVersion, cniVersions = [] } = config;
  const named = [cniVersion, ...Array.isArray(cniVersions) ? cniVersions : []];
  const found = CNI_VERSIONS.findLast((v) => named.includes(v));
  if (found !== undefined) return found;
  throw invalid(`cniVersion of ${where}`, cniVersion ?? "", `nyx speaks ${CNI_VERSIONS.join(", ")}`);
}

function flag(value: unknown, field: string, where: string): boolean {
  if (value === undefined || value === false || value === "false") return false;
  if (value === true || value === "true") return true;
  throw invalid(`${field} of ${where}`, JSON.stringify(value), "write true or false");
}

function checkPlugin(plugin: unknown, where: string): asserts plugin is PluginConfig {
  if (!isObject(plugin)) throw invalid(`plugin of ${where}`, JSON.stringify(plugin), "each plugin is an object");
  checkPluginName(plugin.type, where);
  // These name programs as well, which the plugin starts.
  for (const field of ["ipam", "delegate"]) {
    const inner = plugin[field];
    if (isObject(inner) && inner.type !== undefined) checkPluginName(inner.type, `${field} of ${where}`);
  }
}

/**
 * Checks a list, or the configuration of a single plugin, which becomes a list of one.
 *
 * @param value JSON value
 * @param where file, for messages
 * @throws NyxError invalid_argument that names the field
 */
export function parseConfigList(value: unknown, where: string): ConfigList {
  if (!isObject(value)) throw invalid("network configuration", where, "it must be a JSON object");
  const { name } = value;
  if (typeof name !== "string" || !OBJECT_NAME.test(name)) {
    throw invalid(`network name of ${where}`, JSON.stringify(name) ?? "", "use letters, digits and _.-");
  }
  if (RESERVED.has(name)) throw invalid(`network name of ${where}`, name, "nyx means something else by it");
  const plugins = value.plugins ?? [value];
  if (!Array.isArray(plugins) || plugins.length === 0 || plugins.length > MOST_PLUGINS) {
    throw invalid(`plugins of ${where}`, name, `list 1 to ${MOST_PLUGINS} of them`);
  }
  for (const plugin of plugins) checkPlugin(plugin, where);
  return {
    name,
    cniVersion: versionOf(value, where),
    disableCheck: flag(value.disableCheck, "disableCheck", where),
    disableGC: flag(value.disableGC, "disableGC", where),
    plugins,
  };
}

/** Whether a plugin declares a capability. */
export function declares(plugin: PluginConfig, capability: string): boolean {
  return isObject(plugin.capabilities) && plugin.capabilities[capability] === true;
}

/** Whether some plugin of a list declares a capability. */
export function offers(list: ConfigList, capability: string): boolean {
  return list.plugins.some((plugin) => declares(plugin, capability));
}

const DEFAULT_ROUTES = new Set(["0.0.0.0/0", "::/0"]);

/**
 * The list without what gives a container its default route: for a network of several that is not the one with the way out. Two
 * default routes would send packets now here, now there.
 */
export function withoutDefaultRoute(list: ConfigList): ConfigList {
  const plugins = list.plugins.map((plugin) => {
    const { ipam } = plugin;
    const changed: PluginConfig = { ...plugin };
    if (plugin.isDefaultGateway === true) changed.isDefaultGateway = false;
    if (isObject(ipam) && Array.isArray(ipam.routes)) {
      const keeps = (route: unknown) => !isObject(route) || !DEFAULT_ROUTES.has(String(route.dst));
      changed.ipam = { ...ipam, routes: ipam.routes.filter(keeps) };
    }
    return changed;
  });
  return { ...list, plugins };
}

/** Addresses that a list's host-local IPAM gives out, as far as the list tells. */
export function subnetsOf(list: ConfigList): { subnet: string; gateway: string }[] {
  return list.plugins.flatMap(({ ipam }) => {
    if (!isObject(ipam)) return [];
    const ranges = Array.isArray(ipam.ranges) ? ipam.ranges.flat() : [ipam];
    return ranges.flatMap((range) =>
      isObject(range) && typeof range.subnet === "string"
        ? [{ subnet: range.subnet, gateway: typeof range.gateway === "string" ? range.gateway : "" }]
        : []
    );
  });
}
