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
  /** `unless-stopped` differs from `always` in that a container stopped by hand stays so when the daemon starts. */
  name: "no" | "always" | "unless-stopped" | "on-failure";
  /** For on-failure: attempts before giving up; 0 or missing means no limit. */
  maxRetries?: number;
}

/** A health probe. Durations are in milliseconds. */
export interface Healthcheck {
  /** `none` switches off the image's own probe. */
  type: "exec" | "http" | "tcp" | "grpc" | "none";
  /** exec: argv; with `shell` true the single element is run by `/bin/sh -c`. */
  command?: string[];
  /** See `command`; default false. */
  shell?: boolean;
  /** http: URL as seen from inside the container. */
  url?: string;
  /** tcp and grpc: host:port as seen from inside the container. */
  address?: string;
  /** Between probes; default 30,000. */
  intervalMs?: number;
  /** A probe that takes longer has failed; default 10,000. */
  timeoutMs?: number;
  /** Failures in a row that make it unhealthy; default 3. */
  retries?: number;
  /** Failures within it do not count; default 0. */
  startPeriodMs?: number;
  /** Between probes during the start period; default 5,000. */
  startIntervalMs?: number;
}

/** Options of a bind mount. */
export interface BindOptions {
  /** How mounts made on one side show on the other (mount_namespaces(7)); default rprivate. */
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
  /** Fixed IPv4 address; missing means a free one. */
  ip?: string;
  /** Fixed IPv6 address. */
  ip6?: string;
  /** Fixed MAC address; missing means one made from the IP. */
  mac?: string;
  /** Further names in this network's DNS. */
  aliases?: string[];
  /** The attachment with the highest priority gives the default route. */
  gatewayPriority?: number;
}

/** A ulimit; -1 means unlimited. */
export interface Ulimit {
  /** As getrlimit(2) has it, in lower case without RLIMIT_, such as nofile. */
  name: string;
  /** What applies. */
  soft: number;
  /** How far the process may raise it. */
  hard: number;
}

/** A host device made available inside. */
export interface DeviceSpec {
  /** Path on the host. */
  source: string;
  /** Path in the container. */
  target: string;
  /** Subset of "rwm". */
  permissions: string;
}

/** Limits for a container's cgroup. Bytes, or as the kernel names them. */
export interface Resources {
  /** Hard limit; 0 is none. */
  memoryBytes?: number;
  /** Memory plus swap; -1 unlimited. */
  memorySwapBytes?: number;
  /** What it is pressed back to when the host runs short. */
  memoryReservationBytes?: number;
  /** CPUs as billionths, so that 1.5 CPUs is 1_500_000_000. */
  nanoCpus?: number;
  /** Relative weight, 2..262144. */
  cpuShares?: number;
  /** CFS period, 1,000..1,000,000; use with the quota, or use nanoCpus. */
  cpuPeriodUs?: number;
  /** CPU time in each period; -1 is no limit. */
  cpuQuotaUs?: number;
  /** CPUs, such as 0-2,7. */
  cpusetCpus?: string;
  /** NUMA nodes, such as 0,1. */
  cpusetMems?: string;
  /** 0 or -1 unlimited. */
  pidsLimit?: number;
  /** 10..1000. */
  blkioWeight?: number;
  /** -1000..1000. */
  oomScoreAdj?: number;
  /** cgroup v1 only. */
  oomKillDisable?: boolean;
}

/** Log rotation of one container. */
export interface LogOptions {
  /** `json` keeps lines in logs/<id>.log; `none` keeps nothing. */
  driver?: "json" | "none";
  /** A file larger than this is rotated; 0 never. */
  maxSizeBytes?: number;
  /** Files kept, the current one included. */
  maxFile?: number;
  /** Rotated files older than this go; 0 or missing never. */
  maxAgeMs?: number;
  /** Compress rotated files. */
  compress?: boolean;
  /** What happens when the disk or the reader cannot keep up. Default block. */
  mode?: "block" | "drop";
}

/** A command that runs inside at a point of a container's life. */
export interface ContainerHook {
  /** Program and arguments. */
  argv: string[];
  /** Default the container's. */
  user?: string;
  /** Default the container's. */
  workingDir?: string;
  /** KEY=VALUE, beside the container's. */
  env?: string[];
  /** With all capabilities; default false. */
  privileged?: boolean;
}

