/**
 * Removes a tree that a container wrote: hostile names, any depth, files made immutable. No link is followed, and no mount is
 * crossed (openat2 RESOLVE_NO_XDEV refuses bind mounts too): what is mounted inside stops the removal.
 */

import { NyxError } from "../../daemon/spec/errors.ts";
import { isErrno } from "../../ffi/errno.ts";
import { AT, AT_FDCWD, type DirectoryEntry, type FileKernel, O, OwnedFd, RESOLVE, S } from "../../ffi/file.ts";
import { INODE_FLAG, type MountKernel } from "../../ffi/mount.ts";
import { Slice } from "./slice.ts";

/** Directories held open at once; deeper ones are first moved up to the top. */
const MAX_DEPTH = 64;

const OPEN_DIR = O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC;
const STAY = RESOLVE.NO_XDEV | RESOLVE.NO_SYMLINKS;

interface Level {
  fd: OwnedFd;
  /** Name in its parent, for the rmdir. */
  name: Uint8Array<ArrayBuffer>;
  entries: DirectoryEntry[];
}

/** One removal. */
class Remover {
  readonly #slice = new Slice();
  #moved = 0;

  constructor(readonly kernel: FileKernel & MountKernel, readonly path: string) {}

  /** Empties the directory behind `top`, which stays open. */
  async empty(top: OwnedFd): Promise<void> {
    const stack: Level[] = [{ fd: top, name: new Uint8Array(1), entries: this.kernel.readDirectory(top.fd) }];
    try {
      for (let level = stack.at(-1); level !== undefined; level = stack.at(-1)) {
        if (this.#slice.due) await this.#slice.pause();
        const entry = level.entries.pop();
        if (entry !== undefined) {
          const below = this.#removeEntry(level, entry, stack, top.fd);
          if (below !== undefined) stack.push(below);
          continue;
        }
        stack.pop();
        const parent = stack.at(-1);
        if (parent === undefined) break;
        level.fd[Symbol.dispose]();
        this.#unlink(parent.fd.fd, level.name, AT.REMOVEDIR);
      }
    } finally {
      for (const level of stack.slice(1)) level.fd[Symbol.dispose]();
    }
    // What was moved up while the top was being read is there still.
    const rest = this.kernel.openat(top.fd, ".", OPEN_DIR);
    using again = new OwnedFd(this.kernel, rest);
    if (this.kernel.readDirectory(again.fd).length > 0) {
      using fresh = new OwnedFd(this.kernel, this.kernel.openat(top.fd, ".", OPEN_DIR));
      await this.empty(fresh);
    }
  }

  /** Removes an entry, or gives back the directory to go down into. */
  #removeEntry(level: Level, entry: DirectoryEntry, stack: Level[], topFd: number): Level | undefined {
    const { fd } = level.fd;
    if (entry.type !== 0 && entry.type !== S.IFDIR) {
      this.#unlink(fd, entry.bytes, 0);
      return undefined;
    }
    let opened: number;
    try {
      opened = this.kernel.openat2(fd, entry.bytes, OPEN_DIR, STAY);
    } catch (e) {
      if (isErrno(e, "ENOENT")) return undefined;
      if (isErrno(e, "ENOTDIR", "ELOOP")) {
        this.#unlink(fd, entry.bytes, 0);
        return undefined;
      }
      if (isErrno(e, "EXDEV")) throw this.#mounted(entry.name, e);
      throw e;
    }
    if (stack.length >= MAX_DEPTH) {
      this.kernel.close(opened);
      this.kernel.renameat2(fd, entry.bytes, topFd, `.nyx-deep-${Deno.pid}-${this.#moved++}`, 0);
      return undefined;
    }
    const below = new OwnedFd(this.kernel, opened);
    return { fd: below, name: entry.bytes, entries: this.kernel.readDirectory(below.fd) };
  }

