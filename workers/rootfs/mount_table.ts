/** Questions about what is mounted below the base directory, and the shared directory for namespaces. */

import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, type FileKernel, O, OwnedFd, readToEnd } from "../../ffi/file.ts";
import { type MountKernel, MS, UMOUNT } from "../../ffi/mount.ts";
import { type MountInfo, mountsBelow, parseMountInfo } from "../../ffi/mountinfo.ts";

/** Bound on /proc/self/mountinfo: 1,000 overlays of 500 layers. */
const MOUNTINFO_BYTES = 64 * 1024 * 1024;

/** All mounts of this process's namespace. */
export function readMounts(kernel: FileKernel): MountInfo[] {
  using fd = new OwnedFd(kernel, kernel.openat(AT_FDCWD, "/proc/thread-self/mountinfo", O.RDONLY | O.CLOEXEC));
  return parseMountInfo(new TextDecoder().decode(readToEnd(kernel, fd.fd, MOUNTINFO_BYTES)));
}

/** Mount points strictly below or at a directory, parents first, each once. */
export function listMountsBelow(kernel: FileKernel, dir: string): string[] {
  return [...new Set(mountsBelow(readMounts(kernel), dir))].reverse();
}

/** The topmost mount at exactly this path. */
export function mountAt(kernel: FileKernel, path: string): MountInfo | undefined {
  return readMounts(kernel).findLast((m) => m.mountPoint === path);
}

/**
 * Whether something is mounted at a path, without reading the whole table: its device or inode then differs from what the
 * parent directory says. A bind of a directory onto itself is not seen.
 */
export function looksMounted(kernel: FileKernel, path: string): boolean {
  try {
    const here = kernel.statx(AT_FDCWD, path, 0x100);
    const parent = kernel.statx(AT_FDCWD, `${path}/..`, 0);
    return here.devMajor !== parent.devMajor || here.devMinor !== parent.devMinor;
  } catch (e) {
    if (isErrno(e, "ENOENT", "ENOTDIR")) return false;
    throw e;
  }
}

/**
 * Makes a directory, where it is missing, and a shared mount of it. Idempotent.
 *
 * @returns false when it already was one
 */
export function shareDirectory(kernel: FileKernel & MountKernel, path: string): boolean {
  Deno.mkdirSync(path, { recursive: true, mode: 0o700 });
  const there = mountAt(kernel, path);
  if (there !== undefined && there.optional.some((o) => o.startsWith("shared:"))) return false;
  if (there === undefined) kernel.mount(path, path, undefined, MS.BIND);
  kernel.mount(undefined, path, undefined, MS.PRIVATE);
  kernel.mount(undefined, path, undefined, MS.SHARED);
  return there === undefined;
}

/**
 * Unmounts everything at and below a directory, deepest first, lazily where something holds it.
 *
 * @returns what was unmounted
 * @throws SyscallError of the first that failed, after all were tried
 */
export async function unmountBelow(kernel: FileKernel & MountKernel, dir: string): Promise<string[]> {
  const done: string[] = [];
  let failure: unknown;
  for (const path of mountsBelow(readMounts(kernel), dir)) {
    const flags = UMOUNT.DETACH | UMOUNT.NOFOLLOW;
    if (await kernel.umount2Async(path, flags)) done.push(path);
    else {
      try {
        kernel.umount2(path, flags);
        done.push(path);
      } catch (e) {
        // A lazy unmount of a parent, or a shared peer, has taken it along.
        if (!isErrno(e, "EINVAL", "ENOENT")) failure ??= e;
      }
    }
  }
  if (failure !== undefined) throw failure;
  return done;
}
