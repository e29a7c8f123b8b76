/** The typed client of nyxd's Control API, as programs and the CLI use it. */

import { BuildCalls } from "./build.ts";
import { ComposeCalls } from "./compose.ts";
import { ContainerCalls } from "./containers.ts";
import { ImageCalls } from "./images.ts";
import { NetworkCalls } from "./networks.ts";
import { SystemCalls } from "./system.ts";
import { DEFAULT_SOCKET, Transport } from "./transport.ts";
import { VolumeCalls } from "./volumes.ts";

/** Options of {@linkcode NyxClient}. */
export interface ClientOptions {
  /** Unix socket of the daemon. Default `/run/nyxd/nyxd.sock`. */
  socketPath?: string;
}

/**
 * Client of one nyxd. Making it opens no connection; calls share kept-alive connections, of which {@linkcode close} drops
 * the idle ones. Every call rejects with a {@linkcode NyxError}: what the daemon said, or `unavailable` with the fix when
 * it cannot be reached, or `canceled` when the call's signal aborted. Needs permission to net, read and write the socket.
 *
 * ```ts
 * using nyx = new NyxClient();
 * const run = await nyx.containers.run({ image: "busybox", args: ["true"] });
 * const { exitCode } = await nyx.containers.wait(run.id);
 * ```
 */
export class NyxClient implements Disposable {
  /** Containers. */
  readonly containers: ContainerCalls;
  /** Images and registries. */
  readonly images: ImageCalls;
  /** Builds of images. */
  readonly build: BuildCalls;
  /** Volumes. */
  readonly volumes: VolumeCalls;
  /** Networks. */
  readonly networks: NetworkCalls;
  /** Compose projects. */
  readonly compose: ComposeCalls;
  /** The daemon. */
  readonly system: SystemCalls;
  readonly #transport: Transport;

  /**
   * Opens no connection yet.
   *
   * @param options where the daemon is
   */
  constructor(options: ClientOptions = {}) {
    this.#transport = new Transport(options.socketPath ?? DEFAULT_SOCKET);
    this.containers = new ContainerCalls(this.#transport);
    this.images = new ImageCalls(this.#transport);
    this.build = new BuildCalls(this.#transport);
    this.volumes = new VolumeCalls(this.#transport);
    this.networks = new NetworkCalls(this.#transport);
    this.compose = new ComposeCalls(this.#transport);
    this.system = new SystemCalls(this.#transport);
  }

  /** Socket this client talks to. */
  get socketPath(): string {
    return this.#transport.socketPath;
  }

  /** Closes idle connections; calls under way go on. */
  close(): void {
    this.#transport.close();
  }

  /** Same as {@linkcode close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}