  #mounted(name: string, cause: unknown): NyxError {
    return new NyxError(
      "failed_precondition",
      `Could not remove ${this.path}: something is mounted at ${JSON.stringify(name)} below it; unmount it first`,
      { cause, context: { path: this.path } },
    );
  }

  #unlink(dirFd: number, name: Uint8Array<ArrayBuffer>, flags: number): void {
    try {
      this.kernel.unlinkat(dirFd, name, flags);
    } catch (e) {
      if (isErrno(e, "ENOENT")) return;
      if (isErrno(e, "EBUSY")) throw this.#mounted(new TextDecoder().decode(name), e);
      if (!isErrno(e, "EPERM") || !this.#clearFlags(dirFd, name)) throw e;
      this.kernel.unlinkat(dirFd, name, flags);
    }
  }

  /** Takes off immutable and append-only marks, of the directory and of the entry; false when there was none. */
  #clearFlags(dirFd: number, name: Uint8Array<ArrayBuffer>): boolean {
    let cleared = this.#clearOne(dirFd, ".");
    const type = this.kernel.statx(dirFd, name, AT.SYMLINK_NOFOLLOW).mode & S.IFMT;
    if (type === S.IFREG || type === S.IFDIR) cleared = this.#clearOne(dirFd, name) || cleared;
    return cleared;
  }

  #clearOne(dirFd: number, name: string | Uint8Array<ArrayBuffer>): boolean {
    const mask = INODE_FLAG.IMMUTABLE | INODE_FLAG.APPEND;
    try {
      using fd = new OwnedFd(
        this.kernel,
        this.kernel.openat(dirFd, name, O.RDONLY | O.NOFOLLOW | O.NONBLOCK | O.CLOEXEC),
      );
      const flags = this.kernel.getInodeFlags(fd.fd);
      if ((flags & mask) === 0) return false;
      this.kernel.setInodeFlags(fd.fd, flags & ~mask);
      return true;
    } catch (e) {
      if (isErrno(e, "ENOTTY", "EOPNOTSUPP", "ENOENT", "ELOOP")) return false;
      throw e;
    }
  }

  /** Removes a name of a directory, as rmdir or unlink; the tree behind it must be empty. */
  removeSelf(parentFd: number, name: string, directory: boolean): void {
    const bytes = new TextEncoder().encode(`${name}\0`);
    this.#unlink(parentFd, bytes, directory ? AT.REMOVEDIR : 0);
  }
}

/**
 * Removes everything in a directory and keeps the directory, on the terms of {@linkcode removeTree}.
 *
 * @param dirFd open directory
 * @param path what to call it in errors
 */
export async function emptyDirectory(kernel: FileKernel & MountKernel, dirFd: number, path: string): Promise<void> {
  using fresh = new OwnedFd(kernel, kernel.openat(dirFd, ".", OPEN_DIR));
  await new Remover(kernel, path).empty(fresh);
}

/**
 * Removes a file or a whole tree, in slices between which other operations run.
 *
 * @param path absolute; its parent directories are trusted, it and all below are not
 * @returns false when it was not there
 * @throws NyxError failed_precondition when something is mounted inside
 */
export async function removeTree(kernel: FileKernel & MountKernel, path: string): Promise<boolean> {
  const at = path.lastIndexOf("/");
  const name = path.slice(at + 1);
  if (at < 0 || name === "") {
    throw new NyxError("invalid_argument", `Could not remove ${JSON.stringify(path)}: give the path of one tree`);
  }
  const remover = new Remover(kernel, path);
  let parent: OwnedFd;
  try {
    parent = new OwnedFd(kernel, kernel.openat(AT_FDCWD, path.slice(0, at) || "/", O.PATH | O.DIRECTORY | O.CLOEXEC));
  } catch (e) {
    if (isErrno(e, "ENOENT", "ENOTDIR")) return false;
    throw e;
  }
  using holding = parent;
  let directory = true;
  try {
    using top = new OwnedFd(kernel, kernel.openat2(holding.fd, name, OPEN_DIR, STAY));
    await remover.empty(top);
  } catch (e) {
    if (isErrno(e, "ENOENT")) return false;
    if (isErrno(e, "EXDEV")) {
      throw new NyxError("failed_precondition", `Could not remove ${path}: it is a mount point; unmount it first`, {
        cause: e,
        context: { path },
      });
    }
    if (!isErrno(e, "ENOTDIR", "ELOOP")) throw e;
    directory = false;
  }
  remover.removeSelf(holding.fd, name, directory);
  return true;
}
