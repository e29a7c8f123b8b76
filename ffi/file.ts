/**
 * Files, directories, links, attributes and extended attributes.
 *
 * Contract of every call, unless it says otherwise: synchronous; failure throws SyscallError with the syscall's name and
 * the path; a path is taken relative to `dirFd` ({@linkcode AT_FDCWD} for the working directory) when it is not absolute; a
 * descriptor returned is close-on-exec when `O_CLOEXEC` was given, and the caller closes it (or wraps it in
 * {@linkcode OwnedFd}). EINTR is retried only where a call says so. Sources: section 2 of the Linux man-pages.
 */

import { isErrno } from "./errno.ts";
import type { DirectoryEntry, FileStat, FilesystemStat, Timespec } from "./file_types.ts";

export * from "./file_types.ts";

/**
 * A path for the kernel: text (UTF-8), or raw bytes for names that are not text. Bytes may end in one NUL, which saves a
 * copy; a NUL anywhere else is EINVAL.
 */
export type PathArg = string | Uint8Array<ArrayBuffer>;

/** File calls of the kernel. */
export interface FileKernel {
  /** Opens; `mode` is subject to the process's umask and needed with O_CREAT or O_TMPFILE. Returns the descriptor. */
  openat(dirFd: number, path: PathArg, flags: number, mode?: number): number;
  /**
   * Opens under resolution rules ({@linkcode RESOLVE}); the kernel refuses unknown flags, and `mode` without O_CREAT. RESOLVE_IN_ROOT takes `dirFd` as
   * the root: absolute links and .. stay inside. EXDEV when RESOLVE_BENEATH would leave. Retried while a rename or mount
   * elsewhere races with it (EAGAIN).
   */
  openat2(dirFd: number, path: PathArg, flags: number, resolve: number, mode?: number): number;
  /** Closes. Never retried: the descriptor is gone even when it throws. */
  close(fd: number): void;
  /** Reads up to the buffer's length; 0 at end of file. */
  read(fd: number, buffer: Uint8Array<ArrayBuffer>): number;
  /** Writes some of the buffer and returns how much. */
  write(fd: number, buffer: Uint8Array<ArrayBuffer>): number;
  /** As read, at an offset, without moving the file position. */
  pread(fd: number, buffer: Uint8Array<ArrayBuffer>, offset: number): number;
  /** As write, at an offset, without moving the file position. */
  pwrite(fd: number, buffer: Uint8Array<ArrayBuffer>, offset: number): number;
  /** Moves the file position ({@linkcode SEEK}) and returns it. ENXIO when SEEK_DATA or SEEK_HOLE finds nothing. */
  lseek(fd: number, offset: number, whence: number): number;
  /** Copies inside the kernel between two files at their positions; returns bytes copied, 0 at end. EXDEV, EINVAL, EOPNOTSUPP: copy by hand. */
  copyFileRange(fdIn: number, fdOut: number, length: number): number;
  /** Waits until data and metadata are on the device. */
  fsync(fd: number): void;
  /** As fsync, without metadata that reading the data does not need. */
  fdatasync(fd: number): void;
  /** Waits until everything written to the file system of `fd` is on the device. */
  syncfs(fd: number): void;
  /** fsync on a pool thread. errno cannot be read there: any failure is reported as EIO. `fd` must stay open until it settles. */
  fsyncAsync(fd: number): Promise<void>;
  /** syncfs on a pool thread, with the terms of {@linkcode FileKernel.fsyncAsync}. */
  syncfsAsync(fd: number): Promise<void>;
  /** Sets a file's length; what is added reads as zeros and takes no space. */
  ftruncate(fd: number, length: number): void;
  /** Allocates or punches ({@linkcode FALLOC}; 0 allocates). */
  fallocate(fd: number, mode: number, offset: number, length: number): void;
  /** fcntl with an integer argument ({@linkcode F}); returns its result. */
  fcntl(fd: number, command: number, argument?: number): number;
  /** Advisory lock on the open file ({@linkcode LOCK}). EWOULDBLOCK reads as EAGAIN. A blocking lock blocks the thread. */
  flock(fd: number, operation: number): void;
  /** Sets the process-wide umask and returns the one before. */
  umask(mask: number): number;

  /** Makes a directory; `mode` is subject to the umask. */
  mkdirat(dirFd: number, path: PathArg, mode: number): void;
  /** Makes a device, FIFO, socket or plain file: `mode` with its type ({@linkcode S}), subject to the umask. */
  mknodat(dirFd: number, path: PathArg, mode: number, major: number, minor: number): void;
  /** Makes a symbolic link `path` that says `target`. */
  symlinkat(target: PathArg, dirFd: number, path: PathArg): void;
  /** Makes a hard link. Flags 0 links a symbolic link itself; AT_SYMLINK_FOLLOW its target; AT_EMPTY_PATH the descriptor. */
  linkat(oldDirFd: number, oldPath: PathArg, newDirFd: number, newPath: PathArg, flags: number): void;
  /** Removes a name; AT_REMOVEDIR removes an empty directory. Never follows a final link. */
  unlinkat(dirFd: number, path: PathArg, flags: number): void;
  /** Renames ({@linkcode RENAME}; 0 replaces). */
  renameat2(oldDirFd: number, oldPath: PathArg, newDirFd: number, newPath: PathArg, flags: number): void;

