/**
 * Every message between the daemon's main thread and its stage workers, typed in one place.
 *
 * A stage is served by `workers/<stage>/main.ts`. Every operation is idempotent by its key (digest or container id), so that a request lost
 * with a dead worker can be sent again.
 */

import type {
  ContainerConfig,
  DeviceSpec,
  LogOptions,
  NetworkAttachment,
  PortMapping,
  Resources,
} from "../daemon/spec/container.ts";
import type { Descriptor, ImageExecConfig, Platform, RegistryCredentials } from "../daemon/spec/image.ts";

// ---------------------------------------------------------------- pull (D04)

/** Where and how to reach one registry for one request. */
export interface RegistryAccess {
  /** Canonical reference: domain/path:tag, domain/path@digest, or both. */
  ref: string;
  credentials?: RegistryCredentials;
  /** Plain http, or https without verification, is allowed for this host; loopback hosts use http without it. */
  insecure?: boolean;
}

/** What a reference resolved to. Bytes are exact, as the digests say. */
export interface ResolvedImage {
  /** Digest of the index when the reference named one. */
  indexDigest?: string;
  indexBytes?: Uint8Array;
  indexMediaType?: string;
  manifestDigest: string;
  manifestMediaType: string;
  manifestBytes: Uint8Array;
  configBytes: Uint8Array;
}

/** Stage `pull`: speaks to registries, writes blobs. No ffi, no run. */
export type PullStage = {
  ops: {
    /** Manifest and config of a reference for a platform. Bad digests fail with data_loss. */
    resolve: {
      request: RegistryAccess & { platform: Platform };
      result: ResolvedImage;
      progress: { phase: "auth" | "manifest" | "config" };
    };
    /** Manifest digest a tag points at now (HEAD, else GET). */
    head: { request: RegistryAccess; result: { digest: string }; progress: never };
    /**
     * Downloads a blob into the store, resuming what is there; verifies digest and size; commits by rename.
     * With `port`, the bytes also go out over a ByteSender as they arrive (including those already on disk).
     */
    fetchBlob: {
      request: RegistryAccess & { descriptor: Descriptor; port?: MessagePort };
      result: { digest: string; size: number; downloaded: number };
      progress: { current: number; size: number };
    };
    /** Tries a login: GET /v2/ with the credentials. Unauthenticated on refusal. */
    login: {
      request: { registry: string; credentials: RegistryCredentials; insecure?: boolean };
      result: { identityToken?: string };
      progress: never;
    };
  };
  event: never;
};

/** What `workers/pull/main.ts` is told at start: JSON in the worker's name. */
export interface PullInit {
  /** images/ directory, absolute: blobs/<algorithm>/<hex> and ingest/<algorithm>-<hex> live below. */
  imagesDir: string;
  /** Bytes that must stay free on its disk; default 64 MiB. */
  minFreeBytes?: number;
  /** Blobs downloaded at once; default 16. */
  concurrency?: number;
  /** Silence of a registry after which a connection is given up, in milliseconds; default 60 s. */
  stallMs?: number;
  /** Delay before the first repetition in milliseconds; default 250, doubles each time. */
  retryBaseMs?: number;
}

// ---------------------------------------------------------------- extract (D05)

/** Bounds on one layer, against bombs. */
export interface ExtractLimits {
  /** Most entries. */
  maxEntries: number;
  /** Most bytes unpacked. */
  maxBytes: number;
  /** Most unpacked bytes for each compressed byte, judged after the first 64 MiB. */
  maxRatio: number;
  /** Bytes that must stay free on the disk. */
  minFreeBytes: number;
}

/** A layer that was unpacked and committed. */
export interface ExtractedLayer {
  diffId: string;
  /** Bytes of the uncompressed tar. */
  tarSize: number;
  /** Bytes on disk as du counts them. */
  diskBytes: number;
  entries: number;
  /** It hides all layers below it: leave them out of the mount (overlayfs ignores an opaque mark on a layer's root). */
  opaqueRoot?: true;
}

