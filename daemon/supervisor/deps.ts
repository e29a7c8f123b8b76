/** What the supervisor needs of the rest of the daemon, as narrow interfaces, so that each part can be replaced in a test. */

import type { DnsRegistry } from "../dns/backend.ts";
import type { EventBus } from "../events/bus.ts";
import type { Logger } from "../log/logger.ts";
import type { RecordedMount } from "../persist/record.ts";
import type { RecordStore } from "../persist/store.ts";
import type { HealthResult } from "../spec/api.ts";
import type { Healthcheck, LogOptions, MountSpec, PortMapping } from "../spec/container.ts";
import type { ImageConfig, ImageExecConfig, RegistryCredentials } from "../spec/image.ts";
import type { WorkerHost } from "../../workers/host.ts";
import type {
  BundleStage,
  HostFacts,
  NetworkStage,
  ResolvedMount,
  RootfsStage,
  StreamsStage,
} from "../../workers/protocol.ts";

/** An image that is present, as a container needs it. Not removed until it is disposed. */
export interface ImageHandle extends Disposable {
  /** Config digest. */
  imageId: string;
  ref: string;
  manifestDigest: string;
  config: ImageConfig;
  /** diffIDs, bottom first. */
  layers: string[];
}

/** What an image is made of a container with. */
export interface CommitLayer {
  /** Manifest digest of the container's image. */
  base: string;
  /** Tar of the container's layer, in the directory that `layerFile` named. */
  file: string;
  digest: string;
  size: number;
  exec: ImageExecConfig;
  author?: string;
  message?: string;
  /** Name of the new image. */
  ref?: string;
}

/** The image store's inner surface. */
export interface ImageSource {
  /** A new name for a layer's tar, on the store's file system. */
  layerFile(): Promise<string>;
  /** Adds an image made of a container; takes the file. */
  commit(input: CommitLayer, signal: AbortSignal): Promise<{ id: string; ref?: string }>;
  /** Finds, or pulls, by policy. */
  ensure(
    ref: string,
    options: {
      policy: "always" | "missing" | "never";
      platform?: string;
      credentials?: RegistryCredentials;
      signal?: AbortSignal;
    },
  ): Promise<ImageHandle>;
}

/** The volume store's inner surface. */
export interface VolumeSource {
  /** Makes what is missing and says what to mount; `mounts` are the records, `resolved` what the bundle gets. */
  resolve(
    containerId: string,
    mounts: MountSpec[],
    rootfs: string,
  ): Promise<{ mounts: RecordedMount[]; resolved: ResolvedMount[] }>;
  /** Removes anonymous volumes of a container that is gone. */
  removeAnonymous(names: string[]): Promise<void>;
  /** Takes off what drivers mounted for volumes that no running container uses. */
  unmountIdle(): Promise<string[]>;
}

/** The networks' inner surface. */
export interface NetworkSource {
  /** Name of the network that a name, id or prefix of an id means. Throws not_found. */
  resolve(ref: string): string;
  /** Whether a network has no way out. */
  isInternal(name: string): boolean;
  /** Whether its containers are on the host's own LAN (macvlan, ipvlan), where no port is published. */
  isDirect(name: string): boolean;
  /** Keeps networks from being removed until it is disposed: until a container that names them is known. */
  use(names: readonly string[]): Disposable;
  /** What a container was found to have leased when the network worker last started: networks, and ports of the host. */
  foundAtStart(id: string): { networks: string[]; ports: Required<PortMapping>[] } | undefined;
  /** Makes what could not be made when the daemon started. Throws failed_precondition when it still cannot. */
  ready(names: readonly string[]): Promise<void>;
}

/** The stage workers that a container's life uses. */
export interface Stages {
  rootfs: WorkerHost<RootfsStage>;
  bundle: WorkerHost<BundleStage>;
  network: WorkerHost<NetworkStage>;
  streams: WorkerHost<StreamsStage>;
}

/** Runs one probe; resolves with its outcome, never rejects for an unhealthy answer. */
export type Prober = (check: Healthcheck, signal: AbortSignal) => Promise<Omit<HealthResult, "start" | "end">>;

/** Settings that containers inherit. */
export interface ContainerDefaults {
  /** Name of the default network. */
  network: string;
  /** Gateway of the default network: what host-gateway means, and the address containers reach the host by. */
  gateway: string;
  log: Required<LogOptions>;
  /** Grace before KILL, seconds. */
  stopTimeoutS: number;
  /** Binary for `--init`; undefined when the host has none. */
  initPath?: string;
  /** The host's own name, for containers in its network. */
  hostname: string;
  /** Parent cgroup of all containers. */
  cgroupParent: string;
  /** The host's resolv.conf. */
  resolvConfPath: string;
  /** Whether resolvers that a network backend gives go into resolv.conf where nyx's own do not. */
  networkDns: boolean;
}

/** Everything together. */
export interface SupervisorDeps {
  baseDir: string;
  stages: Stages;
  images: ImageSource;
  volumes: VolumeSource;
  networks: NetworkSource;
  dns: DnsRegistry;
  store: RecordStore;
  events: EventBus;
  log: Logger;
  host: HostFacts;
  defaults: ContainerDefaults;
}
