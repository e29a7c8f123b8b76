/** How a container looks from outside: rows of the list, details of inspect, and filters. Pure. */

import type { ContainerDetails, ContainerSummary } from "../spec/api.ts";
import type { ContainerRecord } from "../persist/record.ts";
import { invalid } from "../spec/errors.ts";
import { humanDuration } from "../spec/time.ts";
import { networkMode } from "./launch.ts";
import { LIVE } from "./machine.ts";

/** STATUS column of `ps`. */
export function statusText(record: ContainerRecord, now: number): string {
  const { status, exitCode, startedAt, finishedAt, health } = record.state;
  const since = (time: string | undefined) => humanDuration(now - Date.parse(time ?? record.created));
  switch (status) {
    case "running":
    case "paused":
    case "stopping": {
      const note = status === "paused"
        ? " (Paused)"
        : health === undefined || health.status === "none"
        ? ""
        : ` (${health.status === "starting" ? "health: starting" : health.status})`;
      return `Up ${since(startedAt)}${note}`;
    }
    case "exited":
      return `Exited (${exitCode ?? 0}) ${since(finishedAt)} ago`;
    case "restarting":
      return `Restarting (${exitCode ?? 0}) ${since(finishedAt)} ago`;
    case "created":
      return "Created";
    case "starting":
      return "Starting";
    case "removing":
      return "Removal In Progress";
    case "dead":
      return "Dead";
  }
}

/** Ports that a container's image and `--expose` name, such as `80/tcp`. */
export function exposedPortsOf(record: ContainerRecord): string[] {
  return [...Object.keys(record.image.exec.ExposedPorts ?? {}), ...(record.spec.expose ?? [])];
}

/** Names of the networks a container is in. */
function networksOf(record: ContainerRecord): string[] {
  if (record.network !== undefined) return record.network.endpoints.map((e) => e.network);
  return [...new Set([networkMode(record), ...(record.spec.networks ?? []).map((a) => a.network)])];
}

/** One row of the list. */
export function summaryOf(record: ContainerRecord, now: number = Date.now()): ContainerSummary {
  const { state } = record;
  return {
    id: record.id,
    short_id: record.id.slice(0, 12),
    name: record.name,
    image: record.spec.image,
    image_id: record.image.id,
    command: record.argv.join(" "),
    created: record.created,
    status: state.status,
    status_text: statusText(record, now),
    ...(state.exitCode === undefined ? {} : { exit_code: state.exitCode }),
    ...(state.health === undefined ? {} : { health: state.health.status }),
    ...(record.ip === undefined || !LIVE.has(state.status) ? {} : { ip: record.ip }),
    ports: LIVE.has(state.status) ? record.ports : [],
    labels: { ...record.image.exec.Labels, ...record.spec.labels },
    networks: networksOf(record),
    mounts: record.mounts.map((m) => m.name ?? m.source),
    restart_count: state.restartCount,
  };
}

