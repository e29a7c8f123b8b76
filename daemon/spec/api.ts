/**
 * Bodies of the HTTP API as the daemon gives them and the client gets them. Requests that make containers are
 * {@linkcode ContainerConfig}. Times are RFC 3339 UTC; sizes are bytes; ids are whole unless the name says short.
 */

import type { ContainerConfig, ContainerStatus, Healthcheck, PortMapping } from "./container.ts";
import type { ErrorData } from "./errors.ts";
import type { HistoryEntry, ImageConfig, RegistryCredentials } from "./image.ts";

/** Body of every answer with a status of 400 or more. */
export interface ErrorBody {
  error: ErrorData;
}

/** GET /v1/version. */
export interface VersionInfo {
  daemon: "nyxd";
  version: string;
  commit: string;
  buildDate: string;
  apiVersion: string;
  deno: string;
  crun: string;
  kernel: string;
}

/** GET /v1/info. */
export interface SystemInfo {
  version: string;
  baseDir: string;
  containers: { total: number; running: number; paused: number; stopped: number };
  images: number;
  cgroup: string;
  netDriver: string;
  kernel: string;
  architecture: string;
  cpus: number;
  memoryBytes: number;
  crun: string;
  network: { name: string; bridge: string; subnet: string; gateway: string };
  eventLoopDelayMs: { p50: number; p99: number; max: number };
  warnings: string[];
}

/** One row of GET /v1/containers?detail=1. */
export interface ContainerSummary {
  id: string;
  short_id: string;
  name: string;
  image: string;
  image_id: string;
  command: string;
  created: string;
  status: ContainerStatus;
  /** As `ps` shows it, such as `Up 3 minutes (healthy)`. */
  status_text: string;
  exit_code?: number;
  health?: HealthStatus;
  ip?: string;
  ports: Required<PortMapping>[];
  labels: Record<string, string>;
  networks: string[];
  mounts: string[];
  restart_count: number;
}

/** State of a health probe. */
export type HealthStatus = "starting" | "healthy" | "unhealthy" | "none";

/** One probe's outcome. */
export interface HealthResult {
  start: string;
  end: string;
  exitCode: number;
  /** First 4096 bytes. */
  output: string;
}

/** GET /v1/containers/{id}. */
export interface ContainerDetails {
  id: string;
  short_id: string;
  name: string;
  created: string;
  image: string;
  image_id: string;
  /** Entrypoint and arguments as run. */
  argv: string[];
  /** As asked for, defaults resolved. Values of secrets never appear. */
  config: ContainerConfig;
  state: {
    status: ContainerStatus;
    running: boolean;
    pid: number;
    exit_code?: number;
    oom_killed: boolean;
    error?: string;
    started_at?: string;
    finished_at?: string;
    restart_count: number;
    health?: { status: HealthStatus; failing_streak: number; log: HealthResult[] };
  };
  network: {
    mode: string;
    netns?: string;
    endpoints: { network: string; ip: string; prefix: number; gateway: string; ip6?: string; mac: string }[];
    ports: Required<PortMapping>[];
  };
  mounts: { type: string; name?: string; source: string; target: string; rw: boolean; propagation: string }[];
  healthcheck?: Healthcheck;
  paths: { bundle: string; rootfs: string; log: string; resolv_conf: string; hosts: string; hostname: string };
  stop_signal: string;
  warnings: string[];
}

/** POST /v1/containers/run beside {@linkcode ContainerConfig}; registry fields keep their old names. */
export interface RunOptions {
  /** NDJSON of pull events, then of the run. */
  stream?: boolean;
  pull?: "always" | "missing" | "never";
  registry_username?: string;
  registry_password?: string;
  registry_identity_token?: string;
}

/** First frame of a framed run request (`Content-Type: application/vnd.nyx.stream`). */
export interface AttachedRun extends ContainerConfig, RunOptions {
  attach: { stdin: boolean; stdout: boolean; stderr: boolean; rows?: number; cols?: number };
}

