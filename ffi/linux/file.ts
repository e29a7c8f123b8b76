/**
 * The file area on Linux. Buffers for structs are made once for each instance, which therefore belongs to one thread.
 *
 * ssize_t results are read as 32-bit: the kernel caps a transfer at 0x7ffff000 bytes, and -1 reads as -1.
 */

import { SyscallError } from "../errno.ts";
import { AT, type DirectoryEntry, type FileKernel, type PathArg } from "../file.ts";
import {
  decodeDirents,
  decodeStatfs,
  decodeStatx,
  encodeOpenHow,
  encodeTimes,
  makedev,
  pathBytes,
  STATFS_SIZE,
  STATX_BASIC,
  STATX_SIZE,
} from "./file_codec.ts";
import { check, checkBig, lastErrno, openLibc, subject } from "./libc.ts";
import { ATTRIBUTE_SYMBOLS, linuxXattr } from "./xattr.ts";

/** openat2(2) has no libc wrapper; the number is the same on x86-64 and arm64. */
const SYS_OPENAT2 = 437n;
const OPEN_HOW_SIZE = 24n;
const EIO = 5;
const EAGAIN = 11;
/** A scoped lookup fails with EAGAIN when any rename or mount on the machine raced with it; each try takes microseconds. */
const OPENAT2_TRIES = 1000;
const DIRENT_BUFFER = 32 * 1024;
const MAX_LINK = 64 * 1024;
const MAX_IO = 0x7fff_f000;

