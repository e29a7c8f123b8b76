import assert from "node:assert/strict";
import { isErrno, SyscallError } from "../errno.ts";
import {
  AT,
  AT_FDCWD,
  F,
  LOCK,
  O,
  OwnedFd,
  readToEnd,
  RENAME,
  RESOLVE,
  S,
  SEEK,
  UTIME_OMIT,
  writeAll,
} from "../file.ts";
import { linuxFile } from "./file.ts";

const k = linuxFile();
const text = (s: string) => new TextEncoder().encode(s);
const code = (name: string) => (e: unknown) => isErrno(e, name);

function withDir(run: (dir: string, fd: number) => void | Promise<void>): () => Promise<void> {
  return async () => {
    const dir = Deno.makeTempDirSync({ prefix: "nyx-file-" });
    const fd = k.openat(AT_FDCWD, dir, O.PATH | O.DIRECTORY | O.CLOEXEC);
    try {
      await run(dir, fd);
    } finally {
      k.close(fd);
      Deno.removeSync(dir, { recursive: true });
    }
  };
}

Deno.test(
  "openat, write, pwrite, pread, lseek, ftruncate: bytes and holes are where they were put",
  withDir((_, d) => {
    using f = new OwnedFd(k, k.openat(d, "a", O.CREAT | O.EXCL | O.RDWR | O.CLOEXEC, 0o600));
    writeAll(k, f.fd, text("hello"));
    k.pwrite(f.fd, text("end"), 1 << 20);
    const b = new Uint8Array(16);
    assert.equal(k.pread(f.fd, b, 1 << 20), 3);
    assert.equal(k.lseek(f.fd, 0, SEEK.END), (1 << 20) + 3);
    assert.equal(k.lseek(f.fd, 65_536, SEEK.DATA), 1 << 20);
    k.ftruncate(f.fd, 5);
    assert.throws(() => k.lseek(f.fd, 5, SEEK.DATA), code("ENXIO"));
    k.lseek(f.fd, 0, SEEK.SET);
    assert.equal(new TextDecoder().decode(readToEnd(k, f.fd, 100)), "hello");
    k.fsync(f.fd);
    k.fdatasync(f.fd);
  }),
);

Deno.test(
  "openat: a failure names call, errno and path",
  withDir((_, d) => {
    assert.throws(() => k.openat(d, "missing", O.RDONLY), (e: unknown) => {
      assert.ok(e instanceof SyscallError);
      assert.equal(e.code, "ENOENT");
      assert.match(e.message, /^openat "fd \d+\/missing" failed: ENOENT$/);
      return true;
    });
  }),
);

Deno.test(
  "openat2: RESOLVE_IN_ROOT keeps absolute and .. links inside, RESOLVE_BENEATH refuses them",
  withDir((_, d) => {
    k.symlinkat("/etc", d, "abs");
    k.symlinkat("../../../../etc", d, "up");
    assert.throws(() => k.openat2(d, "abs", O.PATH | O.DIRECTORY, RESOLVE.IN_ROOT), code("ENOENT"));
    k.mkdirat(d, "etc", 0o755);
    for (const name of ["abs", "up"]) {
      using f = new OwnedFd(k, k.openat2(d, name, O.PATH | O.DIRECTORY | O.CLOEXEC, RESOLVE.IN_ROOT));
      assert.equal(k.fstat(f.fd).ino, k.statx(d, "etc", 0).ino);
      assert.throws(() => k.openat2(d, name, O.PATH, RESOLVE.BENEATH), code("EXDEV"));
    }
  }),
);

