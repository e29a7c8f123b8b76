/** What applying a plan needs of the rest of the daemon, narrow enough for a simulated world to stand in. */

import type { HealthStatus, NetworkConnectRequest, NetworkCreateRequest } from "../../spec/api.ts";
import type {
  ContainerConfig,
  NetworkAttachment,
  PortMapping,
  Resources,
  RestartPolicy,
} from "../../spec/container.ts";
import type { PullEvent, RegistryCredentials } from "../../spec/image.ts";
import type { ObservedContainer, ObservedImage, ObservedNetwork, ObservedVolume } from "../plan/world.ts";

/** A container as it is now. */
export interface EngineContainer extends ObservedContainer {
  /** Missing without a probe, or before its first start. */
  health?: HealthStatus;
  /** Anonymous volumes by target: they outlive a replacement. */
  anonymous: Record<string, string>;
  /** Host paths that it mounts. */
  binds: string[];
}

/** Containers, networks, volumes and images of the daemon. Each method that fails throws NyxError. */
export interface ComposeEngine {
  /** All containers, in no order. */
  containers(): EngineContainer[];
  /** One container by its whole id; undefined when it is gone. */
  container(id: string): EngineContainer | undefined;
  /** Resolves when a container's state changes, when it goes, or when the signal aborts. Subscribed before it returns. */
  changed(id: string, signal: AbortSignal): Promise<void>;
  /** Makes a container whose image is present; resolves with its id and warnings. */
  create(config: ContainerConfig): Promise<{ id: string; warnings: string[] }>;
  /** Starts, with its post-start commands; one that runs is left as it is. `byUser` false keeps counts, as at boot. */
  start(id: string, byUser?: boolean): Promise<void>;
  /** Stops; one that does not run is left as it is. Without `timeoutS` its own grace counts. */
  stop(id: string, timeoutS?: number): Promise<void>;
  restart(id: string, timeoutS?: number): Promise<void>;
  pause(id: string): Promise<void>;
  unpause(id: string): Promise<void>;
  kill(id: string, signal: string): Promise<void>;
  rename(id: string, name: string): Promise<void>;
  update(id: string, resources: Resources, restart: RestartPolicy | undefined): Promise<void>;
  /** Removes, by force; `volumes` takes along its anonymous volumes, also those that came from a container it replaced. */
  remove(id: string, volumes: boolean): Promise<void>;
  /** Gives up the ports and addresses that a stopped container holds; its next start takes them again. */
  release(id: string): Promise<void>;
  /** Moves published ports between two that run, in one step; connections that are open go on where they are. */
  movePorts(from: string, to: string, ports: readonly PortMapping[]): Promise<void>;
  /** Gives a container that does not run ports back that were moved away from it. */
  restorePorts(id: string, ports: readonly PortMapping[]): Promise<void>;
  /** Open TCP connections into a container. */
  openConnections(id: string): Promise<number>;
  /** Whether a container accepts TCP connections on a port of its own. */
  listening(id: string, port: number): Promise<boolean>;
  /** The names by which others find a container in its networks, in place of those it had. */
  setAliases(id: string, networks: readonly NetworkAttachment[]): Promise<void>;

  networks(): Promise<ObservedNetwork[]>;
  createNetwork(request: NetworkCreateRequest): Promise<void>;
  /** Names of containers, in any state, that are configured for it are in the error when there are some. */
  removeNetwork(name: string): Promise<void>;
  connect(network: string, request: NetworkConnectRequest): Promise<void>;
  disconnect(network: string, container: string): Promise<void>;

  volumes(): Promise<(ObservedVolume & { mountpoint: string })[]>;
  createVolume(
    request: { name: string; options: Record<string, string>; labels: Record<string, string> },
  ): Promise<void>;
  removeVolume(name: string): Promise<void>;

  /** The image of a reference; undefined when it is not present. */
  image(ref: string): Promise<ObservedImage | undefined>;
  pull(
    ref: string,
    options: {
      platform?: string;
      credentials?: RegistryCredentials;
      signal: AbortSignal;
      onEvent: (event: PullEvent) => void;
    },
  ): Promise<void>;
  removeImage(ref: string): Promise<void>;
}
