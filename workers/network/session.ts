/** What the network worker knows between requests: made by `init`, used by every other operation. */

import { StrandedError } from "../../ffi/namespace.ts";
import { invalid, NyxError } from "../../daemon/spec/errors.ts";
import { CONTAINER_ID } from "../../daemon/spec/container.ts";
import type { RtNetlink } from "../../ffi/netlink/rtnetlink.ts";
import type { MapElements, Nft } from "../../ffi/nftables/nft.ts";
import type { LogLevel } from "../envelope.ts";
import type { NetworkEndpoint } from "../protocol.ts";
import type { NetworkAddresses } from "./addresses.ts";
import type { Network } from "./definition.ts";
import type { Advice } from "./advice.ts";
import type { FlowForgetter } from "./flows.ts";
import type { Bridge } from "./host.ts";
import type { LeaseStore } from "./leases.ts";
import type { NetnsKernel, NetnsPool } from "./pool.ts";
import type { PortHolds } from "./holds.ts";
import type { PortTable } from "./ports.ts";
import { allElements, mergeElements, type PortTarget, type PublishedPort, renderTable } from "./ruleset.ts";

/** A network that exists in the kernel. */
export interface NetworkState {
  network: Network;
  bridge: Bridge;
  addresses: NetworkAddresses;
}

/** A container whose network is set up. */
export interface ActiveContainer {
  endpoints: NetworkEndpoint[];
  /** Indexes of the host-side interfaces. */
  portIndexes: number[];
  ports: PublishedPort[];
  target: PortTarget | undefined;
  /** Ports were moved away from it: connections through them may still lead here. */
  gaveAway?: true;
}

/** Writes a line of the daemon's log. */
export type Log = (level: LogLevel, msg: string, fields?: Record<string, unknown>) => void;

/** The worker's state. */
export interface Session {
  kernel: NetnsKernel;
  baseDir: string;
  /** Directory of pinned namespaces, one file a container. */
  netnsDir: string;
  /** Whether any running container's namespace is pinned there: a reboot takes all of them, and with them the containers. */
  pinsKept: boolean;
  /** nftables table of this daemon. */
  table: string;
  /** rtnetlink of the host. */
  rt: RtNetlink;
  /** Receive buffer that all netlink sockets of the worker share. */
  buffer: Uint8Array<ArrayBuffer>;
  nft: Nft;
  leases: LeaseStore;
  ports: PortTable;
  /** Sockets of the ports of active containers. */
  holds: PortHolds;
  pool: NetnsPool;
  flows: FlowForgetter;
  /** By name, the default network first. */
  networks: Map<string, NetworkState>;
  defaultPublishIp: string;
  active: Map<string, ActiveContainer>;
  /** The table holds something of a container that is gone: the next change replaces it as a whole. */
  tableStale: boolean;
  /** Repairs what others break; missing until everything is there. */
  watch?: Disposable;
  advice: Advice;
  log: Log;
}

/** Path of a container's pinned namespace. */
export function netnsPath(s: Session, id: string): string {
  return `${s.netnsDir}/${id}`;
}

/** Refuses what is no container id before it meets a path. */
export function checkId(id: string): void {
  if (!CONTAINER_ID.test(id)) throw invalid("container id", id, "it has 64 hex digits");
}

/**
 * A network by name; `bridge` and `default` mean the daemon's first network unless one is called so.
 *
 * @throws NyxError not_found
 */
export function findNetwork(s: Session, name: string): NetworkState {
  const found = s.networks.get(name) ??
    (name === "bridge" || name === "default" ? s.networks.values().next().value : undefined);
  if (found === undefined) {
    throw new NyxError(
      "not_found",
      `Could not find network ${JSON.stringify(name)}; there are: ${[...s.networks.keys()].join(", ")}`,
      {
        context: { network: name },
      },
    );
  }
  return found;
}

/** Elements of all published ports. */
function activeElements(s: Session): MapElements {
  return mergeElements(
    [...s.active.values()].flatMap(({ ports, target }) => target === undefined ? [] : [allElements(ports, target)]),
  );
}

/** Replaces the table by what the session knows, in one transaction. */
export function syncTable(s: Session): void {
  s.nft.run(renderTable(s.table, [...s.networks.values()].map((n) => n.network), activeElements(s)));
  s.tableStale = false;
}

/** Collects what goes wrong in steps that must all be tried. */
export class Attempts {
  readonly #failures: { step: string; error: unknown }[] = [];

  /** Runs a step; a failure is kept for later. */
  try(step: string, run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#failures.push({ step, error });
    }
  }

  /** Whether every step went well. */
  get clean(): boolean {
    return this.#failures.length === 0;
  }

  /** @throws NyxError that tells all failures, when there are any */
  finish(action: string): void {
    const [first] = this.#failures;
    if (first === undefined) return;
    const told = this.#failures.map((f) =>
      `${f.step}: ${f.error instanceof Error ? f.error.message : String(f.error)}`
    );
    throw new NyxError("unavailable", `Could not ${action} wholly: ${told.join("; ")}`, {
      cause: first.error,
      retryable: true,
    });
  }
}

/** Connections that others opened to a container and that are still open; a container without a network has none. */
export async function openConnections(s: Session, id: string): Promise<{ tcp: number; udp: number }> {
  const target = s.active.get(id)?.target;
  return target === undefined ? { tcp: 0, udp: 0 } : await s.flows.open(target);
}

/** Lets one operation at a time touch a key. */
export class Serial {
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Runs `work` behind all earlier work of the same key. */
  run<T>(key: string, work: () => T | Promise<T>): Promise<T> {
    const tail = this.#tails.get(key) ?? Promise.resolve();
    const next = tail.then(work, work);
    const settled = next.catch(() => {});
    this.#tails.set(key, settled);
    settled.then(() => {
      if (this.#tails.get(key) === settled) this.#tails.delete(key);
    });
    return next;
  }
}

/**
 * Runs an operation of a container in its turn. A thread stranded in a foreign namespace dies of it before it does harm there, and is
 * replaced.
 */
export function inTurn<T>(serial: Serial, id: string, work: () => T | Promise<T>): Promise<T> {
  checkId(id);
  return serial.run(id, async () => {
    try {
      return await work();
    } catch (e) {
      if (e instanceof StrandedError) {
        queueMicrotask(() => {
          throw e;
        });
      }
      throw e;
    }
  });
}