Deno.test(
  "statx: type, mode, owner, size, links, nanosecond and negative times",
  withDir((dir, d) => {
    Deno.writeTextFileSync(`${dir}/f`, "12345");
    k.fchownat(d, "f", 1234, 70_000, 0);
    k.fchmodat(d, "f", 0o4751);
    k.linkat(d, "f", d, "g", 0);
    k.utimensat(d, "f", { sec: 5_000_000_000, nsec: 7 }, { sec: -3, nsec: 999_999_999 }, 0);
    const s = k.statx(d, "g", AT.SYMLINK_NOFOLLOW);
    assert.equal(s.mode, S.IFREG | 0o4751);
    assert.deepEqual([s.uid, s.gid, s.size, s.nlink], [1234, 70_000, 5, 2]);
    assert.deepEqual(s.atime, { sec: 5_000_000_000, nsec: 7 });
    assert.deepEqual(s.mtime, { sec: -3, nsec: 999_999_999 });
    k.utimensat(d, "f", UTIME_OMIT, { sec: 1, nsec: 2 }, AT.SYMLINK_NOFOLLOW);
    assert.deepEqual(k.statx(d, "f", 0).atime, { sec: 5_000_000_000, nsec: 7 });
    assert.equal(s.ino, BigInt(Deno.statSync(`${dir}/f`).ino ?? 0));
  }),
);

Deno.test(
  "mknodat: devices with large numbers, FIFOs and whiteouts come back as made",
  withDir((_, d) => {
    k.mknodat(d, "null", S.IFCHR | 0o666, 1, 3);
    k.mknodat(d, "big", S.IFBLK | 0o600, 259, 70_000);
    k.mknodat(d, "whiteout", S.IFCHR, 0, 0);
    k.mknodat(d, "fifo", S.IFIFO | 0o600, 0, 0);
    const of = (name: string) => k.statx(d, name, AT.SYMLINK_NOFOLLOW);
    assert.deepEqual([of("null").rdevMajor, of("null").rdevMinor], [1, 3]);
    assert.deepEqual([of("big").rdevMajor, of("big").rdevMinor, of("big").mode & S.IFMT], [259, 70_000, S.IFBLK]);
    assert.deepEqual([of("whiteout").rdevMajor, of("whiteout").rdevMinor], [0, 0]);
    assert.equal(of("fifo").mode & S.IFMT, S.IFIFO);
  }),
);

Deno.test(
  "byte paths: names that are not UTF-8 survive; a NUL inside is EINVAL",
  withDir((_, d) => {
    const odd = new Uint8Array([0x66, 0xff, 0xfe]);
    k.close(k.openat(d, odd, O.CREAT | O.WRONLY, 0o600));
    using list = new OwnedFd(k, k.openat(d, ".", O.RDONLY | O.DIRECTORY | O.CLOEXEC));
    const [entry] = k.readDirectory(list.fd);
    assert.deepEqual(entry?.bytes, new Uint8Array([0x66, 0xff, 0xfe, 0]));
    assert.equal(entry?.type, S.IFREG);
    k.unlinkat(d, entry?.bytes ?? "", 0);
    assert.throws(() => k.openat(d, new Uint8Array([0x61, 0, 0x62, 0]), O.RDONLY), code("EINVAL"));
    assert.throws(() => k.openat(d, "a\0b", O.RDONLY), code("EINVAL"));
  }),
);

Deno.test(
  "readDirectory: thousands of entries, none twice, without . and ..",
  withDir((_, d) => {
    for (let i = 0; i < 3000; i++) k.mknodat(d, `file-with-a-longer-name-${i}`, S.IFREG | 0o600, 0, 0);
    using list = new OwnedFd(k, k.openat(d, ".", O.RDONLY | O.DIRECTORY | O.CLOEXEC));
    assert.equal(new Set(k.readDirectory(list.fd).map((e) => e.name)).size, 3000);
  }),
);

Deno.test(
  "renameat2: NOREPLACE refuses an existing name, EXCHANGE swaps",
  withDir((dir, d) => {
    Deno.writeTextFileSync(`${dir}/a`, "a");
    Deno.writeTextFileSync(`${dir}/b`, "b");
    assert.throws(() => k.renameat2(d, "a", d, "b", RENAME.NOREPLACE), code("EEXIST"));
    k.renameat2(d, "a", d, "b", RENAME.EXCHANGE);
    assert.equal(Deno.readTextFileSync(`${dir}/a`), "b");
    k.renameat2(d, "a", d, "c", 0);
    assert.throws(() => k.unlinkat(d, "a", 0), code("ENOENT"));
  }),
);

