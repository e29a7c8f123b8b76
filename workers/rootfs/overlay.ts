/**
 * Mounts a container's overlay (Documentation/filesystems/overlayfs.rst), by the mount interface that the kernel has.
 *
 * Linux 6.8 takes lower directories one by one (`lowerdir+`). Before, all options must fit one page: the layers then get names
 * of one or two characters, links in a temporary directory that is the thread's working directory during mount(2).
 */

import { NyxError } from "../../daemon/spec/errors.ts";
import { layerDiffPath, layerRecordPath, shortName, tryParseLayerRecord } from "../../daemon/spec/layer_store.ts";
import { isErrno, SyscallError } from "../../ffi/errno.ts";
import { AT, AT_FDCWD, type FileKernel, O, OwnedFd, readToEnd } from "../../ffi/file.ts";
import { FSCONFIG, type MountKernel, MOVE_MOUNT, UMOUNT } from "../../ffi/mount.ts";
import type { OverlayPaths } from "./paths.ts";

/** Most lower directories of one overlay (OVL_MAX_STACK). */
export const MAX_LAYERS = 500;

/** How lower directories are handed to the kernel. */
export type LowerdirMode = "append" | "page";

/** What of the kernel the mounter uses. */
export type OverlayKernel = FileKernel & MountKernel;

/** One overlay to mount. */
export interface OverlayRequest {
  paths: OverlayPaths;
  layersDir: string;
  /** diffIDs, bottom layer first. */
  layers: readonly string[];
  volatile: boolean;
}

/** Bytes of options that surely fit mount(2)'s page of 4096. */
const PAGE_BYTES = 4000;
const RECORD_LIMIT = 64 * 1024;
/** Features off by name, so that a kernel's build defaults do not decide what a container's diff looks like. */
const FIXED_OPTIONS: readonly [string, string][] = [["index", "off"], ["metacopy", "off"], ["redirect_dir", "off"]];

/** Mounts overlays; belongs to one thread, which in page mode gets a working directory of its own. */
export class OverlayMounter {
  readonly #kernel: OverlayKernel;
  readonly #opaque = new Map<string, boolean>();
  #mode: LowerdirMode | undefined;
  /** Where the thread's working directory was before it got one of its own; set once. */
  #home: OwnedFd | undefined;

  /**
   * @param kernel file and mount areas
   * @param options `mode` forces one interface instead of probing for it
   */
  constructor(kernel: OverlayKernel, options: { mode?: LowerdirMode } = {}) {
    this.#kernel = kernel;
    this.#mode = options.mode;
  }

  /** The interface in use; probes at first. */
  get mode(): LowerdirMode {
    return this.#mode ??= this.#probe();
  }

  /**
   * Mounts `merged`, making diff, work and merged where missing. The thread's working directory changes during the call in page
   * mode; everything here is synchronous.
   *
   * @throws NyxError not_found for a missing layer, resource_exhausted for more than 500, internal with the kernel's own words
   */
  mount(request: OverlayRequest): void {
    const { paths, layers } = request;
    if (layers.length > MAX_LAYERS) {
      throw new NyxError(
        "resource_exhausted",
        `Could not mount ${layers.length} layers: overlayfs takes ${MAX_LAYERS}`,
      );
    }
    const lowers = this.#lowerdirs(request);
    this.#prepare(paths, lowers[0]);
    try {
      if (this.mode === "append") this.#mountAppend(request, lowers);
      else this.#mountPage(request, lowers);
    } catch (e) {
      throw this.#explain(e, request);
    }
  }

  /** Lower directories, top first, none below a layer that hides all below it. */
  #lowerdirs({ layersDir, layers }: OverlayRequest): string[] {
    const dirs: string[] = [];
    for (const diffId of layers.toReversed()) {
      dirs.push(layerDiffPath(layersDir, diffId));
      if (this.#hidesAllBelow(layersDir, diffId)) break;
    }
    return dirs;
  }

