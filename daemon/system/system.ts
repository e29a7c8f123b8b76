/** The daemon about itself: version, facts, disk usage, events, shutdown. */

import { statfs } from "node:fs/promises";
import type { SystemService } from "../control/services.ts";
import { resolversIn } from "../dns/host_resolvers.ts";
import type { DaemonConfig } from "../config.ts";
import type { EventBus } from "../events/bus.ts";
import type {
  CheckResult,
  DiskUsage,
  DiskUsageRow,
  DoctorFinding,
  EventRecord,
  SystemInfo,
  VersionInfo,
  VolumeInfo,
} from "../spec/api.ts";
import { API_VERSION, BUILD, VERSION } from "../spec/version.ts";
import { crunWarnings } from "../runtime/crun_advisories.ts";
import { readHostResolvConf } from "../supervisor/launch.ts";
import { LIVE } from "../supervisor/machine.ts";
import type { Stages, SupervisorDeps } from "../supervisor/deps.ts";
import type { Supervisor } from "../supervisor/supervisor.ts";
import type { HostFacts } from "../../workers/protocol.ts";
import { check } from "./check.ts";
import { diagnoseHost } from "./doctor.ts";
import type { LoopDelay } from "./loop_delay.ts";
import { type Metric, renderMetrics } from "./metrics.ts";

