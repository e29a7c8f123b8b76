/**
 * Fills an empty volume from the image's directory at its mount point: content, holes apart, with owner, mode, times, extended
 * attributes and hard links. The image is hostile: links are copied as links, never followed.
 */

import { NyxError } from "../../daemon/spec/errors.ts";
import { isErrno, SyscallError } from "../../ffi/errno.ts";
import { AT, AT_FDCWD, type FileKernel, type FileStat, O, OwnedFd, S } from "../../ffi/file.ts";
import { openInRoot, openRoot } from "./in_root.ts";
import { emptyDirectory } from "./remove_tree.ts";
import type { MountKernel } from "../../ffi/mount.ts";
import { Slice } from "./slice.ts";

/** Beside a volume's _data while it is being filled: a crash in between makes the next start begin again. */
export const POPULATING_MARK = ".populating";

/** Deepest directory copied; each level holds two descriptors. An image's paths, of 4096 bytes at most, stay below. */
const MAX_DEPTH = 2048;
const ENAMETOOLONG = 36;
const COPY_BYTES = 8 * 1024 * 1024;
const OPEN_DIR = O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC;
/** Attributes of overlayfs itself, which mean nothing outside a layer. */
const OVERLAY_XATTR = /^(trusted|user)\.overlay\./;

type Bytes = Uint8Array<ArrayBuffer>;

/** One copy. */
class Copier {
  readonly #slice = new Slice();
  /** O_PATH descriptor, by its /proc path, of the first copy of each file with more links. */
  readonly #links = new Map<string, string>();
  readonly #open: number[] = [];
  copied = 0;

  constructor(
    readonly kernel: FileKernel,
    readonly volumeDir: string,
    readonly signal: AbortSignal | undefined,
  ) {}

  /** Copies the entries of one directory. */
  async directory(from: number, to: number, depth = 0): Promise<void> {
    if (depth > MAX_DEPTH) throw new SyscallError("openat", ENAMETOOLONG, this.volumeDir);
    for (const entry of this.kernel.readDirectory(from)) {
      if (this.#slice.due) await this.#slice.pause(this.signal);
      const stat = this.kernel.statx(from, entry.bytes, AT.SYMLINK_NOFOLLOW);
      this.copied++;
      if ((stat.mode & S.IFMT) === S.IFDIR) await this.#subdirectory(from, to, entry.bytes, depth + 1);
      else await this.#entry(from, to, entry.bytes, stat);
    }
  }

  async #subdirectory(from: number, to: number, name: Bytes, depth: number): Promise<void> {
    using source = new OwnedFd(this.kernel, this.kernel.openat(from, name, OPEN_DIR));
    this.kernel.mkdirat(to, name, 0o700);
    using target = new OwnedFd(this.kernel, this.kernel.openat(to, name, OPEN_DIR));
    await this.directory(source.fd, target.fd, depth);
    this.attributes(source.fd, target.fd);
  }

  /** Owner, extended attributes, mode and times of an open file or directory, in the order in which none undoes another. */
  attributes(source: number, target: number): void {
    const stat = this.kernel.fstat(source);
    this.kernel.fchown(target, stat.uid, stat.gid);
    for (const name of this.kernel.flistxattr(source)) {
      if (OVERLAY_XATTR.test(name)) continue;
      const value = this.kernel.fgetxattr(source, name);
      if (value !== undefined) this.#setXattr(target, name, value);
    }
    this.kernel.fchmod(target, stat.mode & 0o7777);
    this.kernel.futimens(target, stat.atime, stat.mtime);
  }

