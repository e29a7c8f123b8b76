/**
 * Who has which address and which ports, and the file that remembers it: `<dir>/leases.json`, written whole to a temporary
 * file, synced, renamed, and the directory synced. Memory is the truth while the worker runs; {@linkcode LeaseStore.commit}
 * says when the disk has caught up, and many commits that wait together share one write.
 */

import { NyxError } from "../../daemon/spec/errors.ts";
import { tryParseIp, tryParseMac } from "../../ffi/ip_address.ts";
import type { PublishedPort } from "./ruleset.ts";

/** Most networks of one container: interfaces are told apart by one digit of base 36. */
export const MOST_NETWORKS = 36;

/** A container's place in one network: an address of each family that the network has. */
export interface Lease {
  network: string;
  ip?: string;
  ip6?: string;
  mac: string;
  /** Number of the interface inside (`eth<n>`) when it is not the lease's place in the list. */
  position?: number;
}

/** All that is reserved for one container. */
export interface Reservation {
  /** Container name, for conflicts. */
  name: string;
  leases: Lease[];
  /** Network that the default route leads to; missing when every network is internal, or there is none. */
  gateway?: string;
  /** Network that IPv6's default route leads to, when that is another one. */
  gateway6?: string;
  ports: PublishedPort[];
}

interface LeaseFile {
  version: 1;
  containers: Record<string, Reservation>;
}

function isIp(v: unknown): boolean {
  return typeof v === "string" && tryParseIp(v) !== undefined;
}

function isNumber(v: unknown): boolean {
  return Number.isInteger(v) && (v as number) > 0 && (v as number) <= 65535;
}

function isPosition(v: unknown): boolean {
  return Number.isInteger(v) && (v as number) >= 0 && (v as number) < MOST_NETWORKS;
}

function isLease(v: unknown): v is Lease {
  const l = v as Partial<Lease> | null;
  const addresses = [l?.ip, l?.ip6].filter((ip) => ip !== undefined);
  return typeof l?.network === "string" && addresses.length > 0 && addresses.every(isIp) && typeof l.mac === "string" &&
    tryParseMac(l.mac) !== undefined && (l.position === undefined || isPosition(l.position));
}

function isPort(v: unknown): v is PublishedPort {
  const p = v as Partial<PublishedPort> | null;
  return isIp(p?.hostIp) && isNumber(p?.hostPort) && isNumber(p?.containerPort) && isNumber(p?.count) &&
    ["tcp", "udp", "sctp"].includes(String(p?.protocol));
}

function parseFile(text: string): Map<string, Reservation> {
  const file = JSON.parse(text) as Partial<LeaseFile> | null;
  if (file?.version !== 1 || typeof file.containers !== "object") throw new Error("it is no lease file of version 1");
  const map = new Map<string, Reservation>();
  for (const [id, r] of Object.entries(file.containers)) {
    const valid = typeof r.name === "string" && Array.isArray(r.leases) && r.leases.every(isLease) &&
      Array.isArray(r.ports) && r.ports.every(isPort) &&
      [r.gateway, r.gateway6].every((name) => ["string", "undefined"].includes(typeof name));
    if (!valid) throw new Error(`the entry of ${id} is malformed`);
    map.set(id, r);
  }
  return map;
}

/** Reservations by container id. */
export class LeaseStore {
  readonly #dir: string;
  readonly #byId: Map<string, Reservation>;
  #changed = 0;
  #written = 0;
  #writing: Promise<void> | undefined;

  private constructor(dir: string, byId: Map<string, Reservation>) {
    this.#dir = dir;
    this.#byId = byId;
  }

  /**
   * Reads the file of a directory, which is made when missing. A file that cannot be understood is set aside under a name
   * that says so, and reported: a daemon that cannot start would be worse than leases that are learnt anew.
   */
  static open(dir: string): { store: LeaseStore; warning?: string } {
    Deno.mkdirSync(dir, { recursive: true, mode: 0o700 });
    const path = `${dir}/leases.json`;
    removePartial(`${path}.tmp`);
    let text: string;
    try {
      text = Deno.readTextFileSync(path);
    } catch (e) {
      if (e instanceof Deno.errors.NotFound) return { store: new LeaseStore(dir, new Map()) };
      throw e;
    }
    try {
      return { store: new LeaseStore(dir, parseFile(text)) };
    } catch (e) {
      const aside = `${path}.damaged-${Date.now()}`;
      Deno.renameSync(path, aside);
      const why = e instanceof Error ? e.message : String(e);
      return {
        store: new LeaseStore(dir, new Map()),
        warning: `Could not read the leases in ${path}: ${why}. The file was moved to ${aside}; ` +
          "addresses of running containers are taken from their network namespaces",
      };
    }
  }

  /** The reservation of a container. */
  get(id: string): Reservation | undefined {
    return this.#byId.get(id);
  }

  /** All reservations. */
  entries(): IterableIterator<[string, Reservation]> {
    return this.#byId.entries();
  }

  /** Sets a reservation, in memory; {@linkcode commit} makes it durable. */
  set(id: string, reservation: Reservation): void {
    this.#byId.set(id, reservation);
    this.#changed++;
  }

  /** Forgets a reservation, in memory. False when there was none. */
  delete(id: string): boolean {
    const had = this.#byId.delete(id);
    if (had) this.#changed++;
    return had;
  }

  /**
   * Resolves when every change made before the call is on disk.
   *
   * @throws NyxError when the file could not be written; the change stays in memory and is tried again with the next commit
   */
  async commit(): Promise<void> {
    const wanted = this.#changed;
    while (this.#written < wanted) {
      this.#writing ??= this.#write().finally(() => this.#writing = undefined);
      await this.#writing;
    }
  }

  async #write(): Promise<void> {
    const changed = this.#changed;
    const file: LeaseFile = { version: 1, containers: Object.fromEntries(this.#byId) };
    const path = `${this.#dir}/leases.json`;
    try {
      // Up to the first sync nothing is awaited: the disk works while the caller sets links up.
      const out = Deno.openSync(`${path}.tmp`, { write: true, create: true, truncate: true, mode: 0o600 });
      try {
        const bytes = new TextEncoder().encode(`${JSON.stringify(file)}\n`);
        for (let at = 0; at < bytes.length;) at += out.writeSync(bytes.subarray(at));
        await out.sync();
      } finally {
        out.close();
      }
      Deno.renameSync(`${path}.tmp`, path);
      const dir = Deno.openSync(this.#dir);
      try {
        await dir.sync();
      } finally {
        dir.close();
      }
    } catch (cause) {
      throw new NyxError("unavailable", `Could not write the leases to ${path}: ${(cause as Error).message}`, {
        retryable: true,
        cause,
      });
    }
    this.#written = changed;
  }
}

/** What a write that a power cut ended left. */
function removePartial(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (e) {
    if (!(e instanceof Deno.errors.NotFound)) throw e;
  }
}