  /** Sets permission bits of an open file (not O_PATH). */
  fchmod(fd: number, mode: number): void;
  /** Sets permission bits by name; follows a final link. */
  fchmodat(dirFd: number, path: PathArg, mode: number): void;
  /** Sets owner and group of an open file; clears setuid and setgid of files. -1 leaves one as it is. */
  fchown(fd: number, uid: number, gid: number): void;
  /** Sets owner and group by name; AT_SYMLINK_NOFOLLOW for a link itself. */
  fchownat(dirFd: number, path: PathArg, uid: number, gid: number, flags: number): void;
  /** Sets times of an open file. */
  futimens(fd: number, atime: Timespec, mtime: Timespec): void;
  /** Sets times by name; AT_SYMLINK_NOFOLLOW for a link itself. */
  utimensat(dirFd: number, path: PathArg, atime: Timespec, mtime: Timespec, flags: number): void;
  /** What a symbolic link says, as bytes; at most 64 KiB. An empty path reads the link an O_PATH descriptor is. */
  readlinkat(dirFd: number, path: PathArg): Uint8Array<ArrayBuffer>;
  /** Attributes; flags AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, AT_NO_AUTOMOUNT. */
  statx(dirFd: number, path: PathArg, flags: number): FileStat;
  /** Attributes of an open descriptor, O_PATH included. */
  fstat(fd: number): FileStat;
  /** Space and type of the file system of a path. */
  statfs(path: PathArg): FilesystemStat;
  /** Space and type of the file system of a descriptor. */
  fstatfs(fd: number): FilesystemStat;
  /** The entries of an open directory from its position on, without . and .. . Reads to the end. */
  readDirectory(fd: number): DirectoryEntry[];

  /** Value of an extended attribute; undefined when there is none (ENODATA). */
  fgetxattr(fd: number, name: string): Uint8Array<ArrayBuffer> | undefined;
  /** Sets an extended attribute; flags {@linkcode XATTR}, 0 creates or replaces. Not for O_PATH descriptors. */
  fsetxattr(fd: number, name: string, value: Uint8Array<ArrayBuffer>, flags?: number): void;
  /** Names of all extended attributes; empty when the file system has none. */
  flistxattr(fd: number): string[];
  /** Removes one; ENODATA when there is none. */
  fremovexattr(fd: number, name: string): void;
  /** As fgetxattr, by absolute or working-directory path, of a link itself. `/proc/self/fd/<dirfd>/<name>` reaches below a descriptor. */
  lgetxattr(path: PathArg, name: string): Uint8Array<ArrayBuffer> | undefined;
  /** As fsetxattr, by path, of a link itself. */
  lsetxattr(path: PathArg, name: string, value: Uint8Array<ArrayBuffer>, flags?: number): void;
  /** As flistxattr, by path, of a link itself. */
  llistxattr(path: PathArg): string[];
  /** As fremovexattr, by path, of a link itself. */
  lremovexattr(path: PathArg, name: string): void;
}

/** A descriptor that closes itself: `using fd = new OwnedFd(kernel, kernel.openat(…))`. */
export class OwnedFd implements Disposable {
  #fd: number;

  /**
   * @param kernel closes it
   * @param fd descriptor taken over
   */
  constructor(private readonly kernel: Pick<FileKernel, "close">, fd: number) {
    this.#fd = fd;
  }

  /** The descriptor; throws once closed or released. */
  get fd(): number {
    if (this.#fd < 0) throw new Error("The file descriptor is already closed");
    return this.#fd;
  }

  /** Gives the descriptor up to the caller. */
  release(): number {
    const fd = this.fd;
    this.#fd = -1;
    return fd;
  }

  /** Closes it once; a failing close is not reported. */
  [Symbol.dispose](): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    try {
      this.kernel.close(fd);
    } catch {
      // Linux has released the descriptor in any case; writers that care for late errors call fsync before.
    }
  }
}

/**
 * Writes the whole buffer, however many calls it takes.
 *
 * @throws SyscallError of the first failing write; EINTR is retried
 */
export function writeAll(kernel: Pick<FileKernel, "write">, fd: number, buffer: Uint8Array<ArrayBuffer>): void {
  let done = 0;
  while (done < buffer.byteLength) {
    try {
      done += kernel.write(fd, done === 0 ? buffer : buffer.subarray(done));
    } catch (e) {
      if (!isErrno(e, "EINTR")) throw e;
    }
  }
}

/** Reads from the position to end of file, at most `limit` bytes. */
export function readToEnd(kernel: Pick<FileKernel, "read">, fd: number, limit: number): Uint8Array<ArrayBuffer> {
  let buffer = new Uint8Array(Math.min(limit, 4096));
  let length = 0;
  while (length < limit) {
    if (length === buffer.byteLength) {
      const larger = new Uint8Array(Math.min(limit, length * 4));
      larger.set(buffer);
      buffer = larger;
    }
    const n = kernel.read(fd, buffer.subarray(length));
    if (n === 0) break;
    length += n;
  }
  return buffer.subarray(0, length);
}