  #hidesAllBelow(layersDir: string, diffId: string): boolean {
    const path = layerRecordPath(layersDir, diffId);
    const known = this.#opaque.get(path);
    if (known !== undefined) return known;
    let text: string;
    try {
      using fd = new OwnedFd(this.#kernel, this.#kernel.openat(AT_FDCWD, path, O.RDONLY | O.CLOEXEC));
      text = new TextDecoder().decode(readToEnd(this.#kernel, fd.fd, RECORD_LIMIT));
    } catch (e) {
      if (!isErrno(e, "ENOENT", "ENOTDIR")) throw e;
      throw new NyxError(
        "not_found",
        `Could not mount layer ${diffId}: it is not in the layer store; pull the image again`,
        {
          cause: e,
          context: { digest: diffId },
        },
      );
    }
    const record = tryParseLayerRecord(text, diffId);
    if (record === undefined) {
      throw new NyxError("data_loss", `Could not mount layer ${diffId}: ${path} is damaged; pull the image again`, {
        context: { digest: diffId },
      });
    }
    const opaque = record.opaqueRoot === true;
    this.#opaque.set(path, opaque);
    return opaque;
  }

  #prepare(paths: OverlayPaths, top: string | undefined): void {
    const k = this.#kernel;
    this.#ensureDir(paths.dir, 0o700);
    if (!this.#ensureDir(paths.work, 0o700)) this.#clearVolatileMark(paths);
    this.#ensureDir(paths.merged, 0o700);
    if (!this.#ensureDir(paths.upper, 0o755)) return;
    if (top === undefined) k.fchmodat(AT_FDCWD, paths.upper, 0o755);
    else {
      // The upper directory is the container's `/`: it must look like the image's.
      const root = this.#statLayer(top);
      k.fchownat(AT_FDCWD, paths.upper, root.uid, root.gid, AT.SYMLINK_NOFOLLOW);
      k.fchmodat(AT_FDCWD, paths.upper, root.mode & 0o7777);
    }
  }

  #statLayer(dir: string) {
    try {
      return this.#kernel.statx(AT_FDCWD, dir, AT.SYMLINK_NOFOLLOW);
    } catch (e) {
      if (!isErrno(e, "ENOENT")) throw e;
      throw new NyxError("not_found", `Could not mount ${dir}: the layer is not in the store; pull the image again`, {
        cause: e,
      });
    }
  }

  /** Makes a directory, of this mode but for the umask; false when it was there. */
  #ensureDir(path: string, mode: number): boolean {
    try {
      this.#kernel.mkdirat(AT_FDCWD, path, mode);
    } catch (e) {
      if (isErrno(e, "EEXIST")) return false;
      if (!isErrno(e, "ENOENT")) throw e;
      Deno.mkdirSync(path, { recursive: true, mode: 0o700 });
    }
    return true;
  }

  /** A volatile overlay leaves a mark that refuses the next mount, since its upper may have lost writes. Only throw-away containers have it. */
  #clearVolatileMark(paths: OverlayPaths): void {
    const incompat = `${paths.work}/work/incompat`;
    const marks: [string, number][] = [
      [`${incompat}/volatile/dirty`, 0],
      [`${incompat}/volatile`, AT.REMOVEDIR],
      [incompat, AT.REMOVEDIR],
    ];
    for (const [path, flags] of marks) {
      try {
        this.#kernel.unlinkat(AT_FDCWD, path, flags);
      } catch (e) {
        if (!isErrno(e, "ENOENT", "ENOTDIR", "ENOTEMPTY")) throw e;
      }
    }
  }

