/**
 * Writes the members of a tar into a layer's root.
 *
 * Order and replacement follow Docker: a member replaces what an earlier one put in its place, except that a directory keeps its
 * contents when it is mentioned again; missing parents are made 0755 root. A whiteout hides what lower layers have and never
 * touches what the same layer brings, whichever comes first. Nothing outside the root is reached, see parents.ts.
 */

import { isErrno } from "../../ffi/errno.ts";
import { AT, type FileKernel, type FileStat, O, RESOLVE, S, type Timespec } from "../../ffi/file.ts";
import { removeTree } from "../../ffi/remove_tree.ts";
import { accessTime, OPAQUE_XATTR, procPath, setNodeAttributes, setXattrs } from "./attributes.ts";
import { toPath } from "./byte_string.ts";
import { FileWriter } from "./file_writer.ts";
import { cleanName, joinName, meaningOf, splitName } from "./name.ts";
import { isWhiteout, Parents, tryStat } from "./parents.ts";
import type { TarEntry, TarSink } from "./tar/entry.ts";
import { refused } from "./tar/errors.ts";

const YES = new Uint8Array([0x79]);
const DIR_FLAGS = O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC;

/** Times that a directory gets when nothing is written into it any more. */
interface PendingDirectory {
  ino: bigint;
  /** Missing for directories that the archive does not mention. */
  times?: { atime: Timespec; mtime: Timespec };
}

/** Bounds that the writer itself watches. */
export interface WriterLimits {
  /** Most bytes of file contents, holes included. */
  maxBytes: number;
  /** Most directories made that the archive does not mention: a short name can ask for thousands. */
  maxEntries: number;
  /** Not a layer but plain files: names of whiteouts mean nothing, and a directory is never replaced by something else. */
  plain?: boolean;
}

/** One layer being written. Dispose it in any case. */
export class LayerWriter implements TarSink, Disposable {
  readonly #parents: Parents;
  readonly #directories = new Map<string, PendingDirectory>();
  readonly #file: FileWriter;
  readonly #whiteouts: string[] = [];
  readonly #opaque = new Set<string>();
  #blocks = 0;
  #logicalBytes = 0;
  #impliedDirectories = 0;
  #opaqueRoot = false;
  /** A directory or link was replaced: open parents may be others at the next member. */
  #stale = false;

