/**
 * Bodies of the HTTP API as the daemon gives them and the client gets them. Requests that make containers are
 * {@linkcode ContainerConfig}. Times are RFC 3339 UTC; sizes are bytes; ids are whole unless the name says short.
 */

import type { ContainerConfig, ContainerStatus, Healthcheck, PortMapping } from "./container.ts";
import type { ErrorData } from "./errors.ts";
import type { HistoryEntry, ImageConfig, ImageExecConfig, RegistryCredentials } from "./image.ts";

/** Body of every answer with a status of 400 or more. */
export interface ErrorBody {
  /** What went wrong. */
  error: ErrorData;
}

/** GET /v1/version. */
export interface VersionInfo {
  /** Tells nyxd from others on such a socket. */
  daemon: "nyxd";
  /** Semantic version. */
  version: string;
  /** Of the source, or `unknown`. */
  commit: string;
  /** RFC 3339, or `unknown`. */
  buildDate: string;
  /** Of these routes. */
  apiVersion: string;
  /** Of the runtime. */
  deno: string;
  /** Of the OCI runtime. */
  crun: string;
  /** As uname(2) gives it. */
  kernel: string;
}

/** GET /v1/info. */
export interface SystemInfo {
  /** Semantic version of the daemon. */
  version: string;
  /** Where images, containers and volumes are kept. */
  baseDir: string;
  /** Numbers of containers. */
  containers: { total: number; running: number; paused: number; stopped: number };
  /** Number of images. */
  images: number;
  /** v2, v1 or hybrid. */
  cgroup: string;
  /** native or cni. */
  netDriver: string;
  /** As uname(2) gives it. */
  kernel: string;
  /** Of the machine, as uname(2) gives it. */
  architecture: string;
  /** CPUs of the host. */
  cpus: number;
  /** Memory of the host. */
  memoryBytes: number;
  /** Version of the OCI runtime. */
  crun: string;
  /** The default network. */
  network: { name: string; bridge: string; subnet: string; gateway: string };
  /** How long the daemon's main thread was late, in milliseconds. */
  eventLoopDelayMs: { p50: number; p99: number; max: number };
  /** What an operator should look after. */
  warnings: string[];
}

/** One row of GET /v1/containers?detail=1. */
export interface ContainerSummary {
  /** Whole id. */
  id: string;
  /** First 12 digits of the id. */
  short_id: string;
  /** Unique name. */
  name: string;
  /** As it was asked for. */
  image: string;
  /** Config digest. */
  image_id: string;
  /** As one line. */
  command: string;
  /** RFC 3339. */
  created: string;
  /** State. */
  status: ContainerStatus;
  /** As `ps` shows it, such as `Up 3 minutes (healthy)`. */
  status_text: string;
  /** Of the last run, once it ended. */
  exit_code?: number;
  /** Missing without a probe. */
  health?: HealthStatus;
  /** In its first network, while it runs. */
  ip?: string;
  /** As published, with the host ports that were taken. */
  ports: Required<PortMapping>[];
  /** The image's and its own. */
  labels: Record<string, string>;
  /** Names. */
  networks: string[];
  /** Names of volumes, and sources of binds. */
  mounts: string[];
  /** Restarts by policy since it was last started by hand. */
  restart_count: number;
}

/** State of a health probe. */
export type HealthStatus = "starting" | "healthy" | "unhealthy" | "none";

/** One probe's outcome. */
export interface HealthResult {
  /** RFC 3339. */
  start: string;
  /** RFC 3339. */
  end: string;
  /** 0 is healthy. */
  exitCode: number;
  /** First 4096 bytes. */
  output: string;
}

