/** A blob on disk as chunks. */

import { AT_FDCWD, type FileKernel, O, OwnedFd } from "../../ffi/file.ts";

const CHUNK = 512 * 1024;

/**
 * Reads a file from start to end; each chunk is valid until the next is asked for.
 *
 * @throws SyscallError when it cannot be opened or read
 */
export function* fileChunks(k: FileKernel, path: string): Generator<Uint8Array<ArrayBuffer>, void, void> {
  using fd = new OwnedFd(k, k.openat(AT_FDCWD, path, O.RDONLY | O.NOFOLLOW | O.CLOEXEC));
  const buffer = new Uint8Array(CHUNK);
  while (true) {
    const n = k.read(fd.fd, buffer);
    if (n === 0) return;
    yield n === CHUNK ? buffer : buffer.subarray(0, n);
  }
}