/** Stage `extract`: compressed bytes in, committed layer directory out. */
export type ExtractStage = {
  ops: {
    /**
     * Unpacks one layer into `layersDir`, committed by rename only when the compressed digest and the diffID both match.
     * A layer that is already committed is returned at once (and the port cancelled).
     */
    layer: {
      request: {
        layersDir: string;
        /** Descriptor of the compressed blob. */
        blob: Descriptor;
        diffId: string;
        source: { kind: "port"; port: MessagePort } | { kind: "file"; path: string };
        limits: ExtractLimits;
      };
      result: ExtractedLayer;
      progress: { current: number };
    };
    /**
     * At start: removes what extractions left, and layers that a power cut may have damaged (`lost`: extract them again).
     * Safe while others extract.
     */
    clean: { request: { layersDir: string }; result: { temporary: number; lost: string[] }; progress: never };
    /** Waits until all committed layers are on the disk and marks them durable. Happens by itself some seconds after a pull. */
    sync: { request: { layersDir: string }; result: { synced: number }; progress: never };
    /** Removes a committed layer that no image needs, so that no half of it is ever seen. Missing is no error. */
    remove: { request: { layersDir: string; diffId: string }; result: { removed: boolean }; progress: never };
  };
  event: never;
};

// ---------------------------------------------------------------- rootfs (D05)

/** Where a container's files are found: as its process sees them, or in a directory. */
export type RootLocation = { kind: "process"; pid: number } | { kind: "dir"; path: string };

/** Stage `rootfs`: overlay mounts, files inside a root by RESOLVE_IN_ROOT, volumes, removal of trees. */
export type RootfsStage = {
  ops: {
    /** Mounts overlay/<id>/merged from the layers, bottom first. Idempotent: an existing right mount is kept. */
    mount: {
      request: {
        id: string;
        baseDir: string;
        /** diffIDs, bottom layer first. */
        layers: string[];
        /** The writable layer is thrown away with the container: skip syncing it (`volatile`). */
        volatile: boolean;
        /** Directory to make inside, such as the working directory; owned by root when missing. */
        ensureDirs: string[];
        /** Also give back these small files of the root, read without leaving it. */
        readFiles: string[];
        /** For ipcMode `shareable`: also mount a tmpfs of this size, which other containers can have as their /dev/shm. */
        shmSizeBytes?: number;
      };
      result: {
        rootfs: string;
        /** Host path of that tmpfs; overlay/<id>/mounts/shm. */
        shmPath?: string;
        /** Content by path; missing files are absent. At most 1 MiB each. */
        files: Record<string, Uint8Array>;
      };
      progress: never;
    };
    /** Unmounts; not an error when nothing is mounted. `removeDirs` also deletes overlay/<id>. */
    unmount: {
      request: { id: string; baseDir: string; removeDirs: boolean };
      result: { removed: boolean };
      progress: never;
    };
    /** Fills an empty volume directory from a directory of the mounted root (copy-up: content, owner, mode, xattrs). */
    populateVolume: {
      request: { rootfs: string; target: string; volumeDir: string };
      result: { copied: number };
      progress: never;
    };
    /** Makes the mount point (directory, or file for a file) inside a root, without following links out of it. */
    ensureMountpoint: {
      request: { rootfs: string; target: string; kind: "dir" | "file" };
      result: void;
      progress: never;
    };
    /** Removes a whole tree below baseDir, in the background of other work. Missing is no error. */
    removeTree: { request: { path: string }; result: { removed: boolean }; progress: never };
    /** Bytes on disk as du counts them, hard links once. */
    usage: { request: { paths: string[] }; result: { bytes: number[] }; progress: never };
    /** Mount points below baseDir that exist now, for reconciliation. */
    listMounts: { request: { baseDir: string }; result: { targets: string[] }; progress: never };
    /** Makes dir a shared mount point of its own (bind onto itself), so that mounts made below are seen by unshared threads. */
    shareDir: { request: { path: string }; result: { mounted: boolean }; progress: never };
    /** Undoes shareDir and any mount below a path, deepest first. */
    unmountBelow: { request: { path: string }; result: { unmounted: string[] }; progress: never };
    /**
     * Device nodes for `--device` (links followed, directories searched) and, with `all`, every node of the host's /dev. A
     * missing one is not_found.
     */
    hostDevices: {
      request: { devices: DeviceSpec[]; all: boolean };
      result: { devices: HostDevice[] };
      progress: never;
    };
    /** Checks the host side of a bind mount: what it is, made as a directory when missing and `create`; not_found
     * otherwise. A propagation that the mount below cannot give is failed_precondition. The source
     * comes back, or a bind of it in the container's own directory where the streams worker may not see it. */
    bindSource: {
      request: { source: string; create: boolean; propagation?: string; id: string; baseDir: string; index: number };
      result: { kind: "dir" | "file"; created: boolean; source: string };
      progress: never;
    };
    /** Mounts what a volume's driver options describe over its directory, unless something is mounted there. */
    mountVolume: {
      request: { target: string; type: string; device: string; options: string };
      result: { mounted: boolean };
      progress: never;
    };
    /**
     * Binds a directory or file inside a volume to a mount point of the container's own, which no other user of the volume can
     * swap for a link; `unmount` of the container takes it off. Links in the subpath are refused.
     */
    bindSubpath: {
      request: { id: string; baseDir: string; index: number; volumeDir: string; subpath: string };
      result: { source: string; kind: "dir" | "file" };
      progress: never;
    };
    /** What the host offers. Asked of this stage because Deno lets only FFI read /proc and /sys without full permissions. */
    hostFacts: { request: Record<string, never>; result: HostFacts; progress: never };
    /** What `nyx doctor` asks the kernel. */
    kernelFeatures: { request: Record<string, never>; result: KernelFeatures; progress: never };
    /** Compiles HostFacts.seccompFilters, a while after it was asked, so that a starting daemon does not wait for it. */
    seccompFilters: { request: Record<string, never>; result: Record<string, string>; progress: never };
    /** What a path inside is; a final link is not followed. not_found when there is nothing. */
    pathStat: {
      request: { root: RootLocation; path: string };
      result: {
        name: string;
        kind: "dir" | "file" | "link" | "other";
        size: number;
        /** Permission bits. */
        mode: number;
        /** RFC 3339. */
        mtime: string;
        linkTarget?: string;
        /** It is a directory, or a link to one. */
        targetIsDir: boolean;
      };
      progress: never;
    };
    /** Sends a path as tar over a ByteSender: under its own name, or with `contents` what the directory holds. */
    archive: {
      request: {
        root: RootLocation;
        path: string;
        port: MessagePort;
        contents: boolean;
        /** Follow a final link. */
        follow: boolean;
        /** In place of the path's last name. */
        name?: string;
      };
      result: { entries: number; bytes: number };
      progress: never;
    };
    /** Unpacks a tar that comes by a ByteSender into a directory inside. */
    unarchive: {
      request: {
        root: RootLocation;
        path: string;
        port: MessagePort;
        /** In place of the first name of each member. */
        name?: string;
      };
      result: { entries: number };
      progress: never;
    };
    /** Writes the container's own layer as a tar of an image into a new file below baseDir; synced. */
    layerTar: {
      request: { id: string; baseDir: string; file: string };
      result: { digest: string; size: number };
      progress: never;
    };
    /** What the container changed against its image: A added, C changed, D deleted. */
    diff: {
      request: { id: string; baseDir: string; layers: string[] };
      result: { kind: "A" | "C" | "D"; path: string }[];
      progress: never;
    };
  };
  event: never;
};