/** Everything about one container. */
export function detailsOf(record: ContainerRecord, baseDir: string): ContainerDetails {
  const { state } = record;
  const live = LIVE.has(state.status);
  const etc = (file: string) => `${record.bundleDir}/${file}`;
  return {
    id: record.id,
    short_id: record.id.slice(0, 12),
    name: record.name,
    created: record.created,
    image: record.image.ref,
    image_id: record.image.id,
    argv: record.argv,
    config: record.spec,
    image_config: record.image.exec,
    state: {
      status: state.status,
      running: live,
      pid: state.pid,
      ...(state.exitCode === undefined ? {} : { exit_code: state.exitCode }),
      oom_killed: state.oomKilled,
      ...(state.error === undefined ? {} : { error: state.error }),
      ...(state.startedAt === undefined ? {} : { started_at: state.startedAt }),
      ...(state.finishedAt === undefined ? {} : { finished_at: state.finishedAt }),
      restart_count: state.restartCount,
      ...(state.logDropped === undefined ? {} : { log_dropped: state.logDropped }),
      ...(state.health === undefined ? {} : {
        health: { status: state.health.status, failing_streak: state.health.failingStreak, log: state.health.log },
      }),
    },
    network: {
      mode: networkMode(record),
      ...(record.netNS === undefined || !live ? {} : { netns: record.netNS }),
      endpoints: live
        ? (record.network?.endpoints ?? []).map(({ foreign: _, ...endpoint }) => ({
          ...endpoint,
          aliases: (record.spec.networks ?? []).filter((a) => a.network === endpoint.network)
            .flatMap((a) => a.aliases ?? []),
        }))
        : [],
      ports: live ? record.ports : [],
    },
    mounts: record.mounts.map((m) => ({
      type: m.type,
      ...(m.name === undefined ? {} : { name: m.name }),
      source: m.source,
      target: m.target,
      rw: !m.options.includes("ro"),
      propagation: m.options.find((o) => /^r?(private|shared|slave)$/.test(o)) ?? "rprivate",
    })),
    ...(record.spec.healthcheck === undefined ? {} : { healthcheck: record.spec.healthcheck }),
    paths: {
      bundle: record.bundleDir,
      rootfs: record.rootFS,
      log: `${baseDir}/logs/${record.id}.log`,
      resolv_conf: etc("resolv.conf"),
      hosts: etc("hosts"),
      hostname: etc("hostname"),
    },
    stop_signal: record.stopSignal,
    warnings: record.warnings,
  };
}

type Test = (row: ContainerSummary, value: string, exposed: readonly string[]) => boolean;

/** Whether `wanted` (`80`, `80/udp`, `8000-8010`) touches the ports from `first` on. */
function touches(wanted: string, first: number, count: number, protocol: string): boolean {
  const [range = "", wantedProtocol = "tcp"] = wanted.split("/");
  const [low = NaN, high = low] = range.split("-").map(Number);
  return protocol === wantedProtocol && low < first + count && high >= first;
}

const FILTERS: Readonly<Record<string, Test>> = {
  id: (r, v) => r.id.startsWith(v),
  name: (r, v) => r.name.includes(v.replace(/^\//, "")),
  label: (r, v) => {
    const at = v.indexOf("=");
    const have = r.labels[at < 0 ? v : v.slice(0, at)];
    return have !== undefined && (at < 0 || have === v.slice(at + 1));
  },
  status: (r, v) => r.status === v,
  exited: (r, v) => r.status === "exited" && String(r.exit_code ?? 0) === v,
  health: (r, v) => (r.health ?? "none") === v,
  network: (r, v) => r.networks.includes(v),
  volume: (r, v) => r.mounts.includes(v),
  ancestor: (r, v) =>
    r.image === v || r.image === `${v}:latest` || r.image_id === v || r.image_id.startsWith(`sha256:${v}`),
  publish: (r, v) => r.ports.some((p) => touches(v, p.hostPort, p.count ?? 1, p.protocol ?? "tcp")),
  expose: (_, v, exposed) =>
    exposed.some((text) => {
      const [range = "", protocol = "tcp"] = text.split("/");
      const [low = NaN, high = low] = range.split("-").map(Number);
      return touches(v, low, high - low + 1, protocol);
    }),
  // Their values are times by now: the supervisor has looked the containers up.
  before: (r, v) => r.created < v,
  since: (r, v) => r.created > v,
  // A time, of prune.
  until: (r, v) => Date.parse(r.created) < Date.parse(v),
};

/**
 * Whether a row passes all filters; values of one key are alternatives.
 *
 * @param row the container
 * @param filters values by key; of `before` and `since` times, not names
 * @param exposed ports that its image and `--expose` name
 * @throws NyxError invalid_argument for an unknown key, naming those that exist
 */
export function passes(
  row: ContainerSummary,
  filters: Record<string, string[]>,
  exposed: readonly string[] = [],
): boolean {
  for (const [key, values] of Object.entries(filters)) {
    const test = Object.hasOwn(FILTERS, key) ? FILTERS[key] : undefined;
    if (test === undefined) throw invalid("filter", key, `use one of ${Object.keys(FILTERS).join(", ")}`);
    if (values.length > 0 && !values.some((v) => test(row, v, exposed))) return false;
  }
  return true;
}
