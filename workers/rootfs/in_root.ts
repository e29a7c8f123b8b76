/**
 * Reads and makes things inside a container's root as the container would see them: every path is resolved by the kernel with
 * the root as `/` (openat2 RESOLVE_IN_ROOT), so that no link in a hostile image leads out.
 */

import { invalid, NyxError } from "../../daemon/spec/errors.ts";
import { isErrno, SyscallError } from "../../ffi/errno.ts";
import { AT_FDCWD, type FileKernel, O, OwnedFd, readToEnd, RESOLVE, S } from "../../ffi/file.ts";

/** Most bytes of one file that {@linkcode readSmallFile} gives back. */
export const SMALL_FILE_BYTES = 1024 * 1024;

/** Links followed before giving up, as the kernel does. */
const MAX_LINKS = 40;
const DIR_MODE = 0o755;
const FILE_MODE = 0o644;
const INSIDE = RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS;

/** Opens a root directory; the caller closes it. */
export function openRoot(kernel: FileKernel, rootfs: string): OwnedFd {
  return new OwnedFd(kernel, kernel.openat(AT_FDCWD, rootfs, O.PATH | O.DIRECTORY | O.CLOEXEC));
}

/** openat2 below a root. */
export function openInRoot(kernel: FileKernel, rootFd: number, path: string, flags: number): OwnedFd {
  return new OwnedFd(kernel, kernel.openat2(rootFd, path, flags | O.CLOEXEC, INSIDE));
}

/**
 * Content of a regular file of the root, at most 1 MiB of it, cut after the last whole line when it is longer.
 *
 * Opened by O_PATH first: a FIFO does not block, a device is not touched.
 *
 * @returns undefined when there is no such regular file
 */