// ---------------------------------------------------------------- bundle (D06)

/** A mount after volumes were resolved: what config.json gets. */
export interface ResolvedMount {
  type: "bind" | "tmpfs";
  source: string;
  target: string;
  options: string[];
}

/** What the host offers, read once at start. */
export interface HostFacts {
  cgroup: "v1" | "v2" | "hybrid";
  apparmor: boolean;
  /** Capabilities in nyxd's bounding set, such as CAP_CHOWN. */
  capabilities: string[];
  /** Kernel release. */
  kernel: string;
  /** Controllers usable for containers. */
  controllers: string[];
  /** Limits of nyxd by ulimit name (nofile…), for clamping when CAP_SYS_RESOURCE is missing; -1 unlimited. */
  rlimits: Record<string, { soft: number; hard: number }>;
  /** Whether the kernel accounts swap for each cgroup. */
  swapLimit: boolean;
  /** Whether block I/O weights work. */
  blkioWeight: boolean;
  /**
   * Compiled filters of the default seccomp profile, base64 by a key that the bundle stage knows. Missing where libseccomp is; empty
   * until rootfs.seccompFilters has answered.
   */
  seccompFilters?: Record<string, string>;
}

/** What of the kernel helps or hinders, read for `nyx doctor`. */
export interface KernelFeatures {
  /** File systems that it knows, such as overlay. */
  fileSystems: string[];
  /** Kinds of namespaces, such as net and cgroup. */
  namespaces: string[];
  /** What a seccomp filter can do; empty without seccomp. */
  seccomp: string[];
  /** Limits by name, as far as they are known. */
  limits: Record<string, number>;
  /** Programs that run and manage a firewall, or containers, such as firewalld. */
  managers: string[];
}

