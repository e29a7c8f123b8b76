/** What builds need of the rest of the daemon. */

import type { Logger } from "../log/logger.ts";
import type { BuildImages } from "../images/build_images.ts";
import type { EnsureOptions, ImageHandle } from "../images/store.ts";
import type { Platform } from "../spec/image.ts";

/** The network of a build's RUN steps. */
export interface JobNetwork {
  /** Value of buildah's --network: none, host, or the path of a namespace. */
  option: string;
  /** Resolvers; empty means the host's. */
  dns: string[];
  /** Address of the host as RUN sees it. */
  gateway: string;
  /** Takes it down. */
  release(): Promise<void>;
}

/** What builds need of the rest of the daemon. */
export interface BuildDeps {
  baseDir: string;
  /** Path of crun. */
  crun: string;
  cgroupParent: string;
  /** Platform of images when none is asked for. */
  platform: Platform;
  /** Proxy variables of the daemon, for RUN and for ADD from the web. */
  proxies: Readonly<Record<string, string>>;
  log: Logger;
  /** PATH of the programs that builds start; default that of place.ts. */
  programPath?: string;
  images: {
    ensure(ref: string, options: EnsureOptions): Promise<ImageHandle>;
    readonly builds: BuildImages;
  };
  /** Unpacks a tar, which comes over a port as ByteSender sends it, into a directory that no member leads out of. */
  unpack(request: { dir: string; port: MessagePort; signal: AbortSignal }): Promise<void>;
  /** Removes a tree; a missing one is no error. */
  removeTree(path: string): Promise<void>;
  /** Bytes on disk. */
  usage(path: string): Promise<number>;
  /** Makes the network that a build asks for: default, none, host, or the name of one. */
  network(name: string): Promise<JobNetwork>;
}
