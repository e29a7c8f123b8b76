/**
 * Trees as tar: of a container's root (`cp`, `export`), or of its writable layer with overlayfs's marks turned into those of
 * the OCI image specification (`commit`).
 *
 * The container may change the tree meanwhile. Every directory is opened below the one before by descriptor and without
 * following links, a file is looked at through the very descriptor that is read, and a file that shrinks is filled with
 * zeros: the archive stays whole, and nothing outside the root is ever read. Kernel file systems (/proc, /sys) are given as
 * empty directories.
 */

import { NyxError } from "../../daemon/spec/errors.ts";
import { isErrno } from "../../ffi/errno.ts";
import { AT, type FileKernel, type FileStat, O, OwnedFd, S } from "../../ffi/file.ts";
import { fromBytes, fromCString } from "../extract/byte_string.ts";
import { Slice } from "./slice.ts";
import { memberHeader, padding, TAR_END_BYTES, type TarMember } from "./tar_header.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const OPEN_DIR = O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC;
const OPEN_FILE = O.RDONLY | O.NOFOLLOW | O.NONBLOCK | O.NOCTTY | O.CLOEXEC;
const MAX_DEPTH = 2048;
const CHUNK = 256 * 1024;
/** Small pieces are gathered, because each message between threads costs. */
const GATHER = 64 * 1024;
const OVERLAY_XATTR = /^(trusted|user)\.overlay\./;
const SKIPPED_XATTR = /^(trusted\.|security\.(selinux|ima|evm|apparmor|SMACK64)|system\.)/;

/** statfs(2) types of file systems that hold no files of anybody: proc, sysfs, cgroup, cgroup2, debugfs, tracefs, securityfs, bpf, devpts. */
const KERNEL_FILESYSTEMS = new Set([
  0x9fa0,
  0x62656572,
  0x27e0eb,
  0x63677270,
  0x64626720,
  0x74726163,
  0x73636673,
  0xcafe4a11,
  0x1cd1,
]);

/** Whether a descriptor is on a file system of the kernel's own. */
export function isKernelFilesystem(kernel: FileKernel, fd: number): boolean {
  return KERNEL_FILESYSTEMS.has(Number(kernel.fstatfs(fd).type));
}

/** Receives the archive. */
export type TarOutput = (bytes: Bytes) => Promise<void>;

/** How a tree is told. */
export interface TarOutOptions {
  /** The tree is an overlay's upper directory: whiteouts and opaque marks become those of a layer. */
  layer?: boolean;
  signal?: AbortSignal;
}

/** Writes one archive. */
export class TarOut {
  readonly #links = new Map<string, string>();
  readonly #slice = new Slice();
  #gathered: Bytes[] = [];
  #size = 0;
  /** Bytes written. */
  bytes = 0;
  /** Members written. */
  entries = 0;

  /**
   * @param kernel kernel
   * @param output receives the bytes, each buffer once
   * @param options what kind of tree it is
   */
  constructor(
    private readonly kernel: FileKernel,
    private readonly output: TarOutput,
    private readonly options: TarOutOptions = {},
  ) {}

  /** The entries of an open directory, below `prefix` ("" or ending in a slash). */
  async contents(dirFd: number, prefix: string, depth = 0): Promise<void> {
    if (depth > MAX_DEPTH) {
      throw new NyxError("invalid_argument", `Could not archive the tree: it is deeper than ${MAX_DEPTH} directories`);
    }
    for (const { bytes } of this.kernel.readDirectory(dirFd)) {
      if (this.#slice.due) await this.#slice.pause(this.options.signal);
      await this.member(dirFd, bytes, `${prefix}${fromCString(bytes, 0, bytes.byteLength)}`, depth);
    }
  }

  /** The directory behind an open descriptor itself, and what is in it. */
  async directory(fd: number, name: string, depth = 0): Promise<void> {
    const stat = this.kernel.fstat(fd);
    await this.#header({ ...this.#base(stat, `${name}/`), flag: "5", xattrs: this.#xattrs(fd) });
    if (this.options.layer === true && this.kernel.fgetxattr(fd, "trusted.overlay.opaque")?.[0] === 0x79) {
      await this.#header({ ...this.#base(stat, `${name}/.wh..wh..opq`), mode: 0o600 });
    }
    if (!isKernelFilesystem(this.kernel, fd)) await this.contents(fd, `${name}/`, depth + 1);
  }

  /** One name of a directory, with all below it. A name that is gone meanwhile is left out. */
  async member(dirFd: number, name: Bytes, path: string, depth = 0): Promise<void> {
    try {
      const stat = this.kernel.statx(dirFd, name, AT.SYMLINK_NOFOLLOW);
      await this.#member(dirFd, name, path, stat, depth);
    } catch (e) {
      if (!isErrno(e, "ENOENT", "ELOOP", "ENOTDIR", "ENXIO")) throw e;
    }
  }

  /** Ends the archive. */
  async end(): Promise<void> {
    await this.#write(new Uint8Array(TAR_END_BYTES));
    await this.#flush();
  }

  async #member(dirFd: number, name: Bytes, path: string, stat: FileStat, depth: number): Promise<void> {
    const type = stat.mode & S.IFMT;
    if (this.options.layer === true && type === S.IFCHR && stat.rdevMajor === 0 && stat.rdevMinor === 0) {
      return await this.#header({ ...this.#base(stat, whiteoutName(path)), mode: 0o600 });
    }
    if (type === S.IFDIR) {
      using fd = new OwnedFd(this.kernel, this.kernel.openat(dirFd, name, OPEN_DIR));
      return await this.directory(fd.fd, path, depth);
    }
    if (type === S.IFSOCK) return;
    const key = `${stat.devMajor}:${stat.devMinor}:${stat.ino}`;
    const first = stat.nlink > 1 ? this.#links.get(key) : undefined;
    if (first !== undefined) return await this.#header({ ...this.#base(stat, path), flag: "1", linkName: first });
    if (stat.nlink > 1) this.#links.set(key, path);
    if (type === S.IFREG) return await this.#file(dirFd, name, path);
    const linkName = type === S.IFLNK ? fromBytes(this.kernel.readlinkat(dirFd, name)) : "";
    const flag = type === S.IFLNK ? "2" : type === S.IFCHR ? "3" : type === S.IFBLK ? "4" : "6";
    const device = type === S.IFCHR || type === S.IFBLK ? { major: stat.rdevMajor, minor: stat.rdevMinor } : {};
    await this.#header({ ...this.#base(stat, path), ...device, flag, linkName });
  }

