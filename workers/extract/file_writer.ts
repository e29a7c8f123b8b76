/** One regular file of a layer while it is written: ordinary or sparse. */

import { type FileKernel, O, writeAll } from "../../ffi/file.ts";
import { accessTime, setXattrs } from "./attributes.ts";
import { toPath } from "./byte_string.ts";
import type { Extent, TarEntry } from "./tar/entry.ts";
import { isErrno } from "../../ffi/errno.ts";

const CREATE_FLAGS = O.CREAT | O.EXCL | O.WRONLY | O.NOFOLLOW | O.CLOEXEC;
const NO_EXTENTS: readonly Extent[] = [];

/** Writes one file after the other. */
export class FileWriter {
  #fd = -1;
  #entry: TarEntry | undefined;
  #extents: readonly Extent[] = NO_EXTENTS;
  #extent = 0;
  #inExtent = 0;

  /** @param k kernel */
  constructor(private readonly k: FileKernel) {}

  /** Creates a file that must not exist yet; SyscallError EEXIST when it does. */
  create(dirFd: number, base: string): number {
    return this.k.openat(dirFd, toPath(base), CREATE_FLAGS, 0o600);
  }

  /** Takes over a descriptor from {@linkcode create} and what the archive says about the file. */
  open(fd: number, entry: TarEntry): void {
    this.#fd = fd;
    this.#entry = entry;
    this.#extents = entry.sparse ?? NO_EXTENTS;
    this.#extent = 0;
    this.#inExtent = 0;
  }

  /** Writes the next stored bytes; without an open file (a member that is left out) they are dropped. */
  write(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#fd < 0) return;
    if (this.#entry?.sparse === undefined) writeAll(this.k, this.#fd, bytes);
    else this.#writeSparse(bytes);
  }

  /**
   * Sets length, owner, mode, attributes and times, and closes. Does nothing without an open file.
   *
   * @returns 512-byte blocks the file takes
   */
  close(): number {
    const fd = this.#fd;
    const entry = this.#entry;
    if (fd < 0 || entry === undefined) return 0;
    if (entry.sparse !== undefined) this.k.ftruncate(fd, entry.size);
    this.k.fchown(fd, entry.uid, entry.gid);
    this.k.fchmod(fd, entry.mode);
    if (entry.xattrs.length > 0) setXattrs(this.k, { fd }, entry.xattrs);
    this.k.futimens(fd, accessTime(entry), entry.mtime);
    const blocks = entry.size === 0 && entry.xattrs.length === 0 ? 0 : this.k.fstat(fd).blocks;
    this.#fd = -1;
    this.k.close(fd);
    return blocks;
  }

  /** Closes without finishing. */
  abandon(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    this.k.close(fd);
  }

  #writeSparse(bytes: Uint8Array<ArrayBuffer>): void {
    let at = 0;
    while (at < bytes.byteLength) {
      const extent = this.#extents[this.#extent];
      if (extent === undefined) return;
      const n = Math.min(extent.length - this.#inExtent, bytes.byteLength - at);
      if (n > 0) this.#writeAt(bytes.subarray(at, at + n), extent.offset + this.#inExtent);
      at += n;
      this.#inExtent += n;
      if (this.#inExtent === extent.length) {
        this.#extent++;
        this.#inExtent = 0;
      }
    }
  }

  #writeAt(bytes: Uint8Array<ArrayBuffer>, offset: number): void {
    for (let done = 0; done < bytes.byteLength;) {
      try {
        done += this.k.pwrite(this.#fd, bytes.subarray(done), offset + done);
      } catch (e) {
        if (!isErrno(e, "EINTR")) throw e;
      }
    }
  }
}
