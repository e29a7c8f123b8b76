/** A nyxd with a registry and a usable image, shared by the tests of one file. */

import { type Nyxd, type NyxdOptions, startNyxd } from "./daemon.ts";
import { busyboxImage, pushLayout } from "./oci.ts";
import { type Registry, startRegistry } from "./registry.ts";

/** All that a test of the whole engine needs. */
export interface World extends AsyncDisposable {
  readonly nyxd: Nyxd;
  readonly registry: Registry;
  /** Reference of the busybox image, present in nyxd. */
  readonly image: string;
  /** Scratch directory. */
  readonly dir: string;
}

/** Starts registry and daemon, and pulls the image. */
export async function startWorld(options: NyxdOptions = {}): Promise<World> {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-world-" });
  const registry = await startRegistry();
  const image = `127.0.0.1:${registry.port}/busybox:latest`;
  try {
    busyboxImage({ dir: `${dir}/layout` });
    await pushLayout(`${dir}/layout`, "latest", image);
    const nyxd = await startNyxd(options);
    await nyxd.client.images.pull({ ref: image });
    return {
      nyxd,
      registry,
      image,
      dir,
      [Symbol.asyncDispose]: async () => {
        try {
          await nyxd[Symbol.asyncDispose]();
        } finally {
          await registry.stop();
          Deno.removeSync(dir, { recursive: true });
        }
      },
    };
  } catch (e) {
    await registry.stop();
    Deno.removeSync(dir, { recursive: true });
    throw e;
  }
}
