/** The core of the Supervisor (D02): the containers of one daemon, their owner's duties, and queries over them. */

import type { ContainerDetails, ContainerSummary } from "../spec/api.ts";

import { NyxError } from "../spec/errors.ts";

import type { ContainerRecord } from "../persist/record.ts";
import type { StreamsStage } from "../../workers/protocol.ts";

import { HealthWatch } from "../health/watch.ts";

import { stopsAfter } from "./boot_order.ts";
import { demandRoom } from "./capacity.ts";

import { Container, type Owner } from "./container.ts";

import type { SupervisorDeps } from "./deps.ts";

import { addressesOf, type Joined, networkMode, networkRequest, ownsNetwork } from "./launch.ts";
import { LIVE } from "./machine.ts";

import { ContainerRegistry } from "./registry.ts";
import { detailsOf, exposedPortsOf, passes, summaryOf } from "./view.ts";

/** Time for stopping all containers with the daemon, seconds: less than a service manager waits before it kills (nyxd.service: 30). */
const STOP_BUDGET_S = 20;

/** How a container is stopped. */
export interface StopOptions {
  /** Grace before KILL; the container's own when missing, negative for ever. */
  timeoutS?: number;
  /** First signal; the container's own when missing. */
  signal?: string;
  /** When commands before the stop and the grace are over at the latest, on the clock of performance.now(). */
  untilMs?: number;
}

/** A wait of `ms`, negative for ever, that ends at `untilMs` at the latest. */
export function boundedMs(ms: number, untilMs: number): number {
  if (untilMs === Infinity) return ms;
  const leftMs = Math.max(0, untilMs - performance.now());
  return ms < 0 ? leftMs : Math.min(ms, leftMs);
}

/** All containers, and what they ask of their owner. */
export abstract class SupervisorCore implements Owner {
  /** The daemon's parts. */
  protected readonly deps: SupervisorDeps;
  /** Containers by id and name. */
  protected readonly registry = new ContainerRegistry();
  readonly #health = new Map<string, HealthWatch>();
  /** Work that goes on after its request was answered. */
  readonly #background = new Set<Promise<unknown>>();

  /** @param deps the daemon's parts */
  constructor(deps: SupervisorDeps) {
    this.deps = deps;
  }

  /** All containers. */
  get all(): Container[] {
    return this.registry.all;
  }

  /** Finds a container. */
  find(ref: string): Container {
    return this.registry.find(ref);
  }

  /** Takes in a record that was read from disk. */
  admit(record: ContainerRecord): Container {
    const container = new Container(record, this.deps, this);
    this.registry.add(container);
    return container;
  }

  /** Resolves when no work that was begun is under way any more. */
  async settled(): Promise<void> {
    while (this.#background.size > 0) await Promise.allSettled([...this.#background]);
    await Promise.all(this.all.map((c) => c.mailbox.idle()));
    await this.deps.store.flush();
  }

  /** Stops one container; see the subclass. */
  abstract stop(ref: string, options: StopOptions): Promise<{ id: string }>;

  /**
   * Stops every container, those that need others before these, the rest side by side; failures are logged.
   *
   * @param budgetS time for all, with their pre-stop commands; when it is used up, what still runs is killed
   */
  async stopAll(budgetS: number = STOP_BUDGET_S): Promise<void> {
    const untilMs = performance.now() + budgetS * 1000;
    const waits = stopsAfter(this.all, (c) => c.record);
    const stops = new Map([...waits.keys()].map((c) => [c, Promise.withResolvers<void>()]));
    await Promise.all([...waits].map(async ([container, before]) => {
      await Promise.all(before.map((c) => stops.get(c)?.promise));
      await this.#stopForShutdown(container, untilMs);
      stops.get(container)?.resolve();
    }));
  }

  /** Stops a container, which is no wish of its user's: it comes back with the daemon if it would without. */
  async #stopForShutdown(container: Container, untilMs: number): Promise<void> {
    const { stoppedByUser } = container.record.state;
    try {
      await this.stop(container.id, { untilMs });
    } catch (error) {
      this.deps.log.error("A container could not be stopped", { id: container.id, error });
    }
    try {
      await container.mailbox.run(async () => {
        if (!this.registry.holds(container)) return;
        container.record.state.stoppedByUser = stoppedByUser;
        await container.save();
      });
    } catch (error) {
      this.deps.log.error("A container record could not be saved", { id: container.id, error });
    }
  }