/** What the system service needs. */
export interface SystemDeps {
  config: DaemonConfig;
  host: HostFacts;
  /** Addresses of the default network. */
  addresses: { subnet: string; gateway: string };
  crunVersion: string;
  supervisor: Supervisor;
  /** What the supervisor works with. */
  supervision: SupervisorDeps;
  stages: Stages;
  images: {
    readonly count: number;
    usage(): Promise<{ images: number; total: number; active: number; reclaimable: number }>;
  };
  volumes: { list(): Promise<VolumeInfo[]> };
  builder: { usage(): Promise<number>; readonly running: number };
  events: EventBus;
  delay: LoopDelay;
  logBudget: { readonly budgetBytes: number };
  dns: { readonly status: { mode: string; listening: string[]; missing: string[] } };
  warnings: string[];
  /** Stops the daemon; containers first when asked. */
  stop(stopContainers: boolean): void;
}

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
      warnings: [...new Set([...warnings, ...findings])],
    };
  }

  /** Disk usage; sizes as du counts them. */
  async df(): Promise<DiskUsage> {
    const { config: { baseDir }, supervisor, stages, images, volumes, builder, logBudget } = this.#deps;
    const all = supervisor.all;
    const volumeList = await volumes.list();
    const paths = [
      ...all.map((c) => `${baseDir}/overlay/${c.id}/diff`),
      ...volumeList.map((v) => v.mountpoint),
      `${baseDir}/logs`,
      baseDir,
    ];
    const [{ bytes }, image, built] = await Promise.all([
      stages.rootfs.call("usage", { paths }),
      images.usage(),
      builder.usage(),
    ]);
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
        {
          type: "logs",
          total: all.length,
          active: all.length,
          size: bytes.at(-2) ?? 0,
          reclaimable: 0,
          ...(Number.isFinite(logBudget.budgetBytes) ? { limit: logBudget.budgetBytes } : {}),
        },
        {
          type: "build-cache",
          total: built > 0 ? 1 : 0,
          active: builder.running,
          size: built,
          reclaimable: builder.running > 0 ? 0 : built,
        },
      ],
      total: bytes.at(-1) ?? 0,
    };
  }

  /** Compares records with what is there. */
  check({ repair }: { repair: boolean }): Promise<CheckResult> {
    return check(this.#deps.supervisor, this.#deps.supervision, repair);
  }

  /** What of the host helps or hinders. */
  async doctor(): Promise<DoctorFinding[]> {
    const { config: { baseDir, resolvConf }, host, crunVersion, warnings, stages, dns, supervisor } = this.#deps;
    const [{ bavail, blocks, bsize, ffree, files }, { findings }, kernel, hostResolvConf] = await Promise.all([
      statfs(baseDir),
      stages.network.call("diagnose", {}),
      stages.rootfs.call("kernelFeatures", {}),
      readHostResolvConf(resolvConf),
    ]);
    const told = new Set([...findings, ...crunWarnings(crunVersion)]);
    const times = supervisor.all.flatMap((
      { record: { created, state } },
    ) => [created, state.startedAt, state.finishedAt]);
    return diagnoseHost({
      host,
      kernel,
      crunVersion,
      disk: { free: bavail * bsize, total: blocks * bsize, freeFiles: ffree, files },
      network: findings,
      dns: { ...dns.status, hostResolvers: resolversIn(hostResolvConf).length },
      warnings: warnings.filter((w) => !told.has(w)),
      now: Date.now(),
      newest: Math.max(0, ...times.map((t) => t === undefined ? 0 : Date.parse(t)).filter(Number.isFinite)),
    });
  }

  /** Metrics in Prometheus's text format. */
  metrics(): string {
    return renderMetrics(this.families());
  }

  /** The metrics themselves. */
  families(): Metric[] {
    const { supervisor, images, events, delay, stages } = this.#deps;
    const { p50, p99, max } = delay.read();
    const all = supervisor.all;
    const states = Map.groupBy(all, (c) => c.status);
    const each = (value: (c: typeof all[number]) => number) =>
      all.map((c) => ({ labels: { id: c.id.slice(0, 12), name: c.name }, value: value(c) }));
    return [
      { name: "nyxd_info", type: "gauge", help: "The daemon.", samples: [{ labels: { version: VERSION }, value: 1 }] },
      {
        name: "nyxd_uptime_seconds",
        type: "gauge",
        help: "Time since the daemon began.",
        samples: [{ value: Math.round(performance.now()) / 1000 }],
      },
      {
        name: "nyxd_resident_memory_bytes",
        type: "gauge",
        help: "Memory of the daemon.",
        samples: [{ value: Deno.memoryUsage().rss }],
      },
      {
        name: "nyxd_event_loop_delay_milliseconds",
        type: "gauge",
        help: "How late timers of the main thread fired in the last minute.",
        samples: [["0.5", p50], ["0.99", p99], ["1", max]].map(([quantile, value]) => ({
          labels: { quantile: String(quantile) },
          value: Number(value),
        })),
      },
      {
        name: "nyxd_worker_requests",
        type: "gauge",
        help: "Requests that a stage has under way.",
        samples: Object.entries(stages).map(([stage, host]) => ({ labels: { stage }, value: host.pending })),
      },
      {
        name: "nyxd_containers",
        type: "gauge",
        help: "Containers by state.",
        samples: [...states].map(([state, list]) => ({ labels: { state }, value: list.length })),
      },
      { name: "nyxd_images", type: "gauge", help: "Images.", samples: [{ value: images.count }] },
      {
        name: "nyxd_events_total",
        type: "counter",
        help: "Events by kind since the start: pulls, starts, ends.",
        samples: events.counts.map(({ type, action, count }) => ({ labels: { type, action }, value: count })),
      },
      {
        name: "nyx_container_restarts_total",
        type: "counter",
        help: "Restarts by policy.",
        samples: each((c) => c.record.state.restartCount),
      },
      {
        name: "nyx_container_log_dropped_lines_total",
        type: "counter",
        help: "Lines of output that were not logged.",
        samples: each((c) => c.record.state.logDropped ?? 0),
      },
    ];
  }

  /** Events. */
  events(
    options: { since?: string; until?: string; filters: Record<string, string[]>; signal: AbortSignal },
  ): AsyncIterable<EventRecord> {
    return this.#deps.events.subscribe(options);
  }

  /** Stops all containers, those that need others first, then the daemon; `timeoutS` is for all. */
  async shutdown(options: { timeoutS?: number }): Promise<void> {
    await this.#deps.supervisor.stopAll(options.timeoutS);
    this.#deps.stop(false);
  }
}
