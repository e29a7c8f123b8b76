/**
 * Directories below a layer's root by descriptor. Every one is resolved by openat2 with RESOLVE_IN_ROOT, so that no link of the
 * archive, absolute or relative, leads out; a few are kept open, because members of one directory come together.
 */

import { NyxError } from "../../daemon/spec/errors.ts";
import { isErrno } from "../../ffi/errno.ts";
import { AT, type FileKernel, type FileStat, O, RESOLVE, S } from "../../ffi/file.ts";
import { toPath } from "./byte_string.ts";
import { splitName } from "./name.ts";
import { refused } from "./tar/errors.ts";

/** Descriptors kept for one layer: some dozen layers may be under way in one process. */
const KEPT = 32;

const OPEN_FLAGS = O.PATH | O.DIRECTORY | O.CLOEXEC;

/** What happens when a needed directory is not there. */
export interface MissingDirectory {
  /** Makes a directory of mode 0755 that the archive does not mention. */
  make(parentFd: number, base: string, path: string): void;
  /** Takes away a whiteout in the directory's place and makes the directory opaque. */
  replaceWhiteout(parentFd: number, base: string, path: string): void;
}

/** Open directories of one layer. */
export class Parents implements Disposable {
  readonly #fds = new Map<string, number>();

  /**
   * @param k kernel
   * @param rootFd the layer's root; stays the caller's
   * @param missing see {@linkcode MissingDirectory}
   */
  constructor(
    private readonly k: FileKernel,
    readonly rootFd: number,
    private readonly missing: MissingDirectory,
  ) {}

  /**
   * Descriptor (O_PATH) of a directory. It and the one given before stay open at the next call.
   *
   * @param path clean byte string, "" for the root
   * @param entry name of the member in hand, for the error
   * @param create make what is missing
   * @throws NyxError invalid_argument when the path is no directory, or leads nowhere inside the layer
   */
  open(path: string, entry: string, create: boolean): number {
    if (path === "") return this.rootFd;
    const kept = this.#fds.get(path);
    if (kept !== undefined) {
      this.#fds.delete(path);
      this.#fds.set(path, kept);
      return kept;
    }
    let fd: number;
    try {
      fd = this.k.openat2(this.rootFd, toPath(path), OPEN_FLAGS, RESOLVE.IN_ROOT);
    } catch (e) {
      if (!isErrno(e, "ENOENT", "ENOTDIR", "ELOOP")) throw e;
      if (!create) throw refused(entry, explain(e.code), "invalid_argument", e);
      fd = this.#create(path, entry);
    }
    if (this.#fds.size >= KEPT) this.#dropOldest();
    this.#fds.set(path, fd);
    return fd;
  }

  /** As open, but undefined when the path is no directory any more. */
  tryOpen(path: string): number | undefined {
    try {
      return this.open(path, path, false);
    } catch (e) {
      if (e instanceof NyxError) return undefined;
      throw e;
    }
  }

  /** Forgets all: a directory or a link was replaced, so paths may mean something else now. */
  clear(): void {
    for (const fd of this.#fds.values()) this.k.close(fd);
    this.#fds.clear();
  }

  /** Closes all but the root. */
  [Symbol.dispose](): void {
    this.clear();
  }

  #dropOldest(): void {
    for (const [path, fd] of this.#fds) {
      this.#fds.delete(path);
      this.k.close(fd);
      return;
    }
  }

  #create(path: string, entry: string): number {
    const { parent, base } = splitName(path);
    const parentFd = this.open(parent, entry, true);
    const stat = tryStat(this.k, parentFd, base);
    if (stat === undefined) this.missing.make(parentFd, base, path);
    else if (isWhiteout(stat)) this.missing.replaceWhiteout(parentFd, base, path);
    try {
      return this.k.openat2(this.rootFd, toPath(path), OPEN_FLAGS, RESOLVE.IN_ROOT);
    } catch (e) {
      if (isErrno(e, "ENOENT", "ENOTDIR", "ELOOP")) throw refused(entry, explain(e.code), "invalid_argument", e);
      throw e;
    }
  }
}

function explain(code: string): string {
  if (code === "ENOTDIR") return "a part of its path is not a directory";
  if (code === "ELOOP") return "a part of its path is a symbolic link that loops";
  return "a part of its path is missing, or is a symbolic link that leads nowhere inside the layer";
}

/** Attributes of a name itself; undefined when it is not there. */
export function tryStat(k: FileKernel, dirFd: number, base: string): FileStat | undefined {
  try {
    return k.statx(dirFd, toPath(base), AT.SYMLINK_NOFOLLOW);
  } catch (e) {
    if (isErrno(e, "ENOENT")) return undefined;
    throw e;
  }
}

/** Whether these are the attributes of an overlay whiteout: a character device 0:0. */
export function isWhiteout(stat: FileStat): boolean {
  return (stat.mode & S.IFMT) === S.IFCHR && stat.rdevMajor === 0 && stat.rdevMinor === 0;
}
