/**
 * Executing a list (CNI specification, section 3): ADD in order with each result handed on, CHECK in order, DEL in reverse with
 * the result of ADD; capability arguments reach only the plugins that declare them.
 */

import { NyxError } from "../../daemon/spec/errors.ts";
import {
  atLeast,
  CNI_VERSIONS,
  type CniVersion,
  type ConfigList,
  declares,
  isObject,
  type PluginConfig,
} from "./conflist.ts";
import { type Command, type PluginLimits, runPlugin } from "./plugin.ts";
import { type CniResult, parseResult } from "./result.ts";

/** Data for capabilities, by name; a plugin gets those it declares. */
export type CapabilityArgs = Record<string, unknown>;

/** One container on one network: what every operation on it is given. */
export interface Attachment {
  containerId: string;
  /** Path of the namespace; empty when it is gone. */
  netns: string;
  ifname: string;
  /** CNI_ARGS. */
  args: [string, string][];
  list: ConfigList;
  capabilityArgs: CapabilityArgs;
}

/** A version that a plugin can speak, by its name; asked once. */
export type VersionMemory = Map<string, string[]>;

/** Runs lists of one daemon. */
export class Chain {
  readonly #limits: PluginLimits;
  readonly #versions: VersionMemory = new Map();

  /** @param limits where plugins are, and their patience */
  constructor(limits: PluginLimits) {
    this.#limits = limits;
  }

  /**
   * Versions that a plugin supports.
   *
   * @throws NyxError failed_precondition when it cannot be run
   */
  async versions(type: string): Promise<string[]> {
    const known = this.#versions.get(type);
    if (known !== undefined) return known;
    const input = JSON.stringify({ cniVersion: "1.0.0" });
    const text = await runPlugin({ type, command: "VERSION", network: "", input, env: {} }, this.#limits);
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      value = undefined;
    }
    const listed = isObject(value) && Array.isArray(value.supportedVersions) ? value.supportedVersions : undefined;
    if (listed === undefined) {
      throw new NyxError(
        "internal",
        `Could not use CNI plugin ${type}: its answer to VERSION is ${text.slice(0, 200)}`,
      );
    }
    const versions = listed.filter((v) => typeof v === "string");
    this.#versions.set(type, versions);
    return versions;
  }

  /** The newest version that nyx and all of these plugins speak; undefined when there is none. */
  async commonVersion(types: readonly string[]): Promise<CniVersion | undefined> {
    const all = await Promise.all(types.map((type) => this.versions(type)));
    return CNI_VERSIONS.findLast((v) => all.every((versions) => versions.includes(v)));
  }

  /**
   * Checks that every plugin of a list is there and speaks its version.
   *
   * @throws NyxError failed_precondition that names the plugin
   */
  async validate(list: ConfigList): Promise<void> {
    for (const { type } of list.plugins) {
      const versions = await this.versions(type);
      if (versions.includes(list.cniVersion)) continue;
      throw new NyxError(
        "failed_precondition",
        `Could not use network "${list.name}": plugin ${type} speaks CNI ${versions.join(", ")}, and the network's ` +
          `configuration is of ${list.cniVersion}; change its cniVersion`,
        { context: { network: list.name, plugin: type } },
      );
    }
  }

  #run(command: Command, attachment: Attachment, plugin: PluginConfig, previous: unknown): Promise<string> {
    const { containerId, netns, ifname, args, list, capabilityArgs } = attachment;
    const given = Object.entries(capabilityArgs).filter(([name]) => declares(plugin, name));
    const input = {
      ...plugin,
      name: list.name,
      cniVersion: list.cniVersion,
      ...(given.length === 0 ? {} : { runtimeConfig: Object.fromEntries(given) }),
      ...(previous === undefined ? {} : { prevResult: previous }),
    };
    const env = {
      CNI_CONTAINERID: containerId,
      CNI_NETNS: netns,
      CNI_IFNAME: ifname,
      CNI_ARGS: args.map(([key, value]) => `${key}=${value}`).join(";"),
    };
    const { type } = plugin;
    return runPlugin({ type, command, network: list.name, input: JSON.stringify(input), env }, this.#limits);
  }

