/**
 * Networks that somebody else defined: files of the configuration directory, /etc/cni/net.d as a rule, in the order of their
 * names. They are read anew for each use, as libcni does, so that what is changed counts for the next container.
 */

import type { DiscoveredNetwork } from "../protocol.ts";
import { type ConfigList, isObject, offers, parseConfigList, subnetsOf } from "./conflist.ts";

/** What a directory holds. */
export interface Discovery {
  lists: Map<string, { list: ConfigList; file: string; modified: Date }>;
  /** Files that cannot be used, as sentences. */
  warnings: string[];
}

const EXTENSIONS = [".conflist", ".conf", ".json"];
const MOST_FILES = 256;
const MOST_BYTES = 1024 * 1024;

function filesOf(dir: string): string[] {
  try {
    return [...Deno.readDirSync(dir)].filter((e) => !e.isDirectory && EXTENSIONS.some((x) => e.name.endsWith(x)))
      .map((e) => e.name).sort();
  } catch (e) {
    if (e instanceof Deno.errors.NotFound) return [];
    throw e;
  }
}

function readList(path: string): { list: ConfigList; modified: Date } {
  const { isFile, size, mtime } = Deno.statSync(path);
  if (!isFile) throw new Error("it is no file");
  if (size > MOST_BYTES) throw new Error(`it has ${size} bytes; ${MOST_BYTES} is the most`);
  return { list: parseConfigList(JSON.parse(Deno.readTextFileSync(path)), path), modified: mtime ?? new Date(0) };
}

/**
 * Reads a directory. A file that cannot be used never stands in the way of the others.
 *
 * @param dir configuration directory; one that is missing is empty
 * @param own names of networks that nyx made, which win over files
 */
export function discover(dir: string, own: ReadonlySet<string>): Discovery {
  const lists: Discovery["lists"] = new Map();
  const warnings: string[] = [];
  const files = filesOf(dir);
  if (files.length > MOST_FILES) warnings.push(`${dir} has ${files.length} files; nyx reads the first ${MOST_FILES}`);
  for (const name of files.slice(0, MOST_FILES)) {
    const file = `${dir}/${name}`;
    try {
      const { list, modified } = readList(file);
      const before = lists.get(list.name)?.file;
      if (before !== undefined) throw new Error(`network ${list.name} is defined by ${before} already`);
      if (own.has(list.name)) {
        throw new Error(`nyx has a network ${list.name} of its own; give one of both another name`);
      }
      lists.set(list.name, { list, file, modified });
    } catch (e) {
      warnings.push(`Could not use the network configuration ${file}: ${(e as Error).message}`);
    }
  }
  return { lists, warnings };
}

/** A discovered network as the daemon lists it. */
export function describe(
  { list, file, modified }: { list: ConfigList; file: string; modified: Date },
): DiscoveredNetwork {
  const [first] = list.plugins;
  const bridge = first !== undefined && first.type === "bridge" && typeof first.bridge === "string" ? first.bridge : "";
  return {
    name: list.name,
    file,
    modified: modified.toISOString(),
    cniVersion: list.cniVersion,
    plugins: list.plugins.map((p) => p.type),
    driver: first?.type ?? "",
    bridge: first?.type === "bridge" && bridge === "" ? "cni0" : bridge,
    subnets: subnetsOf(list),
    ports: offers(list, "portMappings"),
  };
}

/** Programs that a list runs, those of address management included. */
export function programsOf({ plugins }: ConfigList): string[] {
  const inner = plugins.flatMap(({ ipam }) => isObject(ipam) && typeof ipam.type === "string" ? [ipam.type] : []);
  return [...new Set([...plugins.map((p) => p.type), ...inner])];
}