Deno.test(
  "xattrs: set, get, list, remove by descriptor and by path, of links too",
  withDir((dir, d) => {
    Deno.writeTextFileSync(`${dir}/f`, "");
    k.symlinkat("f", d, "l");
    using f = new OwnedFd(k, k.openat(d, "f", O.RDWR | O.CLOEXEC));
    k.fsetxattr(f.fd, "user.a", text("1"));
    k.lsetxattr(`/proc/self/fd/${d}/f`, "trusted.b", new Uint8Array([0, 255]));
    k.lsetxattr(`${dir}/l`, "trusted.link", text("x"));
    assert.deepEqual(k.flistxattr(f.fd).sort(), ["trusted.b", "user.a"]);
    assert.deepEqual(k.lgetxattr(`${dir}/f`, "trusted.b"), new Uint8Array([0, 255]));
    assert.deepEqual(k.llistxattr(`${dir}/l`), ["trusted.link"]);
    assert.equal(k.fgetxattr(f.fd, "user.none"), undefined);
    k.fremovexattr(f.fd, "user.a");
    k.lremovexattr(`${dir}/l`, "trusted.link");
    assert.throws(() => k.lremovexattr(`${dir}/l`, "trusted.link"), code("ENODATA"));
    assert.deepEqual(k.flistxattr(f.fd), ["trusted.b"]);
  }),
);

Deno.test(
  "readlinkat: targets of up to 4095 bytes; flock: held against another open file",
  withDir((dir, d) => {
    const target = "t".repeat(4095);
    k.symlinkat(target, d, "l");
    assert.equal(new TextDecoder().decode(k.readlinkat(d, "l")), target);
    Deno.writeTextFileSync(`${dir}/lock`, "");
    using a = new OwnedFd(k, k.openat(d, "lock", O.RDONLY | O.CLOEXEC));
    using b = new OwnedFd(k, k.openat(d, "lock", O.RDONLY | O.CLOEXEC));
    k.flock(a.fd, LOCK.EX);
    assert.throws(() => k.flock(b.fd, LOCK.EX | LOCK.NB), code("EAGAIN"));
    k.flock(a.fd, LOCK.UN);
    k.flock(b.fd, LOCK.EX | LOCK.NB);
    assert.equal(k.fcntl(a.fd, F.GETFD), F.FD_CLOEXEC);
  }),
);

Deno.test(
  "copyFileRange, fallocate, statfs, syncfsAsync work on this file system",
  withDir(async (dir, d) => {
    Deno.writeTextFileSync(`${dir}/from`, "0123456789");
    using from = new OwnedFd(k, k.openat(d, "from", O.RDONLY | O.CLOEXEC));
    using to = new OwnedFd(k, k.openat(d, "to", O.CREAT | O.RDWR | O.CLOEXEC, 0o600));
    assert.equal(k.copyFileRange(from.fd, to.fd, 4), 4);
    k.fallocate(to.fd, 0, 0, 4096);
    assert.equal(k.fstat(to.fd).size, 4096);
    const space = k.fstatfs(to.fd);
    assert.deepEqual({ ...space, blocksFree: 0, blocksAvailable: 0, filesFree: 0 }, {
      ...k.statfs(dir),
      blocksFree: 0,
      blocksAvailable: 0,
      filesFree: 0,
    });
    assert.ok(space.blockSize > 0 && space.blocks >= space.blocksFree);
    await k.fsyncAsync(to.fd);
    await assert.rejects(k.syncfsAsync(-1), code("EIO"));
  }),
);

Deno.test("OwnedFd: closes once, and not after release", () => {
  const fd = new OwnedFd(k, k.openat(AT_FDCWD, "/", O.PATH | O.CLOEXEC));
  const raw = fd.release();
  fd[Symbol.dispose]();
  k.close(raw);
  assert.throws(() => k.close(raw), code("EBADF"));
  assert.throws(() => fd.fd, /already closed/);
});