/** A device node of the host and where it goes inside. */
export interface HostDevice {
  /** Path inside the container. */
  path: string;
  type: "c" | "b";
  major: number;
  minor: number;
  /** Permission bits. */
  mode: number;
  uid: number;
  gid: number;
  /** Letters of rwm for the device cgroup. */
  permissions: string;
}

/** Stage `bundle`: writes bundles/<id>/config.json and the files mounted over /etc. No ffi, no run. */
export type BundleStage = {
  ops: {
    generate: {
      request: {
        id: string;
        bundleDir: string;
        config: ContainerConfig;
        image: ImageExecConfig;
        rootfs: string;
        /** /etc/passwd and /etc/group of the root; absent when it has none. */
        passwd?: Uint8Array;
        group?: Uint8Array;
        /** Path crun joins; missing means no network namespace of its own (host). */
        netnsPath?: string;
        /** For `container:` modes: pid of the other container's init. */
        joinPids: { pid?: number; ipc?: number; uts?: number };
        mounts: ResolvedMount[];
        hostname: string;
        /** Lines for /etc/hosts beside the defaults: [ip, names…]. */
        hosts: [string, string[]][];
        resolvConf: string;
        /** Use these files of another container instead (container: network mode). */
        shareEtcFrom?: string;
        cgroupsPath: string;
        host: HostFacts;
        /** Path of the init binary for `--init`. */
        initPath?: string;
        /** With ipcMode `shareable`: what rootfs.mount gave as shmPath; with `container:`, the other container's. */
        shmPath?: string;
        /** What rootfs.hostDevices answered; needed with config.devices or privileged. The bundle worker cannot see /dev. */
        devices?: HostDevice[];
      };
      result: {
        /** argv as it will run. */
        argv: string[];
        warnings: string[];
        stopSignal: string;
        uid: number;
        gid: number;
      };
      progress: never;
    };
    /** The OCI process object for `exec`, from the container's own config.json. */
    execProcess: {
      request: {
        bundleDir: string;
        argv: string[];
        tty: boolean;
        env: string[];
        user?: string;
        workingDir?: string;
        privileged: boolean;
        /** nyxd's bounding set, HostFacts.capabilities: what a privileged exec may hold at most. Default: the last generate's. */
        hostCapabilities?: string[];
        passwd?: Uint8Array;
        group?: Uint8Array;
        consoleSize?: { rows: number; cols: number };
      };
      result: { process: Record<string, unknown> };
      progress: never;
    };
  };
  event: never;
};

// ---------------------------------------------------------------- network (D08)

/** A network as the network worker needs it. */
export interface NetworkDefinition {
  name: string;
  /** ptp: with the CNI backend alone. ipvlan: with nyx's own. */
  driver: "bridge" | "ptp" | "macvlan" | "ipvlan";
  /** Empty without a bridge of nyx. */
  bridge: string;
  /** macvlan and ipvlan: interface of the host. */
  parent?: string;
  /** macvlan: bridge (default), private, vepa, passthru; ipvlan: l2 (default), l3, l3s. Of nyx's own backend. */
  mode?: string;
  /** CIDR and gateway of IPv4, of IPv6, or of both. */
  subnet?: string;
  gateway?: string;
  subnet6?: string;
  gateway6?: string;
  /** Part of the subnet, CIDR, that addresses are given out from; those that are asked for may be any. */
  ipRange?: string;
  ipRange6?: string;
  /** Addresses of both families that others on the network have: they are never given out. */
  reserved?: string[];
  internal?: boolean;
  mtu?: number;
  labels?: Record<string, string>;
}

/** One network's part of a container's set-up. */
export interface NetworkEndpoint {
  network: string;
  interface: string;
  /** Of each family that the network has; a CNI plugin may name no gateway. */
  ip?: string;
  prefix?: number;
  gateway?: string;
  ip6?: string;
  prefix6?: number;
  gateway6?: string;
  mac: string;
  /** The gateway is not nyx's: no resolver of nyx is on it. */
  foreign?: boolean;
}