/** Everything a user can say about a container. */
export interface ContainerConfig {
  /** Unique; missing means a random one. */
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
  /** Absolute; made when missing. */
  workingDir?: string;
  /** user, uid, user:group, uid:gid. */
  user?: string;
  /** Supplementary groups, by name in the image or by number. */
  groupAdd?: string[];
  /** Missing means the short id. */
  hostname?: string;
  /** NIS domain name. */
  domainname?: string;
  /** Give it a terminal; stdout and stderr are then one stream. */
  tty?: boolean;
  /** Keep standard input open when nobody is attached. */
  openStdin?: boolean;
  /** Beside the image's; one of the same key replaces it. */
  labels?: Record<string, string>;
  /** For the OCI runtime. */
  annotations?: Record<string, string>;
  /** Default `no`. */
  restart?: RestartPolicy;
  /** What to do when the health probe gives up; default none. */
  onUnhealthy?: "none" | "restart" | "stop";
  /** Remove it, with its anonymous volumes, when it has exited. */
  autoRemove?: boolean;
  /** Name or number. */
  stopSignal?: string;
  /** Seconds from the stop signal to KILL; default 10, -1 waits for ever. */
  stopTimeoutS?: number;
  /** Missing means the image's. */
  healthcheck?: Healthcheck;
  /** Run in their order after each start; what fails is reported, and the container goes on. */
  postStart?: ContainerHook[];
  /** Run in their order before a stop that somebody asked for, not when it ends by itself or is killed. */
  preStop?: ContainerHook[];

  /** `bridge` (default network), `none`, `host`, `container:<id>`, or a network's name. */
  networkMode?: string;
  /** Attachments beyond, or refining, networkMode. */
  networks?: NetworkAttachment[];
  /** Ports opened on the host. */
  publish?: PortMapping[];
  /** Publish all exposed ports on ephemeral host ports. */
  publishAll?: boolean;
  /** Ports such as `80/tcp` or `7000-7010/udp`, beside the image's. */
  expose?: string[];
  /** Name servers, instead of nyx's own. */
  dns?: string[];
  /** Search domains; `.` alone means none. */
  dnsSearch?: string[];
  /** Options for resolv.conf, such as ndots:1. */
  dnsOptions?: string[];
  /** host:ip; ip may be `host-gateway`. */
  extraHosts?: string[];

  /** Beside the image's volumes; one of the same target replaces it. */
  mounts?: MountSpec[];
  /** Mount the root file system read-only. */
  readOnly?: boolean;
  /** Size of /dev/shm; default 64 MiB. */
  shmSizeBytes?: number;

  /** All capabilities and devices, nothing masked, no seccomp. */
  privileged?: boolean;
  /** CAP_NAME, or ALL. */
  capAdd?: string[];
  /** CAP_NAME, or ALL. */
  capDrop?: string[];
  /** `unconfined`, or a seccomp profile's JSON text; missing means nyx's default allow-list. */
  seccomp?: string;
  /** Profile name, or `unconfined`. */
  apparmor?: string;
  /** Default true: setuid programs gain nothing. */
  noNewPrivileges?: boolean;
  /** Empty array: mask nothing (`--security-opt systempaths=unconfined`). */
  maskedPaths?: string[];
  /** Like maskedPaths, for what can be read only. */
  readonlyPaths?: string[];
  /** Beside the default ones. */
  devices?: DeviceSpec[];
  /** Such as `c 42:* rmw`. */
  deviceCgroupRules?: string[];
  /** Missing ones are the daemon's own. */
  ulimits?: Ulimit[];
  /** Of the container's own namespaces only. */
  sysctls?: Record<string, string>;
  /** Run a small init as PID 1, which reaps and forwards signals. */
  init?: boolean;
  /** `host`, `container:<id>`; missing means private. */
  pidMode?: string;
  /** `host`, `private`, `shareable`, `none`, `container:<id>`. */
  ipcMode?: string;
  /** `host`; missing means private. */
  utsMode?: string;
  /** `host` or `private`. */
  cgroupnsMode?: string;
  /** cgroup to live in; default nyx's own. */
  cgroupParent?: string;
  /** Limits; missing ones are none. */
  resources?: Resources;
  /** How its output is kept. */
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