const SYMBOLS = {
  openat: { parameters: ["i32", "buffer", "i32", "u32"], result: "i32" },
  syscall: { parameters: ["i64", "i32", "buffer", "buffer", "usize"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  read: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  write: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  pread64: { parameters: ["i32", "buffer", "usize", "i64"], result: "i32" },
  pwrite64: { parameters: ["i32", "buffer", "usize", "i64"], result: "i32" },
  lseek64: { parameters: ["i32", "i64", "i32"], result: "i64" },
  copy_file_range: { parameters: ["i32", "pointer", "i32", "pointer", "usize", "u32"], result: "i32" },
  fsync: { parameters: ["i32"], result: "i32" },
  fdatasync: { parameters: ["i32"], result: "i32" },
  syncfs: { parameters: ["i32"], result: "i32" },
  fsyncAsync: { name: "fsync", parameters: ["i32"], result: "i32", nonblocking: true },
  syncfsAsync: { name: "syncfs", parameters: ["i32"], result: "i32", nonblocking: true },
  ftruncate64: { parameters: ["i32", "i64"], result: "i32" },
  fallocate64: { parameters: ["i32", "i32", "i64", "i64"], result: "i32" },
  fcntl: { parameters: ["i32", "i32", "i64"], result: "i32" },
  flock: { parameters: ["i32", "i32"], result: "i32" },
  umask: { parameters: ["u32"], result: "u32" },
  mkdirat: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  mknodat: { parameters: ["i32", "buffer", "u32", "u64"], result: "i32" },
  symlinkat: { parameters: ["buffer", "i32", "buffer"], result: "i32" },
  linkat: { parameters: ["i32", "buffer", "i32", "buffer", "i32"], result: "i32" },
  unlinkat: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  renameat2: { parameters: ["i32", "buffer", "i32", "buffer", "u32"], result: "i32" },
  fchmod: { parameters: ["i32", "u32"], result: "i32" },
  fchmodat: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  fchown: { parameters: ["i32", "u32", "u32"], result: "i32" },
  fchownat: { parameters: ["i32", "buffer", "u32", "u32", "i32"], result: "i32" },
  futimens: { parameters: ["i32", "buffer"], result: "i32" },
  utimensat: { parameters: ["i32", "buffer", "buffer", "i32"], result: "i32" },
  readlinkat: { parameters: ["i32", "buffer", "buffer", "usize"], result: "i32" },
  statx: { parameters: ["i32", "buffer", "i32", "u32", "buffer"], result: "i32" },
  statfs64: { parameters: ["buffer", "buffer"], result: "i32" },
  fstatfs64: { parameters: ["i32", "buffer"], result: "i32" },
  getdents64: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  ...ATTRIBUTE_SYMBOLS,
} as const satisfies Deno.ForeignLibraryInterface;

/** The loaded symbols, for the attribute half in xattr.ts. */
export type FileSymbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

type Bytes = Uint8Array<ArrayBuffer>;
const io = (b: Bytes) => BigInt(Math.min(b.byteLength, MAX_IO));

/** Calls on descriptors and their bytes. */
function descriptorCalls(c: FileSymbols) {
  const pending = async (call: Promise<number>, name: string, fd: number) => {
    if (await call < 0) throw new SyscallError(name, EIO, `fd ${fd}`);
  };
  return {
    close: (fd: number) => void check(c.close(fd), "close", fd),
    read: (fd: number, b: Bytes) => {
      const n = c.read(fd, b, io(b));
      return n >= 0 ? n : check(n, "read", fd);
    },
    write: (fd: number, b: Bytes) => {
      const n = c.write(fd, b, io(b));
      return n >= 0 ? n : check(n, "write", fd);
    },
    pread: (fd: number, b: Bytes, offset: number) => check(c.pread64(fd, b, io(b), BigInt(offset)), "pread", fd),
    pwrite: (fd: number, b: Bytes, offset: number) => check(c.pwrite64(fd, b, io(b), BigInt(offset)), "pwrite", fd),
    lseek: (fd: number, offset: number, whence: number) => checkBig(c.lseek64(fd, BigInt(offset), whence), "lseek", fd),
    copyFileRange: (fdIn: number, fdOut: number, length: number) =>
      check(
        c.copy_file_range(fdIn, null, fdOut, null, BigInt(Math.min(length, MAX_IO)), 0),
        "copy_file_range",
        fdIn,
      ),
    fsync: (fd: number) => void check(c.fsync(fd), "fsync", fd),
    fdatasync: (fd: number) => void check(c.fdatasync(fd), "fdatasync", fd),
    syncfs: (fd: number) => void check(c.syncfs(fd), "syncfs", fd),
    fsyncAsync: (fd: number) => pending(c.fsyncAsync(fd), "fsync", fd),
    syncfsAsync: (fd: number) => pending(c.syncfsAsync(fd), "syncfs", fd),
    ftruncate: (fd: number, length: number) => void check(c.ftruncate64(fd, BigInt(length)), "ftruncate", fd),
    fallocate: (fd: number, mode: number, offset: number, length: number) =>
      void check(c.fallocate64(fd, mode, BigInt(offset), BigInt(length)), "fallocate", fd),
    fcntl: (fd: number, command: number, argument = 0) => check(c.fcntl(fd, command, BigInt(argument)), "fcntl", fd),
    flock: (fd: number, operation: number) => void check(c.flock(fd, operation), "flock", fd),
    umask: (mask: number) => c.umask(mask),
    fchmod: (fd: number, mode: number) => void check(c.fchmod(fd, mode), "fchmod", fd),
    fchown: (fd: number, uid: number, gid: number) => void check(c.fchown(fd, uid >>> 0, gid >>> 0), "fchown", fd),
  };
}

/** Calls that open, make and remove names. */
function nameCalls(c: FileSymbols) {
  const how = new Uint32Array(6);
  const howBytes = new Uint8Array(how.buffer);
  return {
    openat: (d: number, p: PathArg, flags: number, mode = 0) => {
      const fd = c.openat(d, pathBytes(p), flags, mode);
      return fd >= 0 ? fd : check(fd, "openat", d, p);
    },
    openat2: (d: number, p: PathArg, flags: number, resolve: number, mode = 0) => {
      encodeOpenHow(how, flags, mode, resolve);
      const path = pathBytes(p);
      for (let tries = 0;; tries++) {
        const fd = c.syscall(SYS_OPENAT2, d, path, howBytes, OPEN_HOW_SIZE);
        if (fd >= 0) return fd;
        const errno = lastErrno();
        if (errno !== EAGAIN || tries === OPENAT2_TRIES) throw new SyscallError("openat2", errno, subject(d, p));
      }
    },
    mkdirat: (d: number, p: PathArg, mode: number) => void check(c.mkdirat(d, pathBytes(p), mode), "mkdirat", d, p),
    mknodat: (d: number, p: PathArg, mode: number, major: number, minor: number) =>
      void check(c.mknodat(d, pathBytes(p), mode, makedev(major, minor)), "mknodat", d, p),
    symlinkat: (target: PathArg, d: number, p: PathArg) =>
      void check(c.symlinkat(pathBytes(target), d, pathBytes(p)), "symlinkat", d, p),
    linkat: (od: number, op: PathArg, nd: number, np: PathArg, flags: number) =>
      void check(c.linkat(od, pathBytes(op), nd, pathBytes(np), flags), "linkat", nd, np),
    unlinkat: (d: number, p: PathArg, flags: number) =>
      void check(c.unlinkat(d, pathBytes(p), flags), "unlinkat", d, p),
    renameat2: (od: number, op: PathArg, nd: number, np: PathArg, flags: number) =>
      void check(c.renameat2(od, pathBytes(op), nd, pathBytes(np), flags), "renameat2", nd, np),
    fchmodat: (d: number, p: PathArg, mode: number) =>
      void check(c.fchmodat(d, pathBytes(p), mode, 0), "fchmodat", d, p),
    fchownat: (d: number, p: PathArg, uid: number, gid: number, flags: number) =>
      void check(c.fchownat(d, pathBytes(p), uid >>> 0, gid >>> 0, flags), "fchownat", d, p),
  };
}

/** Calls that read or write structs. */
function structCalls(c: FileSymbols): Pick<
  FileKernel,
  "futimens" | "utimensat" | "readlinkat" | "statx" | "fstat" | "statfs" | "fstatfs" | "readDirectory"
> {
  const times = new Int32Array(8);
  const timesBytes = new Uint8Array(times.buffer);
  const struct = new Uint8Array(STATX_SIZE);
  const view = new DataView(struct.buffer);
  const statfsView = new DataView(struct.buffer, 0, STATFS_SIZE);
  const empty = new Uint8Array(1);
  let dirents: Bytes | undefined;
  return {
    futimens: (fd, atime, mtime) => {
      encodeTimes(times, atime, mtime);
      check(c.futimens(fd, timesBytes), "futimens", fd);
    },
    utimensat: (d, p, atime, mtime, flags) => {
      encodeTimes(times, atime, mtime);
      check(c.utimensat(d, pathBytes(p), timesBytes, flags), "utimensat", d, p);
    },
    readlinkat: (d, p) => {
      const path = pathBytes(p);
      for (let size = 256;; size *= 4) {
        const buffer = new Uint8Array(size);
        const n = check(c.readlinkat(d, path, buffer, BigInt(size)), "readlinkat", d, p);
        if (n < size || size >= MAX_LINK) return buffer.subarray(0, n);
      }
    },
    statx: (d, p, flags) => {
      const ret = c.statx(d, pathBytes(p), flags, STATX_BASIC, struct);
      if (ret < 0) check(ret, "statx", d, p);
      return decodeStatx(view);
    },
    fstat: (fd) => {
      check(c.statx(fd, empty, AT.EMPTY_PATH, STATX_BASIC, struct), "statx", fd);
      return decodeStatx(view);
    },
    statfs: (p) => {
      check(c.statfs64(pathBytes(p), struct), "statfs", -1, p);
      return decodeStatfs(statfsView);
    },
    fstatfs: (fd) => {
      check(c.fstatfs64(fd, struct), "fstatfs", fd);
      return decodeStatfs(statfsView);
    },
    readDirectory: (fd) => {
      const buffer = dirents ??= new Uint8Array(DIRENT_BUFFER);
      const entries: DirectoryEntry[] = [];
      while (true) {
        const n = check(c.getdents64(fd, buffer, io(buffer)), "getdents64", fd);
        if (n === 0) return entries;
        decodeDirents(buffer, n, entries);
      }
    },
  };
}

let instance: FileKernel | undefined;

/** The file area of this thread's kernel; opens libc at the first call. */
export function linuxFile(): FileKernel {
  if (instance !== undefined) return instance;
  const c = openLibc(SYMBOLS).symbols;
  instance = { ...descriptorCalls(c), ...nameCalls(c), ...structCalls(c), ...linuxXattr(c) };
  return instance;
}