  async #file(dirFd: number, name: Bytes, path: string): Promise<void> {
    using fd = new OwnedFd(this.kernel, this.kernel.openat(dirFd, name, OPEN_FILE));
    await this.file(fd.fd, path);
  }

  /** An open regular file. What the descriptor turns out not to be is left out. */
  async file(fd: number, path: string): Promise<void> {
    const stat = this.kernel.fstat(fd);
    if ((stat.mode & S.IFMT) !== S.IFREG || isKernelFilesystem(this.kernel, fd)) return;
    const size = Number(stat.size);
    await this.#header({ ...this.#base(stat, path), size, xattrs: this.#xattrs(fd) });
    let left = size;
    while (left > 0) {
      if (this.#slice.due) await this.#slice.pause(this.options.signal);
      const buffer = new Uint8Array(Math.min(left, CHUNK));
      const n = this.kernel.read(fd, buffer);
      // It was cut meanwhile: the header has promised its size.
      await this.#write(n === 0 ? buffer : buffer.subarray(0, n));
      left -= n === 0 ? buffer.byteLength : n;
    }
    if (padding(size) > 0) await this.#write(new Uint8Array(padding(size)));
  }

  #base(stat: FileStat, name: string): TarMember {
    return {
      name,
      flag: "0",
      linkName: "",
      mode: stat.mode & 0o7777,
      uid: stat.uid,
      gid: stat.gid,
      size: 0,
      mtime: Number(stat.mtime.sec),
      major: 0,
      minor: 0,
      xattrs: [],
    };
  }

  #xattrs(fd: number): [string, Bytes][] {
    const found: [string, Bytes][] = [];
    for (const name of this.kernel.flistxattr(fd)) {
      if (this.options.layer === true && /^trusted\.overlay\.(redirect|metacopy)$/.test(name)) {
        throw new NyxError(
          "unimplemented",
          `Could not make a layer of the container: overlayfs keeps part of it as ${name}; turn off its redirect_dir and metacopy`,
        );
      }
      if (OVERLAY_XATTR.test(name) || SKIPPED_XATTR.test(name)) continue;
      const value = this.kernel.fgetxattr(fd, name);
      if (value !== undefined) found.push([name, value]);
    }
    return found;
  }

  async #header(member: TarMember): Promise<void> {
    this.entries++;
    await this.#write(memberHeader(member));
  }

  async #write(bytes: Bytes): Promise<void> {
    this.bytes += bytes.byteLength;
    this.#gathered.push(bytes);
    this.#size += bytes.byteLength;
    if (this.#size >= GATHER) await this.#flush();
  }

  async #flush(): Promise<void> {
    if (this.#size === 0) return;
    const whole = new Uint8Array(this.#size);
    let at = 0;
    for (const part of this.#gathered) {
      whole.set(part, at);
      at += part.byteLength;
    }
    this.#gathered = [];
    this.#size = 0;
    await this.output(whole);
  }
}

function whiteoutName(path: string): string {
  const slash = path.lastIndexOf("/");
  return `${path.slice(0, slash + 1)}.wh.${path.slice(slash + 1)}`;
}