  /**
   * @param k kernel
   * @param rootFd open directory, the layer's root; stays the caller's
   * @param limits bounds
   */
  constructor(
    private readonly k: FileKernel,
    private readonly rootFd: number,
    private readonly limits: WriterLimits,
  ) {
    this.#file = new FileWriter(k);
    this.#directories.set("", { ino: k.fstat(rootFd).ino });
    this.#parents = new Parents(k, rootFd, {
      make: (fd, base, path) => this.#makeDirectory(fd, base, path),
      replaceWhiteout: (fd, base, path) => {
        k.unlinkat(fd, toPath(base), 0);
        this.#makeDirectory(fd, base, path);
        this.#markOpaque(fd, base, path);
      },
    });
  }

  /** Bytes on disk, complete after {@linkcode finish}. */
  get diskBytes(): number {
    return this.#blocks * 512;
  }

  /** Whether the layer hides all below it. */
  get opaqueRoot(): boolean {
    return this.#opaqueRoot;
  }

  /** Starts a member. */
  begin(entry: TarEntry): void {
    const path = cleanName(entry.name);
    if (path === "") return this.#root(entry);
    const { parent, base } = splitName(path);
    const meaning = this.limits.plain === true ? { kind: "entry" as const } : meaningOf(path, base);
    if (meaning.kind === "metadata") return;
    if (meaning.kind === "opaque" && parent === "") {
      this.#opaqueRoot = true;
      return;
    }
    if (this.#stale) this.#parents.clear();
    this.#stale = false;
    const parentFd = this.#parents.open(parent, entry.name, true);
    if (meaning.kind === "opaque") this.#markOpaque(parentFd, ".", parent);
    else if (meaning.kind === "whiteout") this.#whiteout(parentFd, meaning.base, joinName(parent, meaning.base));
    else this.#member(parentFd, base, path, entry);
  }

  /** Bytes of the file begun last. */
  data(bytes: Uint8Array<ArrayBuffer>): void {
    this.#file.write(bytes);
  }

  /** Ends a member. */
  end(): void {
    this.#blocks += this.#file.close();
  }

  /** Gives directories their times, and counts them: call after the last member. Yields now and then. */
  *finish(): Generator<void, void, void> {
    this.#dropNeedless();
    let done = 0;
    for (const [path, pending] of this.#directories) {
      this.#finishDirectory(path, pending);
      if (++done % 256 === 0) yield;
    }
  }

  /** Closes what is open; the layer's files stay as they are. */
  [Symbol.dispose](): void {
    this.#file.abandon();
    this.#parents[Symbol.dispose]();
  }

  #root(entry: TarEntry): void {
    if (entry.type !== "dir") throw refused(entry.name, `a ${entry.type} cannot be the layer's root`);
    this.#applyDirectory(this.rootFd, ".", "", entry);
  }

  #member(parentFd: number, base: string, path: string, entry: TarEntry): void {
    switch (entry.type) {
      case "file":
        return this.#beginFile(parentFd, base, path, entry);
      case "dir":
        return this.#directory(parentFd, base, path, entry);
      case "link":
        return this.#hardLink(parentFd, base, path, entry);
      case "symlink":
        if (entry.linkName === "") throw refused(entry.name, "it is a symbolic link to nothing");
        this.#place(parentFd, base, path, () => this.k.symlinkat(toPath(entry.linkName), parentFd, toPath(base)));
        return this.#node(parentFd, base, entry);
      default:
        this.#place(parentFd, base, path, () => this.#makeNode(parentFd, base, entry));
        return this.#node(parentFd, base, entry);
    }
  }

  /** Runs `make`; when the name is taken, takes it away and runs it again. */
  #place<T>(parentFd: number, base: string, path: string, make: () => T): T {
    try {
      return make();
    } catch (e) {
      if (!isErrno(e, "EEXIST")) throw e;
      const stat = tryStat(this.k, parentFd, base);
      if (stat !== undefined) this.#remove(parentFd, base, path, stat);
      return make();
    }
  }

  #remove(parentFd: number, base: string, path: string, stat: FileStat): void {
    const type = stat.mode & S.IFMT;
    if (type !== S.IFDIR) {
      this.#discount(stat);
      this.k.unlinkat(parentFd, toPath(base), 0);
      if (type === S.IFLNK) this.#stale = true;
      return;
    }
    if (this.limits.plain === true) throw refused(path, "a directory is in its place");
    removeTree(this.k, parentFd, toPath(base), { onRemove: (s) => this.#discount(s) });
    for (const known of this.#directories.keys()) {
      if (known === path || known.startsWith(`${path}/`)) this.#directories.delete(known);
    }
    this.#stale = true;
  }

  #discount(stat: FileStat): void {
    if (stat.nlink === 1) this.#blocks -= stat.blocks;
  }

  #beginFile(parentFd: number, base: string, path: string, entry: TarEntry): void {
    this.#logicalBytes += entry.size;
    if (this.#logicalBytes > this.limits.maxBytes) {
      throw refused(
        entry.name,
        `with it, the layer's files hold ${this.#logicalBytes} bytes; at most ${this.limits.maxBytes} are allowed`,
        "resource_exhausted",
      );
    }
    this.#file.open(this.#place(parentFd, base, path, () => this.#file.create(parentFd, base)), entry);
  }

  #directory(parentFd: number, base: string, path: string, entry: TarEntry): void {
    try {
      this.k.mkdirat(parentFd, toPath(base), 0o700);
    } catch (e) {
      if (!isErrno(e, "EEXIST")) throw e;
      const stat = tryStat(this.k, parentFd, base);
      if (stat !== undefined && (stat.mode & S.IFMT) !== S.IFDIR) {
        this.#remove(parentFd, base, path, stat);
        this.k.mkdirat(parentFd, toPath(base), 0o700);
        if (isWhiteout(stat)) this.#markOpaque(parentFd, base, path);
      }
    }
    this.#applyDirectory(parentFd, base, path, entry);
  }

  #applyDirectory(parentFd: number, base: string, path: string, entry: TarEntry): void {
    const fd = this.k.openat(parentFd, toPath(base), DIR_FLAGS);
    try {
      this.k.fchown(fd, entry.uid, entry.gid);
      this.k.fchmod(fd, entry.mode);
      if (entry.xattrs.length > 0) setXattrs(this.k, { fd }, entry.xattrs);
      const { ino } = this.k.fstat(fd);
      this.#directories.set(path, { ino, times: { atime: accessTime(entry), mtime: entry.mtime } });
    } finally {
      this.k.close(fd);
    }
  }

  /** A directory that the archive does not mention (or not yet). */
  #makeDirectory(parentFd: number, base: string, path: string): void {
    if (++this.#impliedDirectories > this.limits.maxEntries) {
      throw refused(path, `the layer needs more than ${this.limits.maxEntries} directories`, "resource_exhausted");
    }
    const name = toPath(base);
    this.k.mkdirat(parentFd, name, 0o755);
    // By descriptor: a running container could put a link in its place, which chmod(2) by name would follow.
    const fd = this.k.openat(parentFd, name, DIR_FLAGS);
    try {
      this.k.fchown(fd, 0, 0);
      this.k.fchmod(fd, 0o755);
      this.#directories.set(path, { ino: this.k.fstat(fd).ino });
    } finally {
      this.k.close(fd);
    }
  }

  #finishDirectory(path: string, pending: PendingDirectory): void {
    let fd: number;
    try {
      fd = this.k.openat2(this.rootFd, toPath(path === "" ? "." : path), DIR_FLAGS, RESOLVE.IN_ROOT);
    } catch (e) {
      if (isErrno(e, "ENOENT", "ENOTDIR", "ELOOP")) return;
      throw e;
    }
    try {
      const stat = this.k.fstat(fd);
      if (stat.ino !== pending.ino) return;
      this.#blocks += stat.blocks;
      if (pending.times !== undefined) this.k.futimens(fd, pending.times.atime, pending.times.mtime);
    } finally {
      this.k.close(fd);
    }
  }

  #makeNode(parentFd: number, base: string, entry: TarEntry): void {
    const type = entry.type === "char" ? S.IFCHR : entry.type === "block" ? S.IFBLK : S.IFIFO;
    this.k.mknodat(parentFd, toPath(base), type | 0o600, entry.major, entry.minor);
  }

  #node(parentFd: number, base: string, entry: TarEntry): void {
    setNodeAttributes(this.k, parentFd, base, entry);
    if (entry.type === "symlink" && entry.linkName.length >= 60) {
      this.#blocks += this.k.statx(parentFd, toPath(base), AT.SYMLINK_NOFOLLOW).blocks;
    }
  }

  #hardLink(parentFd: number, base: string, path: string, entry: TarEntry): void {
    const target = cleanName(entry.linkName, entry.name);
    if (target === "") throw refused(entry.name, "it is a hard link to the layer's root");
    const to = splitName(target);
    const targetFd = this.#parents.open(to.parent, entry.name, false);
    const link = () => this.k.linkat(targetFd, toPath(to.base), parentFd, toPath(base), 0);
    try {
      link();
    } catch (e) {
      if (isErrno(e, "ENOENT")) throw refused(entry.name, "it is a hard link to something that is not in the layer");
      if (isErrno(e, "EEXIST")) return this.#replaceByLink(parentFd, base, path, { entry, target, targetFd, to }, link);
      const stat = tryStat(this.k, targetFd, to.base);
      if (stat !== undefined && (stat.mode & S.IFMT) === S.IFDIR) {
        throw refused(entry.name, "it is a hard link to a directory");
      }
      throw e;
    }
  }

  #replaceByLink(
    parentFd: number,
    base: string,
    path: string,
    link: { entry: TarEntry; target: string; targetFd: number; to: { base: string } },
    make: () => void,
  ): void {
    const existing = tryStat(this.k, parentFd, base);
    const target = tryStat(this.k, link.targetFd, link.to.base);
    if (target === undefined) {
      throw refused(link.entry.name, "it is a hard link to something that is not in the layer");
    }
    if ((target.mode & S.IFMT) === S.IFDIR) throw refused(link.entry.name, "it is a hard link to a directory");
    if (existing !== undefined) {
      if (existing.ino === target.ino) return;
      if (link.target.startsWith(`${path}/`)) {
        throw refused(link.entry.name, "it is a hard link into what it replaces");
      }
      this.#remove(parentFd, base, path, existing);
    }
    make();
  }

  #whiteout(parentFd: number, base: string, path: string): void {
    try {
      this.k.mknodat(parentFd, toPath(base), S.IFCHR, 0, 0);
      this.#whiteouts.push(path);
    } catch (e) {
      if (!isErrno(e, "EEXIST")) throw e;
      const stat = tryStat(this.k, parentFd, base);
      if (stat !== undefined && (stat.mode & S.IFMT) === S.IFDIR) this.#markOpaque(parentFd, base, path);
    }
  }

  #markOpaque(parentFd: number, base: string, path: string): void {
    this.k.lsetxattr(procPath(parentFd, base), OPAQUE_XATTR, YES);
    this.#opaque.add(path);
  }

  /**
   * Takes away whiteouts below opaque directories. They hide nothing, and overlayfs, which reads a directory that is not merged
   * as it is, would list their names.
   */
  #dropNeedless(): void {
    if (this.#opaque.size === 0 && !this.#opaqueRoot) return;
    this.#parents.clear();
    for (const path of this.#whiteouts) {
      const { parent, base } = splitName(path);
      if (!this.#opaqueRoot && !this.#belowOpaque(parent)) continue;
      const parentFd = this.#parents.tryOpen(parent);
      if (parentFd === undefined) continue;
      const stat = tryStat(this.k, parentFd, base);
      if (stat !== undefined && isWhiteout(stat)) this.k.unlinkat(parentFd, toPath(base), 0);
    }
  }

  #belowOpaque(directory: string): boolean {
    for (let path = directory; path !== ""; path = splitName(path).parent) if (this.#opaque.has(path)) return true;
    return false;
  }
}