/** Resolvers as a network backend gives them for a container's resolv.conf. */
export interface NetworkDns {
  nameservers: string[];
  search: string[];
  options: string[];
}

/** A network that a file of the CNI configuration directory defines. */
export interface DiscoveredNetwork {
  name: string;
  /** Path of the file. */
  file: string;
  /** When the file was changed last, RFC 3339. */
  modified: string;
  cniVersion: string;
  /** In the order of ADD. */
  plugins: string[];
  /** The first plugin. */
  driver: string;
  /** Of a bridge plugin; empty for others. */
  bridge: string;
  /** As far as the file tells. */
  subnets: { subnet: string; gateway: string }[];
  /** Whether it can publish ports. */
  ports: boolean;
}

/** What a container's network looks like once set up. */
export interface NetworkResult {
  /** Path crun joins and others may open. */
  netnsPath: string;
  endpoints: NetworkEndpoint[];
  /** Network of the default route; missing when every network is internal, or there is none. */
  gatewayNetwork?: string;
  /** Network of IPv6's default route, where that is another one. */
  gatewayNetwork6?: string;
  /** Published ports with ephemeral ones filled in. */
  ports: Required<PortMapping>[];
  /** What on the host stands in the way of this container, as sentences with the fix. */
  warnings: string[];
  /** Resolvers of its networks, the default route's first, where the backend has any. */
  dns?: NetworkDns;
  /** What was asked for and is not to be had in full, as sentences. */
  notices?: string[];
}

/** What the kernel has of one published port or one container, for an explanation. */
export interface PathFacts {
  /** Whether the host forwards packets of the family. */
  forwarding: { v4: boolean; v6: boolean };
  /** Addresses of the host. */
  hostAddresses: string[];
  /** Addresses on which programs of the host have the port, as far as the kernel tells. */
  hostListeners: string[];
  /** Map elements that lead somewhere for the port: `address . protocol . port : address . port`. Empty without a table. */
  elements: string[];
  /** Whether the nftables table is whole. */
  table: boolean;
  /** Missing when the container has no namespace. */
  container?: {
    links: { network: string; interface: string; up: boolean; attached: boolean; bridge: string; bridgeUp: boolean }[];
    /** Addresses inside that answer on the container's port; missing when the kernel cannot tell. */
    listeners?: string[];
  };
  /** Other people's chains that stop packets of the container's bridges, as sentences with the fix. */
  obstacles: string[];
  /** With the CNI backend: the plugins that attached the container, and what those said that find their work damaged. */
  cni?: { plugins: string[]; problems: string[] };
}