  /** Stops watching health; processes go on. */
  close(): void {
    for (const watch of this.#health.values()) watch.stop();
    this.#health.clear();
  }

  // ------------------------------------------------------------------ owner of the actors

  /** Facts about containers that `record` joins. */
  joined(record: ContainerRecord): Joined {
    const pids: Joined["pids"] = {};
    const target = (mode: string | undefined, what: string) => {
      if (mode === undefined || !mode.startsWith("container:")) return undefined;
      const other = this.find(mode.slice("container:".length));
      if (!other.live || other.record.state.pid === 0) {
        throw new NyxError(
          "failed_precondition",
          `Could not join the ${what} namespace of container "${other.name}": it is ${other.status}; start it first`,
        );
      }
      return other;
    };
    const pid = target(record.spec.pidMode, "pid")?.record.state.pid;
    const ipcOwner = target(record.spec.ipcMode, "ipc");
    if (ipcOwner !== undefined && ipcOwner.record.spec.ipcMode !== "shareable") {
      throw new NyxError(
        "failed_precondition",
        `Could not join the ipc namespace of container "${ipcOwner.name}": it is its own alone; start it with --ipc shareable`,
      );
    }
    const ipc = ipcOwner?.record.state.pid;
    const shm = ipcOwner === undefined ? {} : { shmPath: `${this.deps.baseDir}/overlay/${ipcOwner.id}/mounts/shm` };
    const uts = target(record.spec.utsMode, "uts")?.record.state.pid;
    if (pid !== undefined) pids.pid = pid;
    if (ipc !== undefined) pids.ipc = ipc;
    if (uts !== undefined) pids.uts = uts;
    const net = target(networkMode(record), "network");
    if (net === undefined) return { pids, ...shm };
    const addresses = addressesOf(net.record.network);
    const netnsPath = net.record.netNS ?? `/proc/${net.record.state.pid}/ns/net`;
    const { bundleDir, hostname } = net.record;
    return { pids, ...shm, network: { netnsPath, bundleDir, addresses, hostname } };
  }

  /** Refuses what nyxd has no file descriptors for. */
  demandRoom(): void {
    // The one that asks counts as starting already.
    demandRoom(this.deps.host.rlimits["nofile"]?.soft, this.all.filter((c) => c.live).length - 1);
  }

  /** Starts watching health. */
  started(container: Container): void {
    const check = container.record.spec.healthcheck;
    if (check === undefined || check.type === "none") {
      delete container.record.state.health;
      return;
    }
    this.#health.get(container.id)?.stop();
    this.#health.set(container.id, new HealthWatch(container, check, this.deps));
  }

  /** Stops watching health. */
  ended(container: Container): void {
    this.#health.get(container.id)?.stop();
    this.#health.delete(container.id);
    this.deps.dns.deregister(container.id);
  }

  /** Forgets a container. */
  removed(container: Container): void {
    this.registry.delete(container);
    container.notify();
  }

  /** Knows a container again; under another name when its own was taken meanwhile. */
  kept(container: Container): void {
    if (this.registry.holds(container)) return;
    if (this.registry.taken(container.name)) container.record.name = `${container.name}-${container.id.slice(0, 6)}`;
    this.registry.add(container);
  }

  /** Events of the streams worker. */
  onStreams(event: StreamsStage["event"]): void {
    const container = this.registry.get(event.id);
    if (container === undefined) return;
    if (event.kind === "exit") this.keep(container.onExit(event.exit));
    else if (event.kind === "dropped") {
      container.record.state.logDropped = (container.record.state.logDropped ?? 0) + event.lines;
      this.keep(container.save());
      this.deps.log.warn("Log lines were dropped", { id: event.id, lines: event.lines });
      container.emit("log_dropped", { lines: String(event.lines) });
    }
  }

  /** Old parts of a container's log were removed, because all logs together take too much. */
  logTrimmed({ id, files, bytes }: { id: string; files: number; bytes: number }): void {
    this.registry.get(id)?.emit("log_trimmed", { files: String(files), bytes: String(bytes) });
  }

  /** Looks after work that goes on when its request has been answered. */
  keep(work: Promise<unknown>): void {
    const kept = work.catch((error) => this.deps.log.error("Background work failed", { error }))
      .finally(() => this.#background.delete(kept));
    this.#background.add(kept);
  }

  // ------------------------------------------------------------------ queries

  /** Rows of the list. */
  list(options: { all: boolean; filters: Record<string, string[]> }): Promise<ContainerSummary[]> {
    const showAll = options.all || "status" in options.filters || "exited" in options.filters;
    const filters = this.#withTimes(this.#withNetworkNames(options.filters));
    const shown = this.all.filter((c) => showAll || LIVE.has(c.status)).map((c) => c.record);
    const rows = shown.map((record) => ({ row: summaryOf(record), exposed: exposedPortsOf(record) }))
      .filter(({ row, exposed }) => passes(row, filters, exposed)).map(({ row }) => row);
    return Promise.resolve(rows.sort((a, b) => b.created.localeCompare(a.created)));
  }

  /** Filters with the containers that `before` and `since` name replaced by their times. */
  #withTimes(filters: Record<string, string[]>): Record<string, string[]> {
    const replaced = { ...filters };
    for (const key of ["before", "since"]) {
      const names = filters[key];
      if (names !== undefined) replaced[key] = names.map((name) => this.find(name).record.created);
    }
    return replaced;
  }

  /** Filters in which a network may also be meant by `bridge` or its id. */
  #withNetworkNames(filters: Record<string, string[]>): Record<string, string[]> {
    const { network } = filters;
    if (network === undefined) return filters;
    const names = network.flatMap((ref) => {
      try {
        return [ref, this.deps.networks.resolve(ref)];
      } catch {
        return [ref];
      }
    });
    return { ...filters, network: names };
  }

  /** Details of one container. */
  inspect(ref: string): Promise<ContainerDetails> {
    return Promise.resolve(detailsOf(this.find(ref).record, this.deps.baseDir));
  }

  /** Containers made from an image. */
  usersOfImage(imageId: string): Container[] {
    return this.all.filter((c) => c.record.image.id === imageId);
  }

  /** Containers that use a volume. */
  usersOfVolume(name: string): Container[] {
    return this.all.filter((c) =>
      c.record.mounts.some((m) => m.name === name) ||
      (c.record.spec.mounts ?? []).some((m) => m.type === "volume" && m.source === name)
    );
  }

  /** Containers whose configuration names a network, running or not. */
  usersOfNetwork(name: string): Container[] {
    return this.all.filter((c) =>
      ownsNetwork(networkMode(c.record)) &&
      networkRequest(c.record, this.deps.defaults.network).attachments.some((a) => a.network === name)
    );
  }
}
