/**
 * Small files of the kernel's own file systems: /proc, /sys. Deno refuses them to all but programs with every permission, so
 * they are read and written by system calls.
 */

import { isErrno } from "./errno.ts";
import { AT_FDCWD, type FileKernel, O, OwnedFd, readToEnd, writeAll } from "./file.ts";

/** File type bits of a directory (inode(7)). */
const S_IFDIR = 0o040000;
/** Most bytes that are read of one file. */
const LIMIT = 4 * 1024 * 1024;

/** What the functions here call. */
export type KernelFiles = Pick<FileKernel, "openat" | "close" | "read" | "write" | "readDirectory" | "readlinkat">;

/** Text of a file; undefined when it, or the process or device it belongs to, is gone. */
export function tryReadKernelFile(kernel: KernelFiles, path: string): string | undefined {
  try {
    using fd = new OwnedFd(kernel, kernel.openat(AT_FDCWD, path, O.RDONLY | O.CLOEXEC));
    return new TextDecoder().decode(readToEnd(kernel, fd.fd, LIMIT));
  } catch (e) {
    if (isErrno(e, "ENOENT", "ESRCH", "ENODEV", "ENOTDIR")) return undefined;
    throw e;
  }
}

/** Writes a file that exists, in one write. */
export function writeKernelFile(kernel: KernelFiles, path: string, text: string): void {
  using fd = new OwnedFd(kernel, kernel.openat(AT_FDCWD, path, O.WRONLY | O.CLOEXEC));
  writeAll(kernel, fd.fd, new TextEncoder().encode(text));
}

/** Names in a directory; empty when it is gone. */
export function kernelDirectory(kernel: KernelFiles, path: string): { name: string; isDirectory: boolean }[] {
  try {
    using fd = new OwnedFd(kernel, kernel.openat(AT_FDCWD, path, O.RDONLY | O.DIRECTORY | O.CLOEXEC));
    return kernel.readDirectory(fd.fd).map(({ name, type }) => ({ name, isDirectory: type === S_IFDIR }));
  } catch (e) {
    if (isErrno(e, "ENOENT", "ESRCH", "ENODEV", "ENOTDIR")) return [];
    throw e;
  }
}

/** Target of a link, such as /proc/<pid>/fd/<n>; undefined when it is gone. */
export function tryReadKernelLink(kernel: KernelFiles, path: string): string | undefined {
  try {
    return new TextDecoder().decode(kernel.readlinkat(AT_FDCWD, path));
  } catch (e) {
    if (isErrno(e, "ENOENT", "ESRCH")) return undefined;
    throw e;
  }
}