/** Stage `network`: bridges, namespaces, addresses, nftables. Never terminated in mid-operation. */
export type NetworkStage = {
  ops: {
    /** First request: ensures bridge, sysctls and nft table, loads leases, tears down what no longer belongs to `live`. */
    init: {
      request: {
        baseDir: string;
        networks: NetworkDefinition[];
        /** Ids of containers whose network must be kept (they run). */
        live: string[];
        /** Ids whose leases and port reservations must be kept although they do not run. */
        known: string[];
        /** netns kept ready. */
        poolSize: number;
        defaultPublishIp: string;
        /** For the CNI backend: where configuration and plugins are; how long a plugin may take, default a minute. */
        cni?: { confDir: string; binDir: string; timeoutMs?: number };
      };
      result: {
        removed: string[];
        warnings: string[];
        /** Networks beyond the first that could not be made, with the reason; `ensureNetwork` tries again. */
        failed: { name: string; message: string }[];
        /** Networks that each container of `live` and `known` has leases in, and the ports reserved for it. */
        attached: { id: string; networks: string[]; ports: Required<PortMapping>[] }[];
        /** Networks of the CNI configuration directory. */
        discovered?: DiscoveredNetwork[];
      };
      progress: never;
    };
    ensureNetwork: { request: { network: NetworkDefinition }; result: void; progress: never };
    removeNetwork: { request: { name: string }; result: void; progress: never };
    /** Reserves ports and addresses without making anything, so that `create` fails cleanly. Names the holder in already_exists. */
    reserve: {
      request: { id: string; name: string; attachments: NetworkAttachment[]; ports: PortMapping[] };
      result: { ports: Required<PortMapping>[] };
      progress: never;
    };
    release: { request: { id: string }; result: void; progress: never };
    /** Makes (or finds again) the netns, links, addresses, routes and port rules of a container. */
    setup: {
      request: {
        id: string;
        name: string;
        /** `none`: a netns with loopback alone. */
        mode: "bridge" | "none";
        attachments: NetworkAttachment[];
        ports: PortMapping[];
        sysctls: Record<string, string>;
      };
      result: NetworkResult;
      progress: never;
    };
    /**
     * Brings a running container's connections to what `attachments` say: links are plugged in and taken out, addresses of those
     * that stay are kept, the default route and the published ports follow. On failure the container is as it was.
     */
    change: {
      request: { id: string; name: string; attachments: NetworkAttachment[]; ports: PortMapping[] };
      result: NetworkResult;
      progress: never;
    };
    /**
     * Moves published ports (as `ports` of a NetworkResult names them) from one running container to another, in one transaction:
     * new connections go to `to`, those open already go on to `from`. Returns what each publishes afterwards.
     */
    movePorts: {
      request: { from: string; to: string; ports: Required<PortMapping>[] };
      result: { from: Required<PortMapping>[]; to: Required<PortMapping>[] };
      progress: never;
    };
    /** Connections that others opened to a container and that are still open, as the kernel tracks them; none when it does not run. */
    openConnections: { request: { id: string }; result: { tcp: number; udp: number }; progress: never };
    /** What the kernel has of a published port of the host, of a container, or of both. */
    facts: {
      request: {
        id?: string;
        hostPort?: number;
        /** Port inside, whose listeners are wanted. */
        containerPort?: number;
        protocol: "tcp" | "udp" | "sctp";
      };
      result: PathFacts;
      progress: never;
    };
    /** Takes down everything of a container; collects all errors; missing parts are no error. The lease stays until release. */
    teardown: { request: { id: string }; result: void; progress: never };
    /**
     * One health probe made from inside a network namespace. http: GET, healthy for 200..399; tcp: a connection; grpc:
     * grpc.health.v1.Health/Check. Never fails for an unhealthy answer: `exitCode` 1 and a sentence say why.
     */
    probe: {
      request: { netnsPath: string; type: "http" | "tcp" | "grpc"; target: string; timeoutMs: number };
      result: { exitCode: number; output: string };
      progress: never;
    };
    /** Takes away bridge, table and pool of this daemon: after the last container, at shutdown. */
    shutdown: { request: { keepNetworks: boolean }; result: void; progress: never };
    /** What stands in the way of published ports, as sentences with the fix. */
    diagnose: { request: Record<string, never>; result: { findings: string[] }; progress: never };
    /** What the kernel has against what was set up here; with `repair` the table is made anew where it differs. */
    audit: {
      request: { repair: boolean };
      result: {
        /** Containers with a pinned namespace. */
        namespaces: string[];
        /** Port elements that are not in the table, as `map key : value`. */
        missing: { id: string; element: string }[];
        /** Elements that no container publishes. */
        extra: string[];
      };
      progress: never;
    };
  };
  event: { kind: "repaired"; what: string } | { kind: "networks"; networks: DiscoveredNetwork[] };
};

// ---------------------------------------------------------------- streams (D07 launch, D11)

/** Outcome of a container's or exec's process. */
export interface ExitStatus {
  /** 0..255; 128+n for signal n; 125..127 as Docker means them when it never ran. */
  code: number;
  /** RFC 3339 with nanoseconds. */
  finishedAt: string;
  oomKilled: boolean;
  /** crun's own message when the process never ran. */
  error?: string;
}

