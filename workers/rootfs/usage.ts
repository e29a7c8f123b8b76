/** Disk usage as du(1) counts it: blocks of 512 bytes, each hard-linked file once, directories included, mounts not crossed. */

import { isErrno } from "../../ffi/errno.ts";
import { AT, AT_FDCWD, type FileKernel, type FileStat, O, OwnedFd, S } from "../../ffi/file.ts";
import { Slice } from "./slice.ts";

const BLOCK = 512;
/** Deepest directory looked into, since each level holds a descriptor; what a container hides deeper is not counted. */
const MAX_DEPTH = 2048;
const OPEN_DIR = O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC;

/** Counts one tree, remembering hard links; one instance for trees that share files. */
class Counter {
  readonly #seen = new Set<string>();
  readonly #slice = new Slice();
  bytes = 0;

  constructor(readonly kernel: FileKernel, readonly signal: AbortSignal | undefined) {}

  #add(stat: FileStat): void {
    if (stat.nlink > 1 && (stat.mode & S.IFMT) !== S.IFDIR) {
      const key = `${stat.devMajor}:${stat.devMinor}:${stat.ino}`;
      if (this.#seen.has(key)) return;
      this.#seen.add(key);
    }
    this.bytes += stat.blocks * BLOCK;
  }

  async count(path: string): Promise<void> {
    const root = this.kernel.statx(AT_FDCWD, path, AT.SYMLINK_NOFOLLOW);
    this.#add(root);
    if ((root.mode & S.IFMT) !== S.IFDIR) return;
    const pending: OwnedFd[] = [new OwnedFd(this.kernel, this.kernel.openat(AT_FDCWD, path, OPEN_DIR))];
    // Depth first with the open directory as the only handle: names are relative, so paths have no length limit.
    const stack: { fd: OwnedFd; dirs: Uint8Array<ArrayBuffer>[] }[] = [];
    try {
      for (let fd = pending.pop(); fd !== undefined || stack.length > 0; fd = pending.pop()) {
        if (fd !== undefined) stack.push({ fd, dirs: await this.#level(fd.fd, root) });
        const level = stack.at(-1);
        const next = level?.dirs.pop();
        if (level === undefined) break;
        if (next === undefined) {
          stack.pop()?.fd[Symbol.dispose]();
          continue;
        }
        const below = stack.length < MAX_DEPTH ? this.#open(level.fd.fd, next) : undefined;
        if (below !== undefined) pending.push(below);
      }
    } finally {
      for (const level of stack) level.fd[Symbol.dispose]();
      for (const fd of pending) fd[Symbol.dispose]();
    }
  }

  #open(dirFd: number, name: Uint8Array<ArrayBuffer>): OwnedFd | undefined {
    try {
      return new OwnedFd(this.kernel, this.kernel.openat(dirFd, name, OPEN_DIR));
    } catch (e) {
      if (isErrno(e, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
      throw e;
    }
  }

  /** Counts a directory's entries; gives back its subdirectories on the same device. */
  async #level(fd: number, root: FileStat): Promise<Uint8Array<ArrayBuffer>[]> {
    const dirs: Uint8Array<ArrayBuffer>[] = [];
    for (const entry of this.kernel.readDirectory(fd)) {
      if (this.#slice.due) await this.#slice.pause(this.signal);
      let stat: FileStat;
      try {
        stat = this.kernel.statx(fd, entry.bytes, AT.SYMLINK_NOFOLLOW);
      } catch (e) {
        // Removed since the directory was read.
        if (isErrno(e, "ENOENT")) continue;
        throw e;
      }
      if (stat.devMajor !== root.devMajor || stat.devMinor !== root.devMinor) continue;
      this.#add(stat);
      if ((stat.mode & S.IFMT) === S.IFDIR) dirs.push(entry.bytes);
    }
    return dirs;
  }
}

/**
 * Bytes on disk of each path; a missing one is 0. A file linked from two paths counts for each.
 *
 * @param signal stops a long count
 */
export async function diskUsage(
  kernel: FileKernel,
  paths: readonly string[],
  signal?: AbortSignal,
): Promise<number[]> {
  const bytes: number[] = [];
  for (const path of paths) {
    const counter = new Counter(kernel, signal);
    try {
      await counter.count(path);
    } catch (e) {
      if (!isErrno(e, "ENOENT")) throw e;
    }
    bytes.push(counter.bytes);
  }
  return bytes;
}
