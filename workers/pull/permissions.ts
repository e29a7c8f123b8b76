/** What the pull worker may do, and how it is started. Registries are hostile: it gets the network and one directory. */

import type { WorkerPermissions } from "../host.ts";
import type { PullInit } from "../protocol.ts";

/**
 * Permissions of the pull worker: the network, the images directory, and the question how full the disk is. No environment, no
 * processes, no foreign functions, nothing else of the file system. The daemon must itself hold all of this, `--allow-sys=statfs` included.
 *
 * The runtime follows symbolic links out of a permitted directory. The worker cannot make one, so nobody else may there.
 * Below /dev, /proc and /sys no directory can be permitted at all: images cannot lie in /dev/shm.
 *
 * @param imagesDir absolute path
 */
export function pullWorkerPermissions(imagesDir: string): WorkerPermissions {
  return {
    net: true,
    read: [imagesDir],
    write: [imagesDir],
    sys: ["statfs"],
    env: false,
    run: false,
    ffi: false,
    import: false,
  };
}

/**
 * Starts the pull worker; for `WorkerHost`'s `start`.
 *
 * @param init where the images are, and bounds
 * @param permissions what the worker may do
 */
export function startPullWorker(
  init: PullInit,
  permissions: WorkerPermissions = pullWorkerPermissions(init.imagesDir),
): Worker {
  return new Worker(new URL("./main.ts", import.meta.url), {
    type: "module",
    name: JSON.stringify(init),
    deno: { permissions },
  });
}
