/** The daemon about itself: version, facts, disk usage, events, shutdown. */

import type { SystemService } from "../control/services.ts";
import type { DaemonConfig } from "../config.ts";
import type { EventBus } from "../events/bus.ts";
import type { DiskUsage, DiskUsageRow, EventRecord, SystemInfo, VersionInfo, VolumeInfo } from "../spec/api.ts";
import { API_VERSION, VERSION } from "../spec/version.ts";
import { LIVE } from "../supervisor/machine.ts";
import type { Stages } from "../supervisor/deps.ts";
import type { Supervisor } from "../supervisor/supervisor.ts";
import type { HostFacts } from "../../workers/protocol.ts";
import type { LoopDelay } from "./loop_delay.ts";

/** What the system service needs. */
export interface SystemDeps {
  config: DaemonConfig;
  host: HostFacts;
  /** Addresses of the default network. */
  addresses: { subnet: string; gateway: string };
  crunVersion: string;
  supervisor: Supervisor;
  stages: Stages;
  images: {
    readonly count: number;
    usage(): Promise<{ images: number; total: number; active: number; reclaimable: number }>;
  };
  volumes: { list(): Promise<VolumeInfo[]> };
  events: EventBus;
  delay: LoopDelay;
  warnings: string[];
  /** Stops the daemon; containers first when asked. */
  stop(stopContainers: boolean): void;
}

/** Commit and date that a build put in, else the words for a run from source. */
const BUILD = { commit: "source", buildDate: "source" };

/** System service of a running daemon. */
export class System implements SystemService {
  readonly #deps: SystemDeps;

  /** @param deps the daemon's parts */
  constructor(deps: SystemDeps) {
    this.#deps = deps;
  }

  /** Versions. */
  version(): VersionInfo {
    const { crunVersion, host } = this.#deps;
    return {
      daemon: "nyxd",
      version: VERSION,
      ...BUILD,
      apiVersion: API_VERSION,
      deno: Deno.version.deno,
      crun: crunVersion,
      kernel: host.kernel,
    };
  }

  /** Facts. */
  async info(): Promise<SystemInfo> {
    const { config, host, addresses, supervisor, crunVersion, images, delay, warnings } = this.#deps;
    const all = supervisor.all;
    const running = all.filter((c) => LIVE.has(c.status)).length;
    const paused = all.filter((c) => c.status === "paused").length;
    const { findings } = await this.#deps.stages.network.call("diagnose", {});
    return {
      version: VERSION,
      baseDir: config.baseDir,
      containers: { total: all.length, running: running - paused, paused, stopped: all.length - running },
      images: images.count,
      cgroup: host.cgroup,
      netDriver: config.netDriver,
      kernel: host.kernel,
      architecture: Deno.build.arch === "aarch64" ? "arm64" : "amd64",
      cpus: navigator.hardwareConcurrency,
      memoryBytes: Deno.systemMemoryInfo().total,
      crun: crunVersion,
      network: { name: config.network, bridge: config.bridge, ...addresses },
      eventLoopDelayMs: delay.read(),
      warnings: [...warnings, ...findings],
    };
  }

  /** Disk usage; sizes as du counts them. */
  async df(): Promise<DiskUsage> {
    const { config: { baseDir }, supervisor, stages, images, volumes } = this.#deps;
    const all = supervisor.all;
    const volumeList = await volumes.list();
    const paths = [
      ...all.map((c) => `${baseDir}/overlay/${c.id}/diff`),
      ...volumeList.map((v) => v.mountpoint),
      `${baseDir}/logs`,
      baseDir,
    ];
    const [{ bytes }, image] = await Promise.all([stages.rootfs.call("usage", { paths }), images.usage()]);
    const containers = bytes.slice(0, all.length);
    const volumeBytes = bytes.slice(all.length, all.length + volumeList.length);
    const sum = (list: number[]) => list.reduce((a, b) => a + b, 0);
    const row = (type: DiskUsageRow["type"], sizes: number[], active: boolean[]): DiskUsageRow => ({
      type,
      total: sizes.length,
      active: active.filter(Boolean).length,
      size: sum(sizes),
      reclaimable: sum(sizes.filter((_, i) => active[i] !== true)),
    });
    return {
      rows: [
        {
          type: "images",
          total: image.total,
          active: image.active,
          size: image.images,
          reclaimable: image.reclaimable,
        },
        row("containers", containers, all.map((c) => c.live)),
        row("volumes", volumeBytes, volumeList.map((v) => v.usedBy.length > 0)),
        { type: "logs", total: all.length, active: all.length, size: bytes.at(-2) ?? 0, reclaimable: 0 },
      ],
      total: bytes.at(-1) ?? 0,
    };
  }

  /** Events. */
  events(
    options: { since?: string; until?: string; filters: Record<string, string[]>; signal: AbortSignal },
  ): AsyncIterable<EventRecord> {
    return this.#deps.events.subscribe(options);
  }

  /** Stops all containers, newest first, then the daemon. */
  async shutdown(options: { timeoutS?: number }): Promise<void> {
    await this.#deps.supervisor.stopAll(options.timeoutS);
    this.#deps.stop(false);
  }
}