/** GET /v1/containers/{id}. */
export interface ContainerDetails {
  /** Whole id. */
  id: string;
  /** First 12 digits of the id. */
  short_id: string;
  /** Unique name. */
  name: string;
  /** RFC 3339. */
  created: string;
  /** As it was asked for. */
  image: string;
  /** Config digest. */
  image_id: string;
  /** Entrypoint and arguments as run. */
  argv: string[];
  /** As asked for, defaults resolved. Values of secrets never appear. */
  config: ContainerConfig;
  /** What the image gives where `config` says nothing; keys as in the image. */
  image_config?: ImageExecConfig;
  /** What it does. `pid` is 0 when it does not run; times are RFC 3339. */
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
    /** Lines of output that were not logged, by the mode `drop` or because the disk was full. */
    log_dropped?: number;
    health?: { status: HealthStatus; failing_streak: number; log: HealthResult[] };
  };
  /** Where it can be reached. `netns` is a path. */
  network: {
    mode: string;
    netns?: string;
    endpoints: {
      network: string;
      interface: string;
      /** Missing, as prefix and gateway are, in a network with IPv6 alone. */
      ip?: string;
      prefix?: number;
      gateway?: string;
      ip6?: string;
      prefix6?: number;
      gateway6?: string;
      mac: string;
      aliases: string[];
    }[];
    ports: Required<PortMapping>[];
  };
  /** As they are, volumes of the image included. */
  mounts: { type: string; name?: string; source: string; target: string; rw: boolean; propagation: string }[];
  /** The probe in force. */
  healthcheck?: Healthcheck;
  /** Files of the daemon about it, on the host. */
  paths: { bundle: string; rootfs: string; log: string; resolv_conf: string; hosts: string; hostname: string };
  /** Name. */
  stop_signal: string;
  /** What could not be done exactly as asked. */
  warnings: string[];
}

/** POST /v1/containers/run beside {@linkcode ContainerConfig}; registry fields keep their old names. */
export interface RunOptions {
  /** NDJSON of pull events, then of the run. */
  stream?: boolean;
  /** When to ask the registry; default missing. */
  pull?: "always" | "missing" | "never";
  /** For the pull alone; kept nowhere. */
  registry_username?: string;
  /** For the pull alone; kept nowhere. */
  registry_password?: string;
  /** OAuth2 refresh token in place of a password. */
  registry_identity_token?: string;
}

/** First frame of a framed run request (`Content-Type: application/vnd.nyx.stream`). */
export interface AttachedRun extends ContainerConfig, RunOptions {
  /** Streams to attach, and the size of the client's terminal in characters. */
  attach: { stdin: boolean; stdout: boolean; stderr: boolean; rows?: number; cols?: number };
}

/** JSON frames (kind 3) from the daemon on an attached stream, in order; `exit` or `error` is the last. */
export type StreamEvent =
  | { event: "pull"; pull: import("./image.ts").PullEvent }
  | { event: "created"; id: string; warnings: string[] }
  | { event: "started"; id: string; pid: number }
  /** Of a build: the image is there. */
  | { event: "built"; id: string; refs: string[] }
  /** Of a build: a program asks for the client's ssh agent; its bytes come and go as `channel` frames of this number. */
  | { event: "channel"; channel: number; ssh: string }
  | { event: "exit"; exitCode: number; oomKilled: boolean; error?: string }
  | { event: "error"; error: ErrorData };

/** POST /v1/containers/{id}/exec. */
export interface ExecRequest {
  /** Program and arguments. */
  argv: string[];
  /** Give it a terminal; default false. */
  tty?: boolean;
  /** Feed standard input; default false. */
  stdin?: boolean;
  /** Answer at once and leave it in the background; default false. */
  detach?: boolean;
  /** NAME=VALUE, beside the container's. */
  env?: string[];
  /** user, uid, user:group or uid:gid; default the container's. */
  user?: string;
  /** Absolute; default the container's. */
  workingDir?: string;
  /** Give it all capabilities; default false. */
  privileged?: boolean;
  /** Height of the terminal, in characters. */
  rows?: number;
  /** Width of the terminal, in characters. */
  cols?: number;
}

/** POST /v1/containers. */
export interface CreateResult {
  /** Always true; failures are {@linkcode ErrorBody}. */
  ok: true;
  /** Whole id. */
  id: string;
  /** Its name, chosen when none was given. */
  name: string;
  /** As it was asked for. */
  image: string;
  /** What could not be done exactly as asked. */
  warnings: string[];
}

