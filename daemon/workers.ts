/** Starts the stage workers and passes on what they say: their events to their owners, their log lines to the daemon's log. */

import type { Logger } from "./log/logger.ts";
import type { StageTypes } from "../workers/envelope.ts";
import { WorkerHost } from "../workers/host.ts";
import { bundlePermissions } from "../workers/bundle/permissions.ts";
import { startPullWorker } from "../workers/pull/permissions.ts";
import type {
  BundleStage,
  ExtractStage,
  NetworkStage,
  PullStage,
  RootfsStage,
  StreamsStage,
} from "../workers/protocol.ts";

/** Owners of the workers' events, set once they exist. */
export interface WorkerEvents {
  streams?: (event: StreamsStage["event"]) => void;
  network?: (event: NetworkStage["event"]) => void;
  /** A worker was replaced and has lost its state. */
  respawned?: (name: string) => void;
}

/** Makes the workers of one daemon. */
export class Workers {
  readonly #log: Logger;
  readonly #events: WorkerEvents;
  readonly #baseDir: string;
  readonly #hosts: { terminate(): void }[] = [];

  /**
   * @param baseDir the daemon's base directory
   * @param log the daemon's log
   * @param events owners of events
   */
  constructor(baseDir: string, log: Logger, events: WorkerEvents) {
    this.#baseDir = baseDir;
    this.#log = log;
    this.#events = events;
  }

  #host<S extends StageTypes>(name: string, start: () => Worker, onEvent?: (e: S["event"]) => void): WorkerHost<S> {
    const log = this.#log.with({ worker: name });
    const host = new WorkerHost<S>({
      name,
      start,
      onLog: (level, msg, fields) => log.log(level, msg, fields),
      onRespawn: () => this.#events.respawned?.(name),
      ...(onEvent === undefined ? {} : { onEvent }),
    });
    this.#hosts.push(host);
    return host;
  }

  /** Registries; confined. */
  pull(): WorkerHost<PullStage> {
    return this.#host<PullStage>("pull", () => startPullWorker({ imagesDir: `${this.#baseDir}/images` }));
  }

  /** Unpacking. */
  extract(): WorkerHost<ExtractStage> {
    return this.#host<ExtractStage>(
      "extract",
      () => new Worker(new URL("../workers/extract/main.ts", import.meta.url), { type: "module" }),
    );
  }

  /** Mounts, volumes, trees. */
  rootfs(): WorkerHost<RootfsStage> {
    return this.#host<RootfsStage>(
      "rootfs",
      () => new Worker(new URL("../workers/rootfs/main.ts", import.meta.url), { type: "module" }),
    );
  }

  /** OCI configuration; confined. */
  bundle(): WorkerHost<BundleStage> {
    return this.#host<BundleStage>("bundle", () =>
      new Worker(new URL("../workers/bundle/main.ts", import.meta.url), {
        type: "module",
        deno: { permissions: bundlePermissions(`${this.#baseDir}/bundles`) },
      }));
  }

  /** Namespaces, addresses, rules. */
  network(): WorkerHost<NetworkStage> {
    return this.#host<NetworkStage>(
      "network",
      () => new Worker(new URL("../workers/network/main.ts", import.meta.url), { type: "module" }),
      (e) => this.#events.network?.(e),
    );
  }

  /** crun, streams, logs. */
  streams(): WorkerHost<StreamsStage> {
    return this.#host<StreamsStage>(
      "streams",
      () => new Worker(new URL("../workers/streams/main.ts", import.meta.url), { type: "module" }),
      (e) => this.#events.streams?.(e),
    );
  }

  /** Ends all workers. */
  terminate(): void {
    for (const host of this.#hosts) host.terminate();
  }
}
