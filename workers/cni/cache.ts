/**
 * What was asked of plugins and what they answered, one file an attachment, in libcni's form (`cniCacheV1`): a container is
 * detached with the configuration that attached it, also after a crash, and also when the network's own was changed meanwhile.
 *
 * The files are nyx's own, below its base directory, and not in /var/lib/cni: two daemons, or another runtime, never take each
 * other's attachments for left-overs. Each is written before the first plugin runs, so that none is attached without a trace.
 */

import { CONTAINER_ID } from "../../daemon/spec/container.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import type { Attachment, CapabilityArgs } from "./chain.ts";
import { type ConfigList, isObject, parseConfigList } from "./conflist.ts";
import { type CniResult, parseResult } from "./result.ts";

const KIND = "cniCacheV1";

/** An attachment as it is known, with its result once there is one. */
export interface CachedAttachment extends Attachment {
  network: string;
  result?: CniResult;
  /** Whether the container's default route leads here. */
  gateway: boolean;
  /** Whether it is a bridge of nyx, with its resolver on the gateway. */
  bridged: boolean;
}

interface CacheFile {
  kind: typeof KIND;
  containerId: string;
  ifName: string;
  networkName: string;
  netns: string;
  /** The list, base64. */
  config: string;
  cniArgs: [string, string][];
  capabilityArgs: CapabilityArgs;
  result?: unknown;
  /** nyx's own; libcni ignores it. */
  nyx: { gateway: boolean; bridged: boolean };
}

function listText({ name, cniVersion, disableCheck, disableGC, plugins }: ConfigList): string {
  return JSON.stringify({ cniVersion, name, disableCheck, disableGC, plugins });
}

function base64Of(text: string): string {
  return new TextEncoder().encode(text).toBase64();
}

function textOf(base64: string): string {
  return new TextDecoder().decode(Uint8Array.fromBase64(base64));
}

function isArgs(value: unknown): value is [string, string][] {
  return Array.isArray(value) &&
    value.every((p) => Array.isArray(p) && p.length === 2 && p.every((w) => typeof w === "string"));
}

function parseFile(text: string, path: string): CachedAttachment {
  const file: unknown = JSON.parse(text);
  if (!isObject(file) || file.kind !== KIND || !isObject(file.nyx) || !isObject(file.capabilityArgs)) {
    throw new Error(`it is no ${KIND}`);
  }
  const { containerId, ifName, netns, config, cniArgs, capabilityArgs, result, nyx } = file;
  const texts = [containerId, ifName, netns, config];
  if (!texts.every((t) => typeof t === "string") || !isArgs(cniArgs)) throw new Error("a field is missing");
  if (!CONTAINER_ID.test(containerId as string)) throw new Error("its container id is none");
  const list = parseConfigList(JSON.parse(textOf(config as string)), path);
  return {
    containerId: containerId as string,
    ifname: ifName as string,
    netns: netns as string,
    network: list.name,
    args: cniArgs,
    capabilityArgs,
    list,
    gateway: nyx.gateway === true,
    bridged: nyx.bridged === true,
    ...(result === undefined ? {} : { result: parseResult(JSON.stringify(result), path) }),
  };
}

/** The directory of attachments. */
export class ResultCache {
  readonly #dir: string;
  readonly #byId = new Map<string, CachedAttachment[]>();

  private constructor(dir: string) {
    this.#dir = dir;
  }

  /** Reads a directory, which is made when missing. A file that cannot be understood is set aside and reported. */
  static open(dir: string): { cache: ResultCache; warnings: string[] } {
    Deno.mkdirSync(dir, { recursive: true, mode: 0o700 });
    const cache = new ResultCache(dir);
    const warnings: string[] = [];
    for (const { name, isFile } of Deno.readDirSync(dir)) {
      const path = `${dir}/${name}`;
      if (!isFile || name.includes(".damaged-")) continue;
      if (name.endsWith(".tmp")) {
        Deno.removeSync(path);
        continue;
      }
      try {
        cache.#enter(parseFile(Deno.readTextFileSync(path), path));
      } catch (e) {
        const aside = `${path}.damaged-${Date.now()}`;
        Deno.renameSync(path, aside);
        warnings.push(
          `Could not read ${path}: ${(e as Error).message}. It was moved to ${aside}; what CNI plugins made for that ` +
            "container stays until they are told to remove it by hand",
        );
      }
    }
    return { cache, warnings };
  }

  /** Attachments of a container, in the order of their interfaces. */
  of(id: string): CachedAttachment[] {
    return [...this.#byId.get(id) ?? []];
  }

  /** Ids of all containers with attachments. */
  ids(): string[] {
    return [...this.#byId.keys()];
  }

  /** Writes an attachment; on disk when it returns. */
  write(attachment: CachedAttachment): void {
    const { containerId, ifname, network, netns, list, args, capabilityArgs, result, gateway, bridged } = attachment;
    const file: CacheFile = {
      kind: KIND,
      containerId,
      ifName: ifname,
      networkName: network,
      netns,
      config: base64Of(listText(list)),
      cniArgs: args,
      capabilityArgs,
      ...(result === undefined ? {} : { result: result.raw }),
      nyx: { gateway, bridged },
    };
    const path = this.#path(attachment);
    try {
      const out = Deno.openSync(`${path}.tmp`, { write: true, create: true, truncate: true, mode: 0o600 });
      try {
        const bytes = new TextEncoder().encode(`${JSON.stringify(file)}\n`);
        for (let at = 0; at < bytes.length;) at += out.writeSync(bytes.subarray(at));
        out.syncSync();
      } finally {
        out.close();
      }
      Deno.renameSync(`${path}.tmp`, path);
      this.#syncDir();
    } catch (cause) {
      throw new NyxError("unavailable", `Could not write ${path}: ${(cause as Error).message}`, { cause });
    }
    this.#enter(attachment);
  }

  /** Forgets an attachment. Missing is no error. */
  remove(attachment: CachedAttachment): void {
    const { containerId, ifname } = attachment;
    const rest = this.of(containerId).filter((a) => a.ifname !== ifname || a.network !== attachment.network);
    if (rest.length === 0) this.#byId.delete(containerId);
    else this.#byId.set(containerId, rest);
    try {
      Deno.removeSync(this.#path(attachment));
    } catch (e) {
      if (!(e instanceof Deno.errors.NotFound)) throw e;
    }
    this.#syncDir();
  }

  #path({ network, containerId, ifname }: CachedAttachment): string {
    return `${this.#dir}/${network}-${containerId}-${ifname}`;
  }

  #enter(attachment: CachedAttachment): void {
    const { containerId, ifname, network } = attachment;
    const others = this.of(containerId).filter((a) => a.ifname !== ifname || a.network !== network);
    const number = (a: CachedAttachment) => Number(/\d+$/.exec(a.ifname)?.[0] ?? 0);
    this.#byId.set(containerId, [...others, attachment].sort((a, b) => number(a) - number(b)));
  }

  #syncDir(): void {
    const dir = Deno.openSync(this.#dir);
    try {
      dir.syncSync();
    } finally {
      dir.close();
    }
  }
}