/** GET /v1/images?detail=1 row. */
export interface ImageSummary {
  /** Config digest. */
  id: string;
  /** References that name it, in full form. */
  refs: string[];
  /** `repository@digest` for each manifest it was pulled by. */
  digests: string[];
  /** RFC 3339, when the image says. */
  created?: string;
  /** Unpacked bytes as du counts them, all layers. */
  size: number;
  /** Containers made from it. */
  containers: number;
  /** os/architecture[/variant]. */
  platform: string;
  /** The image's labels. */
  labels: Record<string, string>;
}

/** GET /v1/images/inspect. */
export interface ImageDetails extends ImageSummary {
  /** The config document. */
  config: ImageConfig;
  /** Of the platform's manifest. */
  manifestDigest: string;
  /** Layers, lowest first; sizes in bytes. */
  layers: { diffId: string; digest: string; compressedSize: number; diskBytes: number }[];
}

/** GET /v1/images/history row, newest first. */
export interface ImageHistoryRow extends HistoryEntry {
  /** Unpacked bytes of the step's layer. */
  size: number;
}

/** POST /v1/images/pull. */
export interface PullRequest {
  /** Image reference. */
  ref: string;
  /** Answer with {@linkcode PullEvent} lines; default false. */
  stream?: boolean;
  /** os/architecture[/variant]; default the daemon's. */
  platform?: string;
  /** For this pull alone; kept nowhere. */
  username?: string;
  /** For this pull alone; kept nowhere. */
  password?: string;
  /** OAuth2 refresh token in place of a password. */
  identityToken?: string;
}

/** POST /v1/images/pull without stream. */
export interface PullResult {
  /** Always true; failures are {@linkcode ErrorBody}. */
  ok: true;
  /** In full form. */
  ref: string;
  /** Config digest. */
  id: string;
  /** Of the manifest, or of the index that led to it. */
  digest: string;
  /** Nothing was downloaded. */
  cached: boolean;
  /** Parts of the config document. */
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
  /** Always true; failures are {@linkcode ErrorBody}. */
  ok: true;
  /** As asked for. */
  ref: string;
  /** References taken away. */
  untagged: string[];
  /** Digests of what went with the last one. */
  deleted: string[];
}

/** POST /v1/images/prune. */
export interface ImagePruneResult {
  /** Always true; failures are {@linkcode ErrorBody}. */
  ok: true;
  /** Nothing was removed. */
  dry_run: boolean;
  /** Images removed, or to be removed. */
  removed: string[];
  /** Images kept because of containers. */
  in_use: string[];
  /** Bytes. */
  reclaimed: number;
}

/** POST /v1/login body. */
export interface LoginRequest extends RegistryCredentials {
  /** Host, with its port if it is not 443. */
  registry: string;
}

/** GET /v1/volumes row. */
export interface VolumeInfo {
  /** Unique name. */
  name: string;
  /** Always local. */
  driver: "local";
  /** Directory on the host. */
  mountpoint: string;
  /** RFC 3339. */
  created: string;
  /** Free labels. */
  labels: Record<string, string>;
  /** Of the driver: type, device, o. */
  options: Record<string, string>;
  /** Made without a name; goes with its container where that is removed with its volumes. */
  anonymous: boolean;
  /** Containers that use it. */
  usedBy: string[];
}

/** Addresses of one family in a network. */
export interface NetworkSubnet {
  /** CIDR. */
  subnet: string;
  /** The host's address in it, where nyx's resolver answers; of macvlan and ipvlan the router's. */
  gateway: string;
  /** CIDR inside the subnet, from which addresses are given out unasked. */
  ipRange?: string;
  /** Addresses that others on the network have, by a name for each: they are never given out. */
  auxAddresses?: Record<string, string>;
}

/** A container in a network. */
export interface NetworkMember {
  /** Whole id. */
  id: string;
  /** Unique name. */
  name: string;
  /** State. */
  status: ContainerStatus;
  /** While it runs, in a network with IPv4. */
  ip?: string;
  /** Prefix length of `ip`. */
  prefix?: number;
  /** While it runs, in a network with IPv6. */
  ip6?: string;
  /** While it runs. */
  mac?: string;
}