  #mountAppend({ paths, volatile }: OverlayRequest, lowers: string[]): void {
    const k = this.#kernel;
    using fs = new OwnedFd(k, k.fsopen("overlay"));
    try {
      k.fsconfig(fs.fd, FSCONFIG.SET_STRING, "source", "overlay");
      for (const dir of lowers) k.fsconfig(fs.fd, FSCONFIG.SET_STRING, "lowerdir+", dir);
      k.fsconfig(fs.fd, FSCONFIG.SET_STRING, "upperdir", escapePath(paths.upper));
      k.fsconfig(fs.fd, FSCONFIG.SET_STRING, "workdir", escapePath(paths.work));
      for (const [key, value] of FIXED_OPTIONS) k.fsconfig(fs.fd, FSCONFIG.SET_STRING, key, value);
      if (volatile) k.fsconfig(fs.fd, FSCONFIG.SET_FLAG, "volatile");
      k.fsconfig(fs.fd, FSCONFIG.CMD_CREATE);
    } catch (e) {
      throw new NyxError("internal", `The kernel says: ${k.fsMessages(fs.fd) || "nothing"}`, { cause: e });
    }
    using mount = new OwnedFd(k, k.fsmount(fs.fd, 0));
    k.moveMount(mount.fd, "", AT_FDCWD, paths.merged, MOVE_MOUNT.F_EMPTY_PATH);
  }

  #mountPage(request: OverlayRequest, lowers: string[]): void {
    const k = this.#kernel;
    if (this.#home === undefined) {
      this.#home = new OwnedFd(k, k.openat(AT_FDCWD, ".", O.PATH | O.DIRECTORY | O.CLOEXEC));
      k.unshareFs();
    }
    const home = this.#home;
    const { paths, layersDir } = request;
    const direct = relativeOptions(request, lowers);
    if (direct !== undefined) {
      try {
        k.chdir(layersDir);
        k.mount("overlay", paths.merged, "overlay", 0, direct);
      } finally {
        k.fchdir(home.fd);
      }
      return;
    }
    const names = `${paths.dir}/.lower`;
    this.#removeNames(names);
    k.mkdirat(AT_FDCWD, names, 0o700);
    try {
      lowers.forEach((dir, i) => k.symlinkat(dir, AT_FDCWD, `${names}/${shortName(i)}`));
      k.chdir(names);
      // Relative to the links' directory, so that a long base directory does not fill the page either.
      const options = pageOptions(lowers.map((_, i) => shortName(i)), "../diff", "../work", request.volatile);
      k.mount("overlay", "../merged", "overlay", 0, options);
    } finally {
      k.fchdir(home.fd);
      this.#removeNames(names);
    }
  }

  #removeNames(dir: string): void {
    for (let i = 0;; i++) {
      try {
        this.#kernel.unlinkat(AT_FDCWD, `${dir}/${shortName(i)}`, 0);
      } catch (e) {
        if (isErrno(e, "ENOENT")) break;
        throw e;
      }
    }
    try {
      this.#kernel.unlinkat(AT_FDCWD, dir, AT.REMOVEDIR);
    } catch (e) {
      if (!isErrno(e, "ENOENT")) throw e;
    }
  }

  #probe(): LowerdirMode {
    const k = this.#kernel;
    try {
      using fs = new OwnedFd(k, k.fsopen("overlay"));
      if (takesAnyKey(k, fs.fd)) return "page";
      k.fsconfig(fs.fd, FSCONFIG.SET_STRING, "lowerdir+", "/");
      return "append";
    } catch (e) {
      if (isErrno(e, "ENODEV")) {
        throw new NyxError(
          "failed_precondition",
          "Could not mount a container's root: this kernel has no overlay file system; load the overlay module",
          { cause: e },
        );
      }
      if (e instanceof SyscallError) return "page";
      throw e;
    }
  }

  #explain(e: unknown, { paths, layers, layersDir }: OverlayRequest): unknown {
    for (const diffId of layers) {
      const dir = layerDiffPath(layersDir, diffId);
      try {
        this.#kernel.statx(AT_FDCWD, dir, AT.SYMLINK_NOFOLLOW);
      } catch (missing) {
        if (!isErrno(missing, "ENOENT")) continue;
        this.#opaque.delete(layerRecordPath(layersDir, diffId));
        return new NyxError("not_found", `Could not mount layer ${diffId}: ${dir} is missing; pull the image again`, {
          cause: e,
          context: { digest: diffId },
        });
      }
    }
    const what = `Could not mount the overlay of ${layers.length} layers at ${paths.merged}`;
    const why = e instanceof Error ? e.message : String(e);
    return new NyxError("internal", `${what}: ${why}`, { cause: e });
  }
}

/**
 * Whether the file system behind a configuration gathers keys unread until it is created, as overlayfs before Linux 6.5 does. Such a
 * kernel takes `lowerdir+` here, and refuses it when the mount is made.
 */
function takesAnyKey(kernel: MountKernel, fd: number): boolean {
  try {
    kernel.fsconfig(fd, FSCONFIG.SET_STRING, "nyx-no-such-option", "1");
    return true;
  } catch (e) {
    if (isErrno(e, "EINVAL")) return false;
    throw e;
  }
}

/** overlayfs takes backslashes out of these two paths, though not out of `lowerdir+`. */
export function escapePath(path: string): string {
  return path.replaceAll("\\", "\\\\");
}

function pageOptions(lowers: readonly string[], upper: string, work: string, volatile: boolean): string {
  return [
    `lowerdir=${lowers.join(":")}`,
    `upperdir=${upper}`,
    `workdir=${work}`,
    ...FIXED_OPTIONS.map(([key, value]) => `${key}=${value}`),
    ...(volatile ? ["volatile"] : []),
  ].join(",");
}

/** Options with names relative to the layer store: fits about a hundred layers. Undefined when it does not, or when a path would need escapes. */
function relativeOptions(
  { paths, layersDir, volatile }: OverlayRequest,
  lowers: readonly string[],
): string | undefined {
  if (/[,:\\]/.test(paths.dir)) return undefined;
  const names = lowers.map((dir) => dir.slice(layersDir.length + 1));
  const options = pageOptions(names, paths.upper, paths.work, volatile);
  return options.length < PAGE_BYTES ? options : undefined;
}

/**
 * Takes an overlay off, on a pool thread, since the kernel may sync the disk meanwhile.
 *
 * @returns whether something was mounted
 * @throws SyscallError when it cannot be taken off
 */
export async function unmountOverlay(kernel: MountKernel, merged: string): Promise<boolean> {
  const flags = UMOUNT.DETACH | UMOUNT.NOFOLLOW;
  if (await kernel.umount2Async(merged, flags)) return true;
  try {
    kernel.umount2(merged, flags);
    return true;
  } catch (e) {
    if (isErrno(e, "EINVAL", "ENOENT", "ENOTDIR")) return false;
    throw e;
  }
}
