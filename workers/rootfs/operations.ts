/** The operations of stage `rootfs` over a kernel that is handed in, so that tests can inject faults. */

import { NyxError } from "../../daemon/spec/errors.ts";
import { layerDiffPath } from "../../daemon/spec/layer_store.ts";
import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, O, OwnedFd } from "../../ffi/file.ts";
import { unescapeField } from "../../ffi/mountinfo.ts";
import type { RootfsStage } from "../protocol.ts";
import { populateVolume } from "./copy_up.ts";
import { diffOverlay } from "./diff.ts";
import { ensureDirectory, ensureFile, ensurePlainDirectory, openRoot, readSmallFile } from "./in_root.ts";
import { listMountsBelow, looksMounted, mountAt, unmountBelow } from "./mount_table.ts";
import { escapePath, type LowerdirMode, type OverlayKernel, OverlayMounter, unmountOverlay } from "./overlay.ts";
import { checkAbsolute, LAYERS_DIR, type OverlayPaths, overlayPaths, TRASH_PREFIX } from "./paths.ts";
import { removeTree } from "./remove_tree.ts";
import { CONTAINER_MOUNTS, mountShm } from "./volume_mounts.ts";

type Ops = RootfsStage["ops"];
type Mounted = Ops["mount"]["result"];

/** How often a pending unmount is looked at, ms. */
const DETACH_POLL_MS = 1;

/** Where the runtime mounts the kernel's file systems; an image must not lead it elsewhere. */
const KERNEL_DIRS = ["dev", "proc", "sys"];

/** State and operations of one rootfs worker. */
export class RootfsOperations {
  readonly #kernel: OverlayKernel;
  readonly #mounter: OverlayMounter;
  /** Unmounts that the kernel has not finished, by merged path: the next mount of the same waits for them. */
  readonly #detaching = new Map<string, Promise<boolean>>();
  /** Removals that go on after their request was answered, by path. */
  readonly #removing = new Map<string, Promise<void>>();
  readonly #warn: (msg: string, fields: Record<string, unknown>) => void;
  readonly #swept = new Set<string>();
  #trash = 0;

  /**
   * @param kernel file and mount areas
   * @param options `mode` forces how lower directories are given; `warn` hears of background work that failed
   */
  constructor(
    kernel: OverlayKernel,
    options: { mode?: LowerdirMode; warn?: (msg: string, fields: Record<string, unknown>) => void } = {},
  ) {
    this.#kernel = kernel;
    this.#mounter = new OverlayMounter(kernel, options.mode === undefined ? {} : { mode: options.mode });
    this.#warn = options.warn ?? (() => {});
  }