/** JSON frames (kind 3) from the daemon on an attached stream, in order; `exit` or `error` is the last. */
export type StreamEvent =
  | { event: "pull"; pull: import("./image.ts").PullEvent }
  | { event: "created"; id: string; warnings: string[] }
  | { event: "started"; id: string; pid: number }
  | { event: "exit"; exitCode: number; oomKilled: boolean; error?: string }
  | { event: "error"; error: ErrorData };

/** POST /v1/containers/{id}/exec. */
export interface ExecRequest {
  argv: string[];
  tty?: boolean;
  stdin?: boolean;
  detach?: boolean;
  env?: string[];
  user?: string;
  workingDir?: string;
  privileged?: boolean;
  rows?: number;
  cols?: number;
}

/** POST /v1/containers. */
export interface CreateResult {
  ok: true;
  id: string;
  name: string;
  image: string;
  warnings: string[];
}

/** GET /v1/images?detail=1 row. */
export interface ImageSummary {
  /** Config digest. */
  id: string;
  refs: string[];
  digests: string[];
  created?: string;
  /** Unpacked bytes as du counts them, all layers. */
  size: number;
  containers: number;
  platform: string;
  labels: Record<string, string>;
}

/** GET /v1/images/inspect. */
export interface ImageDetails extends ImageSummary {
  config: ImageConfig;
  manifestDigest: string;
  layers: { diffId: string; digest: string; compressedSize: number; diskBytes: number }[];
}

/** GET /v1/images/history row, newest first. */
export interface ImageHistoryRow extends HistoryEntry {
  size: number;
}

/** POST /v1/images/pull. */
export interface PullRequest {
  ref: string;
  stream?: boolean;
  platform?: string;
  username?: string;
  password?: string;
  identityToken?: string;
}

/** POST /v1/images/pull without stream. */
export interface PullResult {
  ok: true;
  ref: string;
  id: string;
  digest: string;
  cached: boolean;
  config: {
    os: string;
    architecture: string;
    entrypoint: string[];
    cmd: string[];
    working_dir: string;
    env_len: number;
  };
}

/** POST /v1/images/remove. */
export interface ImageRemoveResult {
  ok: true;
  ref: string;
  untagged: string[];
  deleted: string[];
}

/** POST /v1/images/prune. */
export interface ImagePruneResult {
  ok: true;
  dry_run: boolean;
  removed: string[];
  in_use: string[];
  reclaimed: number;
}

/** POST /v1/login body. */
export interface LoginRequest extends RegistryCredentials {
  registry: string;
}

/** GET /v1/volumes row. */
export interface VolumeInfo {
  name: string;
  driver: "local";
  mountpoint: string;
  created: string;
  labels: Record<string, string>;
  options: Record<string, string>;
  anonymous: boolean;
  /** Containers that use it. */
  usedBy: string[];
}

/** One row of GET /v1/system/df. */
export interface DiskUsageRow {
  type: "images" | "containers" | "volumes" | "logs";
  total: number;
  active: number;
  size: number;
  reclaimable: number;
}

/** GET /v1/system/df. */
export interface DiskUsage {
  rows: DiskUsageRow[];
  /** Whole base directory as du counts it. */
  total: number;
}

/** One line of GET /v1/events. */
export interface EventRecord {
  /** RFC 3339 with nanoseconds. */
  time: string;
  type: "container" | "image" | "volume" | "network" | "daemon";
  /** Such as create, start, die, stop, destroy, oom, health_status, pull, prune. */
  action: string;
  id: string;
  attributes: Record<string, string>;
}

/** Answer to what acts on one container: its whole id. */
export interface IdResult {
  /** Always true; failures are {@linkcode ErrorBody}. */
  ok: true;
  /** Whole id. */
  id: string;
}

/** POST /v1/containers/{id}/start. */
export interface StartResult extends IdResult {
  /** First process, as the host numbers it. */
  pid: number;
}

/** POST /v1/containers/run without `stream`. */
export interface RunResult extends CreateResult {
  /** First process, as the host numbers it. */
  pid: number;
}