  #setXattr(fd: number, name: string, value: Bytes): void {
    try {
      this.kernel.fsetxattr(fd, name, value);
    } catch (e) {
      // A volume on a file system without them loses them, as cp -a does.
      if (!isErrno(e, "EOPNOTSUPP")) throw e;
    }
  }

  async #entry(from: number, to: number, name: Bytes, stat: FileStat): Promise<void> {
    const key = stat.nlink > 1 ? `${stat.devMajor}:${stat.devMinor}:${stat.ino}` : undefined;
    const first = key === undefined ? undefined : this.#links.get(key);
    if (first !== undefined) {
      this.kernel.linkat(AT_FDCWD, first, to, name, AT.SYMLINK_FOLLOW);
      return;
    }
    const type = stat.mode & S.IFMT;
    if (type === S.IFREG) await this.#file(from, to, name);
    else {
      if (type === S.IFLNK) this.kernel.symlinkat(this.kernel.readlinkat(from, name), to, name);
      else this.kernel.mknodat(to, name, type | 0o600, stat.rdevMajor, stat.rdevMinor);
      this.kernel.fchownat(to, name, stat.uid, stat.gid, AT.SYMLINK_NOFOLLOW);
      if (type !== S.IFLNK) this.#nodeMode(to, name, stat);
      this.kernel.utimensat(to, name, stat.atime, stat.mtime, AT.SYMLINK_NOFOLLOW);
    }
    if (key !== undefined) this.#remember(key, to, name);
  }

  /**
   * Mode of a node that was just made. Another container may run with the volume and put a link to the host in its place, which
   * chmod(2) by name would follow: so the node is held first, and changed only when it is one.
   */
  #nodeMode(to: number, name: Bytes, stat: FileStat): void {
    using node = new OwnedFd(this.kernel, this.kernel.openat(to, name, O.PATH | O.NOFOLLOW | O.CLOEXEC));
    if ((this.kernel.fstat(node.fd).mode & S.IFMT) !== (stat.mode & S.IFMT)) {
      throw new NyxError(
        "failed_precondition",
        `${JSON.stringify(new TextDecoder().decode(name))} was replaced while the volume was filled`,
      );
    }
    this.kernel.fchmodat(AT_FDCWD, `/proc/self/fd/${node.fd}`, stat.mode & 0o7777);
  }

  /** Keeps an O_PATH descriptor of the first of several links, so that the others need no path. */
  #remember(key: string, to: number, name: Bytes): void {
    const fd = this.kernel.openat(to, name, O.PATH | O.NOFOLLOW | O.CLOEXEC);
    this.#open.push(fd);
    this.#links.set(key, `/proc/self/fd/${fd}`);
  }

  async #file(from: number, to: number, name: Bytes): Promise<void> {
    using source = new OwnedFd(
      this.kernel,
      this.kernel.openat(from, name, O.RDONLY | O.NOFOLLOW | O.NONBLOCK | O.CLOEXEC),
    );
    using target = new OwnedFd(
      this.kernel,
      this.kernel.openat(to, name, O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW | O.CLOEXEC, 0o600),
    );
    await this.#bytes(source.fd, target.fd);
    this.attributes(source.fd, target.fd);
  }

  async #bytes(source: number, target: number): Promise<void> {
    try {
      while (this.kernel.copyFileRange(source, target, COPY_BYTES) > 0) {
        if (this.#slice.due) await this.#slice.pause(this.signal);
      }
    } catch (e) {
      if (!isErrno(e, "EXDEV", "EINVAL", "EOPNOTSUPP", "ENOSYS")) throw e;
      await this.#bytesByHand(source, target);
    }
  }

  /** Goes on from where both files stand. */
  async #bytesByHand(source: number, target: number): Promise<void> {
    const buffer = new Uint8Array(256 * 1024);
    for (let n = this.kernel.read(source, buffer); n > 0; n = this.kernel.read(source, buffer)) {
      for (let done = 0; done < n;) done += this.kernel.write(target, buffer.subarray(done, n));
      if (this.#slice.due) await this.#slice.pause(this.signal);
    }
  }

  /** Closes what links needed. */
  close(): void {
    for (const fd of this.#open) this.kernel.close(fd);
  }
}

function isEmpty(kernel: FileKernel, fd: number): boolean {
  using dir = new OwnedFd(kernel, kernel.openat(fd, ".", OPEN_DIR));
  return kernel.readDirectory(dir.fd).length === 0;
}

/**
 * Copies the image's directory `target` into an empty volume. A volume with anything in it is left alone, unless an earlier
 * copy into it was cut off by a crash.
 *
 * @param rootfs mounted root of the container
 * @param target mount point inside; a missing one, or a file, copies nothing
 * @param volumeDir the volume's _data; the mark goes beside it
 * @returns entries copied
 */
export async function populateVolume(
  kernel: FileKernel & MountKernel,
  rootfs: string,
  target: string,
  volumeDir: string,
  signal?: AbortSignal,
): Promise<number> {
  const mark = `${volumeDir.slice(0, volumeDir.lastIndexOf("/"))}/${POPULATING_MARK}`;
  using root = openRoot(kernel, rootfs);
  using volume = new OwnedFd(kernel, kernel.openat(AT_FDCWD, volumeDir, OPEN_DIR));
  if (exists(kernel, mark)) await emptyDirectory(kernel, volume.fd, volumeDir);
  else if (!isEmpty(kernel, volume.fd)) return 0;
  let source: OwnedFd;
  try {
    source = openInRoot(kernel, root.fd, target, O.RDONLY | O.DIRECTORY);
  } catch (e) {
    if (isErrno(e, "ENOENT", "ENOTDIR", "ELOOP")) return 0;
    throw e;
  }
  using from = source;
  kernel.close(kernel.openat(AT_FDCWD, mark, O.WRONLY | O.CREAT | O.CLOEXEC, 0o600));
  const copier = new Copier(kernel, volumeDir, signal);
  try {
    await copier.directory(from.fd, volume.fd);
    copier.attributes(from.fd, volume.fd);
  } catch (e) {
    throw new NyxError(
      "internal",
      `Could not fill volume ${volumeDir} from ${target} of the image: ${e instanceof Error ? e.message : String(e)}`,
      { cause: e },
    );
  } finally {
    copier.close();
  }
  kernel.unlinkat(AT_FDCWD, mark, 0);
  return copier.copied;
}

function exists(kernel: FileKernel, path: string): boolean {
  try {
    kernel.statx(AT_FDCWD, path, AT.SYMLINK_NOFOLLOW);
    return true;
  } catch (e) {
    if (isErrno(e, "ENOENT")) return false;
    throw e;
  }
}