export function readSmallFile(
  kernel: FileKernel,
  rootFd: number,
  path: string,
): Uint8Array<ArrayBuffer> | undefined {
  try {
    using found = openInRoot(kernel, rootFd, path, O.PATH);
    if ((kernel.fstat(found.fd).mode & S.IFMT) !== S.IFREG) return undefined;
    using fd = new OwnedFd(
      kernel,
      kernel.openat(AT_FDCWD, `/proc/self/fd/${found.fd}`, O.RDONLY | O.CLOEXEC | O.NOCTTY),
    );
    const bytes = readToEnd(kernel, fd.fd, SMALL_FILE_BYTES + 1);
    if (bytes.byteLength <= SMALL_FILE_BYTES) return bytes;
    return bytes.slice(0, bytes.lastIndexOf(0x0a, SMALL_FILE_BYTES - 1) + 1);
  } catch (e) {
    if (isErrno(e, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
    throw e;
  }
}

function tryOpen(kernel: FileKernel, rootFd: number, path: string, flags: number): OwnedFd | undefined {
  try {
    return openInRoot(kernel, rootFd, path, flags);
  } catch (e) {
    if (isErrno(e, "ENOENT")) return undefined;
    throw e;
  }
}

function splitPath(path: string): string[] {
  if (path.includes("\0")) throw invalid("path", path, "a path cannot hold a NUL byte");
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

/** What a dangling link says, or undefined when `name` is no link. */
function readLink(kernel: FileKernel, dirFd: number, name: string): string | undefined {
  try {
    return new TextDecoder().decode(kernel.readlinkat(dirFd, name));
  } catch (e) {
    if (isErrno(e, "EINVAL", "ENOENT")) return undefined;
    throw e;
  }
}

function makeDirectory(kernel: FileKernel, parentFd: number, name: string): void {
  kernel.mkdirat(parentFd, name, DIR_MODE);
  using fd = new OwnedFd(kernel, kernel.openat(parentFd, name, O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC));
  // The umask of the daemon must not narrow what the container sees.
  kernel.fchmod(fd.fd, DIR_MODE);
}

/**
 * Makes sure that a directory exists inside a root, its parents included, owned by root with mode 0755 where missing.
 * Links are followed inside the root, dangling ones too: their target is made.
 *
 * @param path as the container would write it
 * @returns an O_PATH descriptor of the directory
 * @throws NyxError failed_precondition when something that is no directory is in the way
 */
export function ensureDirectory(kernel: FileKernel, rootFd: number, path: string): OwnedFd {
  let done = "/";
  let rest = splitPath(path);
  let links = 0;
  let current = openInRoot(kernel, rootFd, "/", O.PATH | O.DIRECTORY);
  try {
    for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
      const next = done === "/" ? `/${name}` : `${done}/${name}`;
      let opened = tryOpen(kernel, rootFd, next, O.PATH | O.DIRECTORY);
      if (opened === undefined) {
        const link = readLink(kernel, current.fd, name);
        if (link !== undefined) {
          if (++links > MAX_LINKS) throw new SyscallError("openat2", 40, path);
          rest = [...splitPath(link), ...rest];
          if (link.startsWith("/")) {
            done = "/";
            current[Symbol.dispose]();
            current = openInRoot(kernel, rootFd, "/", O.PATH | O.DIRECTORY);
          }
          continue;
        }
        makeDirectory(kernel, current.fd, name);
        opened = openInRoot(kernel, rootFd, next, O.PATH | O.DIRECTORY);
      }
      current[Symbol.dispose]();
      current = opened;
      done = next;
    }
    return current;
  } catch (e) {
    current[Symbol.dispose]();
    if (!isErrno(e, "ENOTDIR", "ELOOP", "EEXIST")) throw e;
    throw new NyxError(
      "failed_precondition",
      `Could not make directory ${JSON.stringify(path)} in the container's root: something in the image is in the way`,
      { cause: e, context: { path } },
    );
  }
}

/**
 * Makes sure that a name at the top of a root, where it exists, is a directory and no link: anything else is replaced by an
 * empty one.
 *
 * The runtime makes device nodes and links in /dev before it changes its root, and follows a link that an image put there out
 * to the host (CVE-2026-47766).
 *
 * @param name without slash
 */
export function ensurePlainDirectory(kernel: FileKernel, rootFd: number, name: string): void {
  using found = tryOpen(kernel, rootFd, name, O.PATH | O.NOFOLLOW);
  if (found === undefined || (kernel.fstat(found.fd).mode & S.IFMT) === S.IFDIR) return;
  kernel.unlinkat(rootFd, name, 0);
  makeDirectory(kernel, rootFd, name);
}

/** Splits a path into its directory and its last name; undefined for the root. */
function splitLast(path: string): { dir: string; name: string } | undefined {
  const parts = splitPath(path);
  const name = parts.pop();
  return name === undefined || name === ".." ? undefined : { dir: `/${parts.join("/")}`, name };
}

/**
 * Makes sure that a file exists inside a root: what is there stays, whatever it is unless a directory; a missing one is made
 * empty with mode 0644.
 *
 * @throws NyxError failed_precondition when a directory is in the way
 */
export function ensureFile(kernel: FileKernel, rootFd: number, path: string, links = 0): void {
  const last = splitLast(path);
  if (last === undefined) throw invalid("target", path, "the root itself cannot be a file");
  using found = tryOpen(kernel, rootFd, path, O.PATH);
  if (found !== undefined) {
    if ((kernel.fstat(found.fd).mode & S.IFMT) !== S.IFDIR) return;
    throw new NyxError(
      "failed_precondition",
      `Could not make file ${JSON.stringify(path)} in the container's root: the image has a directory there`,
      { context: { path } },
    );
  }
  using dir = ensureDirectory(kernel, rootFd, last.dir);
  const link = readLink(kernel, dir.fd, last.name);
  if (link !== undefined) {
    if (links >= MAX_LINKS) throw new SyscallError("openat2", 40, path);
    return ensureFile(kernel, rootFd, link.startsWith("/") ? link : `${last.dir}/${link}`, links + 1);
  }
  const flags = O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW | O.CLOEXEC;
  using fd = new OwnedFd(kernel, kernel.openat(dir.fd, last.name, flags, FILE_MODE));
  kernel.fchmod(fd.fd, FILE_MODE);
}
