/**
 * What a user asks for when a container is made: the body of `POST /v1/containers` and the desired state that the
 * supervisor keeps. Pure data. A missing field means "the image's value, else the daemon's default"; meanings are Docker's
 * unless said otherwise.
 */

/** A published port or range. Ranges have equal length on both sides; `hostPort` 0 asks for an ephemeral port. */
export interface PortMapping {
  /** Host address to bind; empty or missing means the daemon's default (all addresses). IPv6 without brackets. */
  hostIp?: string;
  /** First host port, 0..65535. */
  hostPort: number;
  /** First container port, 1..65535. */
  containerPort: number;
  /** Ports in the range; default 1. */
  count?: number;
  /** Default tcp. */
  protocol?: "tcp" | "udp" | "sctp";
}

/** How a crashed or finished container is started again. */
export interface RestartPolicy {
  name: "no" | "always" | "unless-stopped" | "on-failure";
  /** For on-failure: attempts before giving up; 0 or missing means no limit. */
  maxRetries?: number;
}

/** A health probe. Durations are in milliseconds. */
export interface Healthcheck {
  type: "exec" | "http" | "tcp" | "grpc" | "none";
  /** exec: argv; with `shell` true the single element is run by `/bin/sh -c`. */
  command?: string[];
  shell?: boolean;
  /** http: URL as seen from inside the container. */
  url?: string;
  /** tcp and grpc: host:port as seen from inside the container. */
  address?: string;
  intervalMs?: number;
  timeoutMs?: number;
  retries?: number;
  startPeriodMs?: number;
  startIntervalMs?: number;
}

/** Options of a bind mount. */
export interface BindOptions {
  propagation?: "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave";
  /** Bind only the top mount, not what is mounted below it. */
  nonRecursive?: boolean;
  /** Make a missing host directory instead of failing (what `-v` does and `--mount` does not). */
  createSource?: boolean;
}

/** A mount asked for by the user or, for anonymous volumes, by the image. */
export type MountSpec =
  | { type: "bind"; source: string; target: string; readOnly?: boolean; bind?: BindOptions }
  | {
    type: "volume";
    /** Volume name; missing means a new anonymous volume. */
    source?: string;
    target: string;
    readOnly?: boolean;
    /** Do not fill an empty volume from the image's directory. */
    noCopy?: boolean;
    /** Directory inside the volume. */
    subpath?: string;
    driver?: string;
    driverOptions?: Record<string, string>;
    labels?: Record<string, string>;
  }
  | { type: "tmpfs"; target: string; readOnly?: boolean; sizeBytes?: number; mode?: number; options?: string[] };

/** Membership of one network. */
export interface NetworkAttachment {
  /** Network name or id. */
  network: string;
  ip?: string;
  ip6?: string;
  mac?: string;
  aliases?: string[];
  /** The attachment with the highest priority gives the default route. */
  gatewayPriority?: number;
}

/** A ulimit; -1 means unlimited. */
export interface Ulimit {
  name: string;
  soft: number;
  hard: number;
}

/** A host device made available inside. */
export interface DeviceSpec {
  source: string;
  target: string;
  /** Subset of "rwm". */
  permissions: string;
}

/** Limits for a container's cgroup. Bytes, or as the kernel names them. */
export interface Resources {
  memoryBytes?: number;
  /** Memory plus swap; -1 unlimited. */
  memorySwapBytes?: number;
  memoryReservationBytes?: number;
  /** CPUs as billionths, so that 1.5 CPUs is 1_500_000_000. */
  nanoCpus?: number;
  /** Relative weight, 2..262144. */
  cpuShares?: number;
  cpuPeriodUs?: number;
  cpuQuotaUs?: number;
  cpusetCpus?: string;
  cpusetMems?: string;
  /** 0 or -1 unlimited. */
  pidsLimit?: number;
  /** 10..1000. */
  blkioWeight?: number;
  /** -1000..1000. */
  oomScoreAdj?: number;
  oomKillDisable?: boolean;
}

/** Log rotation of one container. */
export interface LogOptions {
  /** `json` keeps lines in logs/<id>.log; `none` keeps nothing. */
  driver?: "json" | "none";
  maxSizeBytes?: number;
  maxFile?: number;
  maxAgeMs?: number;
  compress?: boolean;
  /** What happens when the disk or the reader cannot keep up. Default block. */
  mode?: "block" | "drop";
}

/** Everything a user can say about a container. */
export interface ContainerConfig {
  name?: string;
  /** Image reference or image id as typed. */
  image: string;
  /** Platform such as linux/arm64/v8. */
  platform?: string;
  /** Replaces the image's ENTRYPOINT; an empty array clears it. */
  entrypoint?: string[];
  /** Replaces the image's CMD. */
  args?: string[];
  /** KEY=VALUE, or KEY alone to remove the image's variable. */
  env?: string[];
  workingDir?: string;
  /** user, uid, user:group, uid:gid. */
  user?: string;
  groupAdd?: string[];
  hostname?: string;
  domainname?: string;
  tty?: boolean;
  openStdin?: boolean;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  restart?: RestartPolicy;
  onUnhealthy?: "none" | "restart" | "stop";
  autoRemove?: boolean;
  /** Name or number. */
  stopSignal?: string;
  stopTimeoutS?: number;
  healthcheck?: Healthcheck;

  /** `bridge` (default network), `none`, `host`, `container:<id>`, or a network's name. */
  networkMode?: string;
  /** Attachments beyond, or refining, networkMode. */
  networks?: NetworkAttachment[];
  publish?: PortMapping[];
  publishAll?: boolean;
  /** Ports such as `80/tcp` or `7000-7010/udp`, beside the image's. */
  expose?: string[];
  dns?: string[];
  dnsSearch?: string[];
  dnsOptions?: string[];
  /** host:ip; ip may be `host-gateway`. */
  extraHosts?: string[];

  mounts?: MountSpec[];
  readOnly?: boolean;
  shmSizeBytes?: number;

  privileged?: boolean;
  capAdd?: string[];
  capDrop?: string[];
  /** `unconfined`, or a seccomp profile's JSON text; missing means nyx's default allow-list. */
  seccomp?: string;
  /** Profile name, or `unconfined`. */
  apparmor?: string;
  noNewPrivileges?: boolean;
  /** Empty array: mask nothing (`--security-opt systempaths=unconfined`). */
  maskedPaths?: string[];
  readonlyPaths?: string[];
  devices?: DeviceSpec[];
  deviceCgroupRules?: string[];
  ulimits?: Ulimit[];
  sysctls?: Record<string, string>;
  init?: boolean;
  /** `host`, `container:<id>`; missing means private. */
  pidMode?: string;
  /** `host`, `private`, `shareable`, `none`, `container:<id>`. */
  ipcMode?: string;
  utsMode?: string;
  /** `host` or `private`. */
  cgroupnsMode?: string;
  cgroupParent?: string;
  resources?: Resources;
  log?: LogOptions;
}

/** States of a container, and who may move it on. */
export type ContainerStatus =
  | "created"
  | "starting"
  | "running"
  | "paused"
  | "stopping"
  | "restarting"
  | "exited"
  | "removing"
  | "dead";

/** Pattern of a container id: 64 hex digits, of which the first 12 are the short id. */
export const CONTAINER_ID = /^[0-9a-f]{64}$/;
/** Pattern of a container, network or volume name: what Docker accepts. */
export const OBJECT_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/;
