/** What a container changed against its image, read from the upper directory of its overlay, as `docker diff` tells it. */

import { isErrno } from "../../ffi/errno.ts";
import { AT, AT_FDCWD, type FileKernel, type FileStat, O, OwnedFd, S } from "../../ffi/file.ts";
import { Slice } from "./slice.ts";

/** One change: added, changed, deleted. */
export interface Change {
  kind: "A" | "C" | "D";
  path: string;
}

const OPEN_DIR = O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC;
/** Deepest directory looked into, since each level holds a descriptor. */
const MAX_DEPTH = 2048;
const OPAQUE = "trusted.overlay.opaque";
const Y = 0x79;

type Bytes = Uint8Array<ArrayBuffer>;

function isWhiteout(stat: FileStat): boolean {
  return (stat.mode & S.IFMT) === S.IFCHR && stat.rdevMajor === 0 && stat.rdevMinor === 0;
}

function isDirectory(stat: FileStat): boolean {
  return (stat.mode & S.IFMT) === S.IFDIR;
}

/** The same directory in each lower layer that has it, top first. */
class LowerView implements Disposable {
  constructor(readonly kernel: FileKernel, readonly dirs: OwnedFd[]) {}

  /** What a name is in the image; undefined when the image has none. */
  find(name: Bytes): FileStat | undefined {
    for (const dir of this.dirs) {
      const stat = tryStat(this.kernel, dir.fd, name);
      if (stat !== undefined) return isWhiteout(stat) ? undefined : stat;
    }
    return undefined;
  }

  /** The view one directory down. */
  enter(name: Bytes): LowerView {
    const below: OwnedFd[] = [];
    for (const dir of this.dirs) {
      const stat = tryStat(this.kernel, dir.fd, name);
      if (stat === undefined) continue;
      if (!isDirectory(stat)) break;
      const fd = new OwnedFd(this.kernel, this.kernel.openat(dir.fd, name, OPEN_DIR));
      below.push(fd);
      if (isOpaque(this.kernel, fd.fd)) break;
    }
    return new LowerView(this.kernel, below);
  }

  /** Names in the image's directory, each once, whiteouts taken away. */
  names(): { name: string; bytes: Bytes }[] {
    const seen = new Map<string, Bytes>();
    for (const dir of this.dirs) {
      for (const entry of this.kernel.readDirectory(dir.fd)) {
        if (!seen.has(entry.name)) seen.set(entry.name, entry.bytes);
      }
    }
    return [...seen].map(([name, bytes]) => ({ name, bytes })).filter(({ bytes }) => this.find(bytes) !== undefined);
  }

  [Symbol.dispose](): void {
    for (const dir of this.dirs) dir[Symbol.dispose]();
  }
}

function tryStat(kernel: FileKernel, dirFd: number, name: Bytes): FileStat | undefined {
  try {
    return kernel.statx(dirFd, name, AT.SYMLINK_NOFOLLOW);
  } catch (e) {
    if (isErrno(e, "ENOENT")) return undefined;
    throw e;
  }
}

function isOpaque(kernel: FileKernel, fd: number): boolean {
  return kernel.fgetxattr(fd, OPAQUE)?.[0] === Y;
}

/** One walk over an upper directory. */
class Differ {
  readonly changes: Change[] = [];
  readonly #slice = new Slice();

  constructor(readonly kernel: FileKernel, readonly signal: AbortSignal | undefined) {}

  async directory(upperFd: number, lower: LowerView, path: string, depth = 0): Promise<void> {
    const upper = new Set<string>();
    for (const entry of this.kernel.readDirectory(upperFd)) {
      if (this.#slice.due) await this.#slice.pause(this.signal);
      upper.add(entry.name);
      await this.#entry(upperFd, lower, entry.bytes, `${path}/${entry.name}`, depth);
    }
    if (!isOpaque(this.kernel, upperFd)) return;
    // Made anew by the container: what the image had there is gone unless made again.
    for (const { name } of lower.names()) {
      if (!upper.has(name)) this.changes.push({ kind: "D", path: `${path}/${name}` });
    }
  }

  async #entry(upperFd: number, lower: LowerView, name: Bytes, path: string, depth: number): Promise<void> {
    const stat = tryStat(this.kernel, upperFd, name);
    if (stat === undefined) return;
    const before = lower.find(name);
    if (isWhiteout(stat)) {
      if (before !== undefined) this.changes.push({ kind: "D", path });
      return;
    }
    this.changes.push({ kind: before === undefined ? "A" : "C", path });
    if (!isDirectory(stat) || depth >= MAX_DEPTH) return;
    using fd = new OwnedFd(this.kernel, this.kernel.openat(upperFd, name, OPEN_DIR));
    using below = before !== undefined && isDirectory(before) ? lower.enter(name) : new LowerView(this.kernel, []);
    await this.directory(fd.fd, below, path, depth + 1);
  }
}

/**
 * Changes in path order. A directory that is there only because something below changed is told as C, as Docker does.
 *
 * @param upper the container's diff directory
 * @param lowers the image's layer directories, top first
 */
export async function diffOverlay(
  kernel: FileKernel,
  upper: string,
  lowers: readonly string[],
  signal?: AbortSignal,
): Promise<Change[]> {
  const opened: OwnedFd[] = [];
  try {
    for (const dir of lowers) opened.push(new OwnedFd(kernel, kernel.openat(AT_FDCWD, dir, OPEN_DIR)));
    using fd = new OwnedFd(kernel, kernel.openat(AT_FDCWD, upper, OPEN_DIR));
    const differ = new Differ(kernel, signal);
    await differ.directory(fd.fd, new LowerView(kernel, opened), "");
    return differ.changes.sort((a, b) => a.path < b.path ? -1 : a.path > b.path ? 1 : 0);
  } finally {
    for (const fd of opened) fd[Symbol.dispose]();
  }
}