/** First frame of a framed attach or start; missing fields are stdin false, stdout and stderr true. */
export interface AttachRequest {
  /** Feed standard input. */
  stdin?: boolean;
  /** Show standard output. */
  stdout?: boolean;
  /** Show standard error. */
  stderr?: boolean;
  /** Lines of log to show first. */
  replay?: number;
  /** Height of the client's terminal, in characters. */
  rows?: number;
  /** Width of the client's terminal, in characters. */
  cols?: number;
}

/** Query of GET /v1/containers. */
export interface ContainerListQuery {
  /** Also those that do not run; default true. */
  all?: boolean;
  /** Such as `{status: ["running"], label: ["a=b"]}`: values of one key are alternatives, keys add up. */
  filters?: Record<string, string[]>;
  /** Also measure disk usage, which takes longer. */
  size?: boolean;
}

/** Query of GET /v1/containers/{id}/logs. Times are RFC 3339, or seconds since 1970. */
export interface ContainerLogQuery {
  /** Go on as lines are written; default false. */
  follow?: boolean;
  /** Lines from the end; missing means all. */
  tail?: number;
  /** First moment. */
  since?: string;
  /** Last moment. */
  until?: string;
  /** Include standard output; default true. */
  stdout?: boolean;
  /** Include standard error; default true. */
  stderr?: boolean;
  /** Put the time before each line; default false. */
  timestamps?: boolean;
  /** Lines with this text alone. */
  grep?: string;
  /** `text` mixes both streams, `frames` keeps them apart (spec/frames.ts), `jsonl` is the file's own lines. Default text. */
  format?: "text" | "frames" | "jsonl";
}

/** What POST /v1/containers/{id}/wait waits for. */
export type WaitCondition = "not-running" | "next-exit" | "removed" | "healthy";

/** POST /v1/containers/{id}/wait. */
export interface WaitResult {
  /** 0..255, as Docker's. */
  exitCode: number;
  /** Why it never ran. */
  error?: string;
}

/** POST /v1/containers/{id}/update; at least one of both. */
export interface ContainerUpdate {
  /** Limits to change; the others stay. */
  resources?: import("./container.ts").Resources;
  /** Restart policy as on the command line, such as `on-failure:3`. */
  restart?: string;
}

/** POST /v1/containers/{id}/exec with `detach`. */
export interface ExecDetached extends IdResult {
  /** Names this exec in GET /v1/containers/{id}/exec/{execId}. */
  exec_id: string;
  /** Its process, as the host numbers it. */
  pid?: number;
}

/** GET /v1/containers/{id}/exec/{execId}. */
export interface ExecState {
  /** Id of the exec. */
  exec_id: string;
  /** Whether its process still runs. */
  running: boolean;
  /** Once it ended. */
  exit_code?: number;
}

/** GET /v1/containers/{id}/top. */
export interface TopResult {
  /** Column headings. */
  titles: string[];
  /** One row a process, as long as `titles`. */
  processes: string[][];
}

/** GET /v1/containers/{id}/changes row: Added, Changed or Deleted against the image. */
export interface FilesystemChange {
  /** What happened. */
  kind: "A" | "C" | "D";
  /** Path inside the container. */
  path: string;
}

/** Answer of the prune routes of containers and volumes. */
export interface PruneResult {
  /** Always true; failures are {@linkcode ErrorBody}. */
  ok: true;
  /** Ids, or names of volumes. */
  removed: string[];
  /** Bytes. */
  reclaimed: number;
}

/** POST /v1/images/load. */
export interface ImageLoadResult {
  /** Always true; failures are {@linkcode ErrorBody}. */
  ok: true;
  /** References that the archive named. */
  refs: string[];
  /** Config digests of all its images. */
  ids: string[];
}

/** POST /v1/login. */
export interface LoginResult {
  /** Always true; failures are {@linkcode ErrorBody}. */
  ok: true;
  /** OAuth2 refresh token to keep in place of the password, where the registry gave one. */
  identityToken?: string;
}

/** POST /v1/volumes. */
export interface VolumeCreateRequest {
  /** Missing means an anonymous volume with a random name. */
  name?: string;
  /** Only `local`. */
  driver?: string;
  /** Options of the local driver: type, device, o. */
  options?: Record<string, string>;
  /** Free labels. */
  labels?: Record<string, string>;
}