/** GET /v1/networks row, and GET /v1/networks/{name}. */
export interface NetworkInfo {
  /** Whole id. */
  id: string;
  /** Unique name. */
  name: string;
  /** bridge, macvlan or ipvlan; with --net-driver cni bridge, ptp, macvlan, and the first plugin of a network that a file defines. */
  driver: string;
  /** RFC 3339. */
  created: string;
  /** The daemon's own, also called `bridge`; it cannot be removed. */
  default: boolean;
  /** Interface on the host; empty where there is none of its own. */
  bridge: string;
  /** macvlan and ipvlan: the interface of the host that it shares. */
  parent?: string;
  /** macvlan and ipvlan: how it shares it; missing means bridge or l2. */
  mode?: string;
  /** IPv4 first. */
  subnets: NetworkSubnet[];
  /** No way in or out. */
  internal: boolean;
  /** Whether it has IPv4 addresses. */
  ipv4: boolean;
  /** Whether it has IPv6 addresses. */
  ipv6: boolean;
  /** Of its interfaces; missing means the kernel's default. */
  mtu?: number;
  /** Free labels. */
  labels: Record<string, string>;
  /** Of the driver. */
  options: Record<string, string>;
  /** All that are attached, running or not. */
  containers: NetworkMember[];
  /** Why the host does not have it at present. */
  problem?: string;
  /** The file that defines it, when nyx did not make it. */
  cni?: NetworkFile;
}

/** Where a CNI network comes from. */
export interface NetworkFile {
  /** Path on the host. */
  file: string;
  /** Of the CNI specification. */
  version: string;
  /** In the order in which they attach a container. */
  plugins: string[];
}

/** POST /v1/networks/create. */
export interface NetworkCreateRequest {
  /** Unique. */
  name: string;
  /** `bridge` (default), `macvlan` or `ipvlan`; with --net-driver cni `bridge`, `ptp` or `macvlan`. */
  driver?: string;
  /** At most one for each family; without an IPv4 one a free one is chosen, unless `ipv4` is false. */
  subnets?: {
    /** CIDR. */
    subnet?: string;
    /** Default the first address. */
    gateway?: string;
    /** CIDR inside the subnet, from which addresses are given out unasked. */
    ipRange?: string;
    /** Addresses that others on the network have, by a name for each: they are never given out. */
    auxAddresses?: Record<string, string>;
  }[];
  /** No way in or out, nothing is published. */
  internal?: boolean;
  /** False: IPv6 alone. */
  ipv4?: boolean;
  /** Also IPv6, with a unique local subnet unless one is given. */
  ipv6?: boolean;
  /** Free labels. */
  labels?: Record<string, string>;
  /** com.docker.network.driver.mtu, com.docker.network.bridge.name; for macvlan and ipvlan parent, macvlan_mode, ipvlan_mode. */
  options?: Record<string, string>;
}

/** POST /v1/networks/{name}/connect. */
export interface NetworkConnectRequest {
  /** Id or name of the container, running or not. */
  container: string;
  /** Fixed IPv4 address. */
  ip?: string;
  /** Fixed IPv6 address. */
  ip6?: string;
  /** Fixed MAC address. */
  mac?: string;
  /** Further names in this network. */
  aliases?: string[];
  /** The connection with the highest priority gives the default route. */
  gatewayPriority?: number;
}

/** POST /v1/networks/prune. */
export interface NetworkPruneResult {
  /** Always true; failures are {@linkcode ErrorBody}. */
  ok: true;
  /** Names. */
  removed: string[];
}

/** One thing that a packet meets on its way. */
export interface ExplainStep {
  /** `ok` lets it through, `stop` does not, `note` is worth knowing. */
  verdict: "ok" | "stop" | "note";
  /** A sentence. */
  text: string;
}

/** POST /v1/networks/explain: one way of a packet, in the order in which it meets things. */
export interface ExplainPath {
  /** From where to where. */
  subject: string;
  /** Whether nothing stops it. */
  open: boolean;
  /** What it meets. */
  steps: ExplainStep[];
}

