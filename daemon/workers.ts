/** Starts the stage workers and passes on what they say: their events to their owners, their log lines to the daemon's log. */

import { startLoadingWorker } from "./compose/loading/permissions.ts";
import type { LoadingStage } from "./compose/loading/protocol.ts";
import type { Logger } from "./log/logger.ts";
import type { Telemetry } from "./telemetry/telemetry.ts";
import type { StageTypes } from "../workers/envelope.ts";
import { WorkerHost } from "../workers/host.ts";
import { bundlePermissions } from "../workers/bundle/permissions.ts";
import { cniPermissions, type CniPlaces } from "../workers/cni/permissions.ts";
import { startExtractWorker } from "../workers/extract/permissions.ts";
import { networkPermissions } from "../workers/network/permissions.ts";
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
  /** A worker was replaced and has lost its state; the promise settles when it has it again. */
  respawned?: (name: string) => Promise<unknown> | undefined;
}

/** A worker's permissions before those it needs. */
const NOTHING = {
  env: false,
  ffi: false,
  import: false,
  net: false,
  read: false,
  run: false,
  sys: false,
  write: false,
} as const;

/** Makes the workers of one daemon. */
export class Workers {
  readonly #log: Logger;
  readonly #events: WorkerEvents;
  readonly #baseDir: string;
  readonly #telemetry: Telemetry | undefined;
  readonly #hosts = new Set<{ terminate(): void }>();

  /**
   * @param baseDir the daemon's base directory
   * @param log the daemon's log
   * @param events owners of events
   * @param telemetry told of every request to a stage, where it is on
   */
  constructor(baseDir: string, log: Logger, events: WorkerEvents, telemetry?: Telemetry) {
    this.#telemetry = telemetry;
    this.#baseDir = baseDir;
    this.#log = log;
    this.#events = events;
  }

  #host<S extends StageTypes>(name: string, start: () => Worker, onEvent?: (e: S["event"]) => void): WorkerHost<S> {
    const log = this.#log.with({ worker: name });
    const telemetry = this.#telemetry;
    const onCall = telemetry === undefined ? undefined : (op: string) => telemetry.stage(name, op).end;
    const host: WorkerHost<S> = new WorkerHost<S>({
      onTerminate: () => this.#hosts.delete(host),
      name,
      start,
      onLog: (level, msg, fields) => log.log(level, msg, fields),
      onRespawn: () => this.#events.respawned?.(name),
      ...(onEvent === undefined ? {} : { onEvent }),
      ...(onCall === undefined ? {} : { onCall }),
    });
    this.#hosts.add(host);
    return host;
  }

  /** Registries; confined. */
  pull(): WorkerHost<PullStage> {
    return this.#host<PullStage>("pull", () => startPullWorker({ imagesDir: `${this.#baseDir}/images` }));
  }

  /** Unpacking. */
  extract(): WorkerHost<ExtractStage> {
    return this.#host<ExtractStage>("extract", () => startExtractWorker());
  }

  /** Mounts, volumes, trees. */
  rootfs(): WorkerHost<RootfsStage> {
    return this.#host<RootfsStage>(
      "rootfs",
      () =>
        new Worker(new URL("../workers/rootfs/main.ts", import.meta.url), {
          type: "module",
          deno: { permissions: { ...NOTHING, ffi: "inherit", read: [this.#baseDir], write: [this.#baseDir] } },
        }),
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

  /** Namespaces, addresses, rules; containers attached by plugins. */
  cni(places: CniPlaces): WorkerHost<NetworkStage> {
    return this.#host<NetworkStage>(
      "network",
      () =>
        new Worker(new URL("../workers/cni/main.ts", import.meta.url), {
          type: "module",
          deno: { permissions: cniPermissions(this.#baseDir, places) },
        }),
      (e) => this.#events.network?.(e),
    );
  }

  /** Namespaces, addresses, rules. */
  network(): WorkerHost<NetworkStage> {
    return this.#host<NetworkStage>(
      "network",
      () =>
        new Worker(new URL("../workers/network/main.ts", import.meta.url), {
          type: "module",
          deno: { permissions: networkPermissions(this.#baseDir) },
        }),
      (e) => this.#events.network?.(e),
    );
  }

  /** crun, streams, logs. */
  streams(): WorkerHost<StreamsStage> {
    return this.#host<StreamsStage>(
      "streams",
      () =>
        new Worker(new URL("../workers/streams/main.ts", import.meta.url), {
          type: "module",
          deno: {
            permissions: { ...NOTHING, ffi: "inherit", run: "inherit", read: "inherit", write: [this.#baseDir] },
          },
        }),
      (e) => this.#events.streams?.(e),
    );
  }

  /** Compose files; holds no permission. */
  compose(): WorkerHost<LoadingStage> {
    return this.#host<LoadingStage>("compose", startLoadingWorker);
  }

  /** Ends all workers. */
  terminate(): void {
    for (const host of [...this.#hosts]) host.terminate();
  }
}