  /**
   * Attaches. When a plugin fails, or says what cannot be used, all are told to detach again.
   *
   * @param onUndone told what went wrong in that
   * @returns the last plugin's result
   */
  async add(attachment: Attachment, onUndone: (errors: NyxError[]) => void): Promise<CniResult> {
    let previous: CniResult | undefined;
    try {
      for (const plugin of attachment.list.plugins) {
        const text = await this.#run("ADD", attachment, plugin, previous?.raw);
        previous = parseResult(text, `CNI plugin ${plugin.type} for network "${attachment.list.name}"`);
      }
      if (previous === undefined) throw new NyxError("internal", `Network "${attachment.list.name}" has no plugin`);
      return previous;
    } catch (e) {
      onUndone(await this.del(attachment, previous?.raw));
      throw e;
    }
  }

  /**
   * Has some plugins of an attached container do their work again, with what ADD came to: those that find their own rules, and add
   * only what is missing.
   *
   * @param types the plugins that do
   * @returns what failed
   */
  async mend(attachment: Attachment, result: unknown, types: ReadonlySet<string>): Promise<NyxError[]> {
    const plugins = attachment.list.plugins.filter((p) => types.has(p.type));
    return await collect(plugins, (plugin) => this.#run("ADD", attachment, plugin, result));
  }

  /** Whether CHECK may be asked: from 0.4.0 on, and not where the configuration forbids it. */
  checkable({ cniVersion, disableCheck }: ConfigList): boolean {
    return atLeast(cniVersion, "0.4.0") && !disableCheck;
  }

  /**
   * Asks every plugin whether its work is in place.
   *
   * @returns what those that answered no said
   */
  async check(attachment: Attachment, result: unknown): Promise<NyxError[]> {
    if (!this.checkable(attachment.list)) return [];
    return await collect(attachment.list.plugins, (plugin) => this.#run("CHECK", attachment, plugin, result));
  }

  /**
   * Detaches, in reverse order. A plugin that fails does not keep the others from their work; what is already gone is no error to
   * a plugin.
   *
   * @returns what failed; empty when nothing is left
   */
  async del(attachment: Attachment, result: unknown): Promise<NyxError[]> {
    const previous = atLeast(attachment.list.cniVersion, "0.4.0") ? result : undefined;
    return await collect(
      attachment.list.plugins.toReversed(),
      (plugin) => this.#run("DEL", attachment, plugin, previous),
    );
  }

  /**
   * Asks whether plugins could take a container now (1.1.0).
   *
   * @returns what those that could not said
   */
  async status(list: ConfigList): Promise<NyxError[]> {
    if (!atLeast(list.cniVersion, "1.1.0")) return [];
    return await collect(list.plugins, (plugin) => this.#bare("STATUS", list, plugin, {}));
  }

  /**
   * Tells plugins who is still attached, so that they give back what belongs to nobody (1.1.0).
   *
   * @returns what failed
   */
  async collectGarbage(list: ConfigList, valid: { containerID: string; ifname: string }[]): Promise<NyxError[]> {
    if (!atLeast(list.cniVersion, "1.1.0") || list.disableGC) return [];
    const extra = { "cni.dev/valid-attachments": valid, "cni.dev/attachments": valid };
    return await collect(list.plugins, (plugin) => this.#bare("GC", list, plugin, extra));
  }

  #bare(command: Command, list: ConfigList, plugin: PluginConfig, extra: Record<string, unknown>): Promise<string> {
    const input = { ...plugin, name: list.name, cniVersion: list.cniVersion, ...extra };
    const { type } = plugin;
    return runPlugin({ type, command, network: list.name, input: JSON.stringify(input), env: {} }, this.#limits);
  }
}

/** Tries all, one after the other, and gives back what failed. */
async function collect(plugins: PluginConfig[], run: (plugin: PluginConfig) => Promise<unknown>): Promise<NyxError[]> {
  const errors: NyxError[] = [];
  for (const plugin of plugins) {
    try {
      await run(plugin);
    } catch (e) {
      if (!(e instanceof NyxError)) throw e;
      errors.push(e);
    }
  }
  return errors;
}
