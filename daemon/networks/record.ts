/** What is kept of a network: `network/networks/<name>.json`, replaced atomically. */

import type { NetworkSubnet } from "../spec/api.ts";
import type { Logger } from "../log/logger.ts";
import { syncDirectory, writeFileAtomic } from "../persist/atomic.ts";
import { CONTAINER_ID, OBJECT_NAME } from "../spec/container.ts";

const VERSION = 1;

/** One network. */
export interface NetworkRecord {
  v: typeof VERSION;
  /** 64 hex digits. */
  id: string;
  name: string;
  /** RFC 3339. */
  created: string;
  /** The daemon's own: its addresses come from the daemon's settings. */
  default: boolean;
  /** bridge, macvlan, ipvlan; with CNI bridge, ptp, macvlan, and for a network of a file its first plugin. */
  driver: string;
  /** Empty without one. */
  bridge: string;
  /** macvlan and ipvlan: interface of the host. */
  parent?: string;
  /** macvlan and ipvlan: how they share it. */
  mode?: string;
  /** IPv4 first. */
  subnets: NetworkSubnet[];
  internal: boolean;
  mtu?: number;
  labels: Record<string, string>;
  options: Record<string, string>;
}

/** A record with what is not written filled in. */
export function networkRecord(
  fields: Omit<NetworkRecord, "v" | "driver"> & Partial<Pick<NetworkRecord, "driver">>,
): NetworkRecord {
  return { v: VERSION, driver: "bridge", ...fields };
}

function isSubnet(value: unknown): value is NetworkSubnet {
  const { subnet, gateway, ipRange, auxAddresses = {} } = value as Partial<NetworkSubnet>;
  return typeof subnet === "string" && typeof gateway === "string" &&
    ["string", "undefined"].includes(typeof ipRange) &&
    Object.values(auxAddresses).every((ip) => typeof ip === "string");
}

/** Reads a record; undefined when the text is none. */
function parse(text: string, name: string): NetworkRecord | undefined {
  let value: Partial<NetworkRecord> | null;
  try {
    value = JSON.parse(text) as Partial<NetworkRecord> | null;
  } catch {
    return undefined;
  }
  const whole = value !== null && typeof value === "object" && value.v === VERSION && value.name === name &&
    typeof value.id === "string" && CONTAINER_ID.test(value.id) && typeof value.bridge === "string" &&
    Array.isArray(value.subnets) && value.subnets.length > 0 && value.subnets.every(isSubnet);
  if (!whole) return undefined;
  return {
    ...networkRecord({
      id: "",
      name,
      created: "",
      default: false,
      bridge: "",
      subnets: [],
      internal: false,
      labels: {},
      options: {},
    }),
    ...value,
  };
}

/** The directory of records. */
export class NetworkStore {
  readonly #dir: string;
  readonly #log: Logger;

  /**
   * @param dir network/networks below the base directory
   * @param log told of files that are no records
   */
  constructor(dir: string, log: Logger) {
    this.#dir = dir;
    this.#log = log;
  }

  /** All records. A file that is none is moved aside and reported: it must not keep the daemon from starting. */
  async load(): Promise<NetworkRecord[]> {
    await Deno.mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const records: NetworkRecord[] = [];
    for await (const { name: file } of Deno.readDir(this.#dir)) {
      const path = `${this.#dir}/${file}`;
      if (file.endsWith(".tmp")) await Deno.remove(path);
      const name = file.slice(0, -".json".length);
      if (!file.endsWith(".json") || !OBJECT_NAME.test(name)) continue;
      const record = parse(await Deno.readTextFile(path), name);
      if (record !== undefined) {
        records.push(record);
        continue;
      }
      const aside = `${path}.damaged-${Date.now()}`;
      await Deno.rename(path, aside);
      this.#log.error("The record of a network cannot be read; it was moved aside, and the network is gone", {
        network: name,
        path: aside,
      });
    }
    return records.sort((a, b) => a.created.localeCompare(b.created));
  }

  /** Writes a record. */
  async save(record: NetworkRecord): Promise<void> {
    await writeFileAtomic(`${this.#dir}/${record.name}.json`, `${JSON.stringify(record)}\n`);
  }

  /** Removes a record. Missing is no error. */
  async remove(name: string): Promise<void> {
    try {
      await Deno.remove(`${this.#dir}/${name}.json`);
    } catch (e) {
      if (!(e instanceof Deno.errors.NotFound)) throw e;
    }
    await syncDirectory(this.#dir);
  }
}
