/** Struct codecs of the file area: statx, statfs, linux_dirent64, timespec, open_how. Layouts are the same on x86-64 and arm64. */

import { SyscallError } from "../errno.ts";
import type { DirectoryEntry, FileStat, FilesystemStat, Timespec } from "../file_types.ts";
import type { PathArg } from "../file.ts";
import { cstr } from "./libc.ts";

const EINVAL = 22;
const TWO32 = 0x1_0000_0000;
const decoder = new TextDecoder();

/**
 * A path as a NUL-terminated buffer.
 *
 * @throws SyscallError EINVAL when a NUL stands inside
 */
export function pathBytes(path: PathArg): Uint8Array<ArrayBuffer> {
  if (typeof path === "string") return cstr(path);
  const nul = path.indexOf(0);
  if (nul === path.byteLength - 1) return path;
  if (nul >= 0) throw new SyscallError("path", EINVAL, decoder.decode(path));
  const terminated = new Uint8Array(path.byteLength + 1);
  terminated.set(path);
  return terminated;
}

/** Bytes of struct statx. */
export const STATX_SIZE = 256;
/** STATX_BASIC_STATS. */
export const STATX_BASIC = 0x7ff;

function u64(v: DataView, at: number): number {
  return v.getUint32(at, true) + v.getUint32(at + 4, true) * TWO32;
}

function statxTime(v: DataView, at: number): Timespec {
  return { sec: v.getUint32(at, true) + v.getInt32(at + 4, true) * TWO32, nsec: v.getUint32(at + 8, true) };
}

/** Decodes struct statx (linux/stat.h). */
export function decodeStatx(v: DataView): FileStat {
  return {
    blockSize: v.getUint32(4, true),
    nlink: v.getUint32(16, true),
    uid: v.getUint32(20, true),
    gid: v.getUint32(24, true),
    mode: v.getUint16(28, true),
    ino: v.getBigUint64(32, true),
    size: u64(v, 40),
    blocks: u64(v, 48),
    atime: statxTime(v, 64),
    ctime: statxTime(v, 96),
    mtime: statxTime(v, 112),
    rdevMajor: v.getUint32(128, true),
    rdevMinor: v.getUint32(132, true),
    devMajor: v.getUint32(136, true),
    devMinor: v.getUint32(140, true),
  };
}

/** Bytes of struct statfs. */
export const STATFS_SIZE = 120;

/** Decodes struct statfs (asm-generic/statfs.h, 64-bit). */
export function decodeStatfs(v: DataView): FilesystemStat {
  return {
    type: v.getUint32(0, true),
    blockSize: u64(v, 8),
    blocks: u64(v, 16),
    blocksFree: u64(v, 24),
    blocksAvailable: u64(v, 32),
    files: u64(v, 40),
    filesFree: u64(v, 48),
  };
}

/** Writes struct timespec[2], access time first, into 32 bytes. */
export function encodeTimes(words: Int32Array, atime: Timespec, mtime: Timespec): void {
  words[0] = atime.sec | 0;
  words[1] = Math.floor(atime.sec / TWO32);
  words[2] = atime.nsec;
  words[3] = 0;
  words[4] = mtime.sec | 0;
  words[5] = Math.floor(mtime.sec / TWO32);
  words[6] = mtime.nsec;
  words[7] = 0;
}

/** Writes struct open_how (linux/openat2.h) into 24 bytes. All values are below 2^32. */
export function encodeOpenHow(words: Uint32Array, flags: number, mode: number, resolve: number): void {
  words[0] = flags;
  words[2] = mode;
  words[4] = resolve;
}

/** Appends the entries of one getdents64 buffer, without . and .. . */
export function decodeDirents(buffer: Uint8Array<ArrayBuffer>, length: number, out: DirectoryEntry[]): void {
  const v = new DataView(buffer.buffer, buffer.byteOffset, length);
  for (let at = 0; at < length; at += v.getUint16(at + 16, true)) {
    const start = at + 19;
    const end = buffer.indexOf(0, start);
    const size = end - start;
    const dot = buffer[start] === 0x2e;
    if (dot && (size === 1 || (size === 2 && buffer[start + 1] === 0x2e))) continue;
    const bytes = buffer.slice(start, end + 1);
    const name = decoder.decode(bytes.subarray(0, size));
    out.push({ name, bytes, type: (buffer[at + 18] ?? 0) << 12, ino: v.getBigUint64(at, true) });
  }
}

/** Device number as makedev(3) packs it: both halves split around the classic 8+8 bits. */
export function makedev(major: number, minor: number): bigint {
  const ma = BigInt(major), mi = BigInt(minor);
  return (mi & 0xffn) | ((ma & 0xfffn) << 8n) | ((mi & ~0xffn) << 12n) | ((ma & ~0xfffn) << 32n);
}