/** One row of GET /v1/system/df. */
export interface DiskUsageRow {
  /** What is counted. */
  type: "images" | "containers" | "volumes" | "logs" | "build-cache";
  /** How many there are. */
  total: number;
  /** How many are in use. */
  active: number;
  /** Bytes. */
  size: number;
  /** Bytes that pruning would free. */
  reclaimable: number;
  /** Bytes that it may take at most, where nyxd sees to that. */
  limit?: number;
}

/** GET /v1/system/df. */
export interface DiskUsage {
  /** One for each type. */
  rows: DiskUsageRow[];
  /** Whole base directory as du counts it. */
  total: number;
}

/** One line of GET /v1/events. */
export interface EventRecord {
  /** RFC 3339 with nanoseconds. */
  time: string;
  /** What it happened to. */
  type: "container" | "image" | "volume" | "network" | "daemon";
  /** Such as create, start, die, stop, destroy, oom, health_status, pull, prune. */
  action: string;
  /** Whole id, reference or name. */
  id: string;
  /** Such as name, image, exitCode. */
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

/** Published ports to open, to close and to take over; the others stay as they are. */
export interface PublishChange {
  /**
   * A running container whose published ports this one takes over, all of them, in one step: new connections come here, those
   * already open go on there.
   */
  from?: string;
  /** Ports to publish beside the others. */
  add?: import("./container.ts").PortMapping[];
  /** Ports to publish no more. `hostPort` 0 means every one of that container port. Connections that are open go on. */
  remove?: import("./container.ts").PortMapping[];
}

/** POST /v1/containers/{id}/update; at least one of them. */
export interface ContainerUpdate {
  /** Limits to change; the others stay. */
  resources?: import("./container.ts").Resources;
  /** Restart policy as on the command line, such as `on-failure:3`. */
  restart?: string;
  /** Published ports to open and to close while it runs. */
  publish?: PublishChange;
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

/** GET /v1/containers/{id}/archive/stat: what a path inside is; a final link is not followed. */
export interface PathStat {
  /** Last name of the path; `/` for the root. */
  name: string;
  /** Kind of file. */
  kind: "dir" | "file" | "link" | "other";
  /** Bytes. */
  size: number;
  /** Permission bits. */
  mode: number;
  /** RFC 3339. */
  mtime: string;
  /** What a link says. */
  link_target?: string;
  /** It is a directory, or a link to one. */
  target_is_dir: boolean;
}

/** PUT /v1/containers/{id}/archive. */
export interface ArchiveWritten {
  /** Always true. */
  ok: true;
  /** Members unpacked. */
  entries: number;
}

/** POST /v1/containers/{id}/commit. */
export interface CommitRequest {
  /** Name of the new image; without one it has none. */
  ref?: string;
  /** Kept in the image's history. */
  message?: string;
  /** Kept in the image's history. */
  author?: string;
  /** Instructions of a Dockerfile that change the configuration, such as `CMD ["sh"]`. */
  changes?: string[];
  /** Freeze a running container meanwhile; default true. */
  pause?: boolean;
}

/** The image that a commit made. */
export interface CommitResult {
  /** Always true. */
  ok: true;
  /** Config digest. */
  id: string;
  /** Canonical name. */
  ref?: string;
}

/** One difference that a check found. */
export interface CheckFinding {
  /** Belongs to nobody, or is not there. */
  kind: "orphan" | "missing";
  /** Container. */
  id: string;
  /** A sentence. */
  message: string;
}

/** POST /v1/system/check. */
export interface CheckResult {
  /** What differs now. */
  findings: CheckFinding[];
  /** What was repaired. */
  repaired: CheckFinding[];
}

/** One finding about the host. */
export interface DoctorFinding {
  /** What was looked at. */
  name: string;
  /** How it is: fail keeps something from working. */
  state: "ok" | "warn" | "fail";
  /** What was found. */
  found: string;
  /** What to do, unless it is ok. */
  fix?: string;
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
