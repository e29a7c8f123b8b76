/** Linux implementation of {@linkcode NamespaceKernel}. */

import { SyscallError } from "../errno.ts";
import { CLONE_NEWNET, type NamespaceKernel, StrandedError } from "../namespace.ts";
import { check, checkBig, cstr, lastErrno, openLibc } from "./libc.ts";

const ENOENT = 2;
const ENOTDIR = 20;
const EINVAL = 22;
const O_RDONLY = 0;
const O_WRONLY = 1;
const O_CREAT = 0o100;
const O_CLOEXEC = 0o2000000;
const MS_BIND = 4096n;
const MS_REC = 16384n;
const MS_PRIVATE = 1n << 18n;
const MS_SHARED = 1n << 20n;
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;
/** f_type of nsfs (linux/magic.h). */
const NSFS_MAGIC = 0x6e736673n;

function open() {
  return openLibc({
    unshare: { parameters: ["i32"], result: "i32" },
    setns: { parameters: ["i32", "i32"], result: "i32" },
    open: { parameters: ["buffer", "i32", "u32"], result: "i32" },
    close: { parameters: ["i32"], result: "i32" },
    read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
    write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
    mount: { parameters: ["buffer", "buffer", "pointer", "u64", "pointer"], result: "i32" },
    umount2: { parameters: ["buffer", "i32"], result: "i32" },
    unlink: { parameters: ["buffer"], result: "i32" },
    statfs: { parameters: ["buffer", "buffer"], result: "i32" },
  }).symbols;
}

type Libc = ReturnType<typeof open>;

class LinuxNamespace implements NamespaceKernel {
  readonly #libc: Libc = open();
  readonly #home: number;
  readonly #buffer = new Uint8Array(64 * 1024);
  readonly #statfs = new BigInt64Array(16);

  constructor() {
    this.#home = this.openNamespace("/proc/thread-self/ns/net");
  }

  unshare(flags: number): void {
    check(this.#libc.unshare(flags), "unshare");
  }

  setns(fd: number, type: number): void {
    check(this.#libc.setns(fd, type), "setns");
  }

  openNamespace(path: string): number {
    return this.#open(path, O_RDONLY);
  }

  closeNamespace(fd: number): void {
    check(this.#libc.close(fd), "close");
  }

  withNetns<T>(fd: number, section: () => T): T {
    this.setns(fd, CLONE_NEWNET);
    return this.#inside(section);
  }

  withNewNetns<T>(section: () => T): { fd: number; value: T } {
    this.unshare(CLONE_NEWNET);
    let fd = -1;
    try {
      const value = this.#inside(() => {
        fd = this.openNamespace("/proc/thread-self/ns/net");
        return section();
      });
      return { fd, value };
    } catch (e) {
      if (fd >= 0) this.closeNamespace(fd);
      throw e;
    }
  }

  pinNamespace(fd: number, path: string): void {
    const target = cstr(path);
    const file = check(this.#libc.open(target, O_RDONLY | O_CREAT | O_CLOEXEC, 0o444), "open", path);
    this.#libc.close(file);
    check(this.#libc.mount(cstr(`/proc/thread-self/fd/${fd}`), target, null, MS_BIND, null), "mount", path);
  }

  unpinNamespace(path: string): boolean {
    const target = cstr(path);
    while (this.#libc.umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW) === 0);
    const errno = lastErrno();
    if (errno === ENOENT) return false;
    if (errno !== EINVAL) throw new SyscallError("umount2", errno, path);
    if (this.#libc.unlink(target) === 0) return true;
    const unlinkErrno = lastErrno();
    if (unlinkErrno !== ENOENT) throw new SyscallError("unlink", unlinkErrno, path);
    return true;
  }

  isPinned(path: string): boolean {
    if (this.#libc.statfs(cstr(path), new Uint8Array(this.#statfs.buffer)) === 0) return this.#statfs[0] === NSFS_MAGIC;
    const errno = lastErrno();
    if (errno === ENOENT || errno === ENOTDIR) return false;
    throw new SyscallError("statfs", errno, path);
  }

  shareDirectory(path: string): boolean {
    if (this.#isMountPoint(path)) return false;
    const target = cstr(path);
    check(this.#libc.mount(target, target, null, MS_BIND | MS_REC, null), "mount", path);
    check(this.#libc.mount(target, target, null, MS_PRIVATE, null), "mount", path);
    check(this.#libc.mount(target, target, null, MS_SHARED, null), "mount", path);
    return true;
  }

  unshareDirectory(path: string): boolean {
    if (!this.#isMountPoint(path)) return false;
    check(this.#libc.umount2(cstr(path), UMOUNT_NOFOLLOW), "umount2", path);
    return true;
  }

  readKernelFile(path: string): string {
    const fd = this.#open(path, O_RDONLY);
    try {
      const decoder = new TextDecoder();
      let text = "";
      for (;;) {
        const n = checkBig(
          this.#libc.read(fd, this.#buffer, BigInt(this.#buffer.length)),
          "read",
          path,
        );
        if (n === 0) return text + decoder.decode();
        text += decoder.decode(this.#buffer.subarray(0, n), { stream: true });
      }
    } finally {
      this.#libc.close(fd);
    }
  }

  writeKernelFile(path: string, value: string): void {
    const fd = this.#open(path, O_WRONLY);
    try {
      const bytes = new TextEncoder().encode(value);
      const n = checkBig(this.#libc.write(fd, bytes, BigInt(bytes.length)), "write", path);
      if (n !== bytes.length) throw new SyscallError("write", 5, path);
    } finally {
      this.#libc.close(fd);
    }
  }

  #open(path: string, flags: number): number {
    return check(this.#libc.open(cstr(path), flags | O_CLOEXEC, 0), "open", path);
  }

  #isMountPoint(path: string): boolean {
    const escaped = path.replace(/[ \t\n\\]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, "0")}`);
    return this.readKernelFile("/proc/thread-self/mountinfo").split("\n").some((l) => l.split(" ")[4] === escaped);
  }

  #inside<T>(section: () => T): T {
    let value: T;
    try {
      value = section();
    } finally {
      this.#goHome();
    }
    if (typeof (value as { then?: unknown } | null)?.then === "function") {
      throw new Error("A section inside another network namespace returned a promise; it must be synchronous");
    }
    return value;
  }

  #goHome(): void {
    try {
      this.setns(this.#home, CLONE_NEWNET);
    } catch (cause) {
      throw new StrandedError("Could not return to the thread's own network namespace", { cause });
    }
  }
}

/** Opens libc for namespaces. The calling thread's network namespace of this moment is where sections return to. */
export function linuxNamespace(): NamespaceKernel {
  return new LinuxNamespace();
}