  /** Mounts a container's root; see the protocol. */
  async mount(request: Ops["mount"]["request"]): Promise<Mounted> {
    const paths = overlayPaths(request.baseDir, request.id);
    await this.#sweep(request.baseDir);
    await this.#detaching.get(paths.merged);
    if (!this.#isMounted(paths)) {
      this.#mounter.mount({
        paths,
        layersDir: `${request.baseDir}/${LAYERS_DIR}`,
        layers: request.layers,
        volatile: request.volatile,
      });
    }
    const mounted: Mounted = { rootfs: paths.merged, files: this.#look(paths, request) };
    if (request.shmSizeBytes !== undefined) {
      mounted.shmPath = mountShm(this.#kernel, paths.dir, request.shmSizeBytes);
    }
    return mounted;
  }

  #look(paths: OverlayPaths, request: Ops["mount"]["request"]): Record<string, Uint8Array> {
    using root = openRoot(this.#kernel, paths.merged);
    for (const name of KERNEL_DIRS) ensurePlainDirectory(this.#kernel, root.fd, name);
    for (const dir of request.ensureDirs) ensureDirectory(this.#kernel, root.fd, dir)[Symbol.dispose]();
    const files: Record<string, Uint8Array> = {};
    for (const path of request.readFiles) {
      const bytes = readSmallFile(this.#kernel, root.fd, path);
      if (bytes !== undefined) files[path] = bytes;
    }
    return files;
  }

  /** Whether the right overlay is there; anything else at that place is taken off. */
  #isMounted(paths: OverlayPaths): boolean {
    if (!looksMounted(this.#kernel, paths.merged)) return false;
    const there = mountAt(this.#kernel, paths.merged);
    if (there === undefined) return false;
    // The table says what the kernel was given: mount(2) a relative name, fsconfig an escaped one.
    const own = [paths.upper, escapePath(paths.upper), "../diff"];
    const upper = unescapeField(/(?:^|,)upperdir=([^,]*)/.exec(there.superOptions)?.[1] ?? "");
    if (there.type === "overlay" && own.includes(upper)) return true;
    throw new NyxError(
      "failed_precondition",
      `Could not mount ${paths.merged}: a ${there.type} of ${there.source} is mounted there; unmount it`,
      { context: { path: paths.merged } },
    );
  }

  /** Unmounts, and with `removeDirs` deletes; answers once the mount is out of sight, the disk's sync goes on behind. */
  async unmount(request: Ops["unmount"]["request"]): Promise<Ops["unmount"]["result"]> {
    const paths = overlayPaths(request.baseDir, request.id);
    await this.#detaching.get(paths.merged);
    if (!request.removeDirs) {
      await this.#detachMounts(paths.dir);
      const removed = await this.#detach(paths.merged);
      return { removed };
    }
    const trash = `${request.baseDir}/overlay/${TRASH_PREFIX}${request.id}-${Deno.pid}-${this.#trash++}`;
    try {
      this.#kernel.renameat2(AT_FDCWD, paths.dir, AT_FDCWD, trash, 0);
    } catch (e) {
      if (isErrno(e, "ENOENT")) return { removed: false };
      throw e;
    }
    await this.#detachMounts(trash);
    await this.#detach(`${trash}/merged`);
    this.#removeBehind(trash);
    return { removed: true };
  }

  /** Takes off what was bound for one container beside its root. */
  async #detachMounts(dir: string): Promise<void> {
    const mounts = `${dir}/${CONTAINER_MOUNTS}`;
    try {
      this.#kernel.statx(AT_FDCWD, mounts, 0);
    } catch (e) {
      if (isErrno(e, "ENOENT", "ENOTDIR")) return;
      throw e;
    }
    await unmountBelow(this.#kernel, mounts);
  }

  /** Resolves when the mount is gone from the namespace; false when there was none. */
  async #detach(merged: string): Promise<boolean> {
    if (!looksMounted(this.#kernel, merged)) return false;
    const whole = unmountOverlay(this.#kernel, merged);
    let finished = false;
    const tracked = whole.finally(() => {
      finished = true;
      this.#detaching.delete(merged);
    });
    this.#detaching.set(merged, tracked);
    tracked.catch(() => {});
    while (!finished) {
      await Promise.race([tracked, new Promise((resolve) => setTimeout(resolve, DETACH_POLL_MS))]);
      if (!finished && !looksMounted(this.#kernel, merged)) return true;
    }
    return await tracked;
  }

  #removeBehind(trash: string): void {
    const job = (async () => {
      await this.#detaching.get(`${trash}/merged`);
      await removeTree(this.#kernel, trash);
    })().catch((e: unknown) =>
      this.#warn("Could not remove a container's directory; the next start tries again", {
        path: trash,
        error: e instanceof Error ? e.message : String(e),
      })
    ).finally(() => this.#removing.delete(trash));
    this.#removing.set(trash, job);
  }

  /** Waits for removals that were answered early. */
  async settle(): Promise<void> {
    await Promise.all(this.#removing.values());
  }

  /** Mount points below the base directory, without those of removals under way. */
  async listMounts({ baseDir }: Ops["listMounts"]["request"]): Promise<Ops["listMounts"]["result"]> {
    const base = checkAbsolute("baseDir", baseDir);
    await this.#sweep(base);
    return { targets: listMountsBelow(this.#kernel, base).filter((t) => !t.includes(`/${TRASH_PREFIX}`)) };
  }

  /** Takes up removals that an earlier process left half done; once for each base directory. */
  async #sweep(base: string): Promise<void> {
    if (this.#swept.has(base)) return;
    this.#swept.add(base);
    for (const name of this.#leftTrash(`${base}/overlay`)) {
      const trash = `${base}/overlay/${name}`;
      await unmountBelow(this.#kernel, trash);
      this.#removeBehind(trash);
    }
  }

  #leftTrash(dir: string): string[] {
    try {
      using fd = new OwnedFd(this.#kernel, this.#kernel.openat(AT_FDCWD, dir, O.RDONLY | O.DIRECTORY | O.CLOEXEC));
      return this.#kernel.readDirectory(fd.fd).map((e) => e.name)
        .filter((name) => name.startsWith(TRASH_PREFIX) && !this.#removing.has(`${dir}/${name}`));
    } catch (e) {
      if (isErrno(e, "ENOENT")) return [];
      throw e;
    }
  }

  /** Makes a mount point inside a root. */
  ensureMountpoint({ rootfs, target, kind }: Ops["ensureMountpoint"]["request"]): void {
    using root = openRoot(this.#kernel, checkAbsolute("rootfs", rootfs));
    if (kind === "dir") ensureDirectory(this.#kernel, root.fd, target)[Symbol.dispose]();
    else ensureFile(this.#kernel, root.fd, target);
  }

  /** Fills an empty volume. */
  async populateVolume(
    request: Ops["populateVolume"]["request"],
    signal?: AbortSignal,
  ): Promise<Ops["populateVolume"]["result"]> {
    const rootfs = checkAbsolute("rootfs", request.rootfs);
    const volumeDir = checkAbsolute("volumeDir", request.volumeDir);
    return { copied: await populateVolume(this.#kernel, rootfs, request.target, volumeDir, signal) };
  }

  /** What the container changed. */
  async diff(request: Ops["diff"]["request"], signal?: AbortSignal): Promise<Ops["diff"]["result"]> {
    const paths = overlayPaths(request.baseDir, request.id);
    const layersDir = `${request.baseDir}/${LAYERS_DIR}`;
    const lowers = request.layers.toReversed().map((diffId) => layerDiffPath(layersDir, diffId));
    try {
      return await diffOverlay(this.#kernel, paths.upper, lowers, signal);
    } catch (e) {
      if (isErrno(e, "ENOENT")) return [];
      throw e;
    }
  }
}