/** Stage `streams`: starts crun under a monitor, owns stdio, logs, exits, on one epoll loop. */
export type StreamsStage = {
  ops: {
    init: {
      request: {
        baseDir: string;
        crunPath: string;
        crunRoot: string;
        cgroup: HostFacts["cgroup"];
        logDefaults: Required<LogOptions>;
      };
      result: { crunVersion: string };
      progress: never;
    };
    /** Starts `crun run` under a new monitor; resolves when the process runs (or has already ended well). */
    launch: {
      request: {
        id: string;
        bundleDir: string;
        tty: boolean;
        stdin: boolean;
        log: LogOptions;
        consoleSize?: { rows: number; cols: number };
      };
      result: { pid: number; startedAt: string; cgroup?: string };
      progress: never;
    };
    /** Takes over a monitor left by an earlier nyxd: reopens stdio, drains it, and reports its exit even if it is already over. */
    adopt: {
      request: { id: string; bundleDir: string; tty: boolean; stdin: boolean; log: LogOptions };
      result: { state: "running"; pid: number } | { state: "exited"; exit: ExitStatus } | { state: "gone" };
      progress: never;
    };
    /**
     * Streams output from now on (or from `replay` lines back) over `port` as ByteSender of encoded frames, until the process ends
     * or the port is cancelled. Input arrives by stdin, closeStdin.
     */
    attach: {
      request: { id: string; port: MessagePort; stdout: boolean; stderr: boolean; replay?: number };
      result: { reason: "exited" | "detached" };
      progress: never;
    };
    /** Writes to stdin; resolves when the bytes are in the pipe (back-pressure). */
    stdin: { request: { id: string; bytes: Uint8Array }; result: void; progress: never };
    closeStdin: { request: { id: string }; result: void; progress: never };
    resize: { request: { id: string; rows: number; cols: number }; result: void; progress: never };
    /** Sends a signal through crun; `all` to every process of the container. */
    kill: { request: { id: string; signal: string; all: boolean }; result: void; progress: never };
    pause: { request: { id: string }; result: void; progress: never };
    resume: { request: { id: string }; result: void; progress: never };
    /** crun update. */
    update: { request: { id: string; resources: Resources }; result: void; progress: never };
    /** crun delete --force, and the monitor's files. Idempotent. */
    delete: { request: { id: string }; result: void; progress: never };
    /** The exit was recorded: lets the monitor go. */
    acknowledge: { request: { id: string }; result: void; progress: never };
    /** Runs a process inside; same stdio ops with `execId` as id. Resolves when it has ended. */
    exec: {
      request: {
        id: string;
        execId: string;
        process: Record<string, unknown>;
        tty: boolean;
        stdin: boolean;
        /** Output as ByteSender of encoded frames; absent discards it. */
        port?: MessagePort;
        consoleSize?: { rows: number; cols: number };
        /** Resolve as soon as it runs. */
        detach: boolean;
      };
      result: { pid: number; exit?: ExitStatus };
      progress: { pid: number };
    };
    /** Reads the log from the end or by follow, as ByteSender of JSONL (raw) or text. */
    logs: {
      request: {
        id: string;
        port: MessagePort;
        follow: boolean;
        /** Lines from the end; missing means all. */
        tail?: number;
        /** RFC 3339. */
        since?: string;
        until?: string;
        stdout: boolean;
        stderr: boolean;
        timestamps: boolean;
        /** text: just the lines; frames: encoded stdout/stderr frames; jsonl: records as stored. */
        format: "text" | "frames" | "jsonl";
        /** Only lines containing this (plain text). */
        grep?: string;
      };
      result: { lines: number; corrupt: number };
      progress: never;
    };
    /** Removes a container's log with its rotated parts. Idempotent. */
    removeLog: { request: { id: string }; result: void; progress: never };
    /** Processes of a container, by the pid of its first, as rows. */
    processes: { request: { pid: number }; result: { titles: string[]; processes: string[][] }; progress: never };
    /** Counters of a container now: nanoseconds of CPU, bytes, processes. What the host does not count is absent. */
    usage: { request: { pid: number }; result: Record<string, number>; progress: never };
    /** Containers crun knows, with pid and status. */
    list: { request: Record<string, never>; result: { id: string; pid: number; status: string }[]; progress: never };
    /** Containers that have a cgroup below one of the parents, in any hierarchy. */
    cgroups: { request: { parents: string[] }; result: { ids: string[] }; progress: never };
    /** Removes the cgroups of a container below the parents, with the processes in them. */
    removeCgroups: { request: { id: string; parents: string[] }; result: void; progress: never };
    /** Waits until all log writers have flushed, and lets go of everything without touching containers. */
    shutdown: {
      request: {
        /** Parent cgroup of all containers, removed where it is empty. */
        cgroupParent: string;
        /** Containers are alive below it. */
        keep: boolean;
      };
      result: void;
      progress: never;
    };
  };
  event: { kind: "exit"; id: string; exit: ExitStatus } | { kind: "oom"; id: string } | {
    kind: "dropped";
    id: string;
    lines: number;
  };
};
