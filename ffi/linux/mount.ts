/** The mount area on Linux. System call numbers of the new mount calls are the same on every machine. */

import { SyscallError } from "../errno.ts";
import type { MountAttributes, MountKernel } from "../mount.ts";
import { check, checkBig, cstr, openLibc } from "./libc.ts";

const SYS_OPEN_TREE = 428n;
const SYS_MOVE_MOUNT = 429n;
const SYS_FSOPEN = 430n;
const SYS_FSCONFIG = 431n;
const SYS_FSMOUNT = 432n;
const SYS_MOUNT_SETATTR = 442n;
const FSOPEN_CLOEXEC = 1n;
const FSMOUNT_CLOEXEC = 1n;
const CLONE_FS = 0x200;
const FS_IOC_GETFLAGS = 0x8008_6601n;
const FS_IOC_SETFLAGS = 0x4008_6602n;
const MOUNT_ATTR_SIZE = 32;
const MESSAGE_BYTES = 4096;
/** Most messages a configuration descriptor keeps (the kernel's ring holds 8). */
const MESSAGE_COUNT = 16;

function open() {
  return openLibc({
    mount: { parameters: ["buffer", "buffer", "buffer", "u64", "buffer"], result: "i32" },
    umount2: { parameters: ["buffer", "i32"], result: "i32" },
    umount2Async: { name: "umount2", parameters: ["buffer", "i32"], result: "i32", nonblocking: true },
    unshare: { parameters: ["i32"], result: "i32" },
    chdir: { parameters: ["buffer"], result: "i32" },
    fchdir: { parameters: ["i32"], result: "i32" },
    read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
    ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
    // One name for each argument pattern; syscall(2) itself is variadic with longs.
    sysText: { name: "syscall", parameters: ["i64", "buffer", "u64"], result: "i64" },
    sysConfig: { name: "syscall", parameters: ["i64", "i64", "u64", "buffer", "buffer", "i64"], result: "i64" },
    sysNumbers: { name: "syscall", parameters: ["i64", "i64", "u64", "u64"], result: "i64" },
    sysMove: { name: "syscall", parameters: ["i64", "i64", "buffer", "i64", "buffer", "u64"], result: "i64" },
    sysPath: { name: "syscall", parameters: ["i64", "i64", "buffer", "u64"], result: "i64" },
    sysAttr: { name: "syscall", parameters: ["i64", "i64", "buffer", "u64", "buffer", "u64"], result: "i64" },
  }).symbols;
}

type Libc = ReturnType<typeof open>;

function optional(text: string | undefined): Uint8Array<ArrayBuffer> | null {
  return text === undefined ? null : cstr(text);
}

/** mount(2) and umount2(2). */
function classicCalls(libc: Libc): Pick<MountKernel, "mount" | "umount2" | "umount2Async"> {
  return {
    mount(source: string | undefined, target: string, type: string | undefined, flags: number, data?: string): void {
      const ret = libc.mount(
        optional(source) as Uint8Array<ArrayBuffer>,
        cstr(target),
        optional(type) as Uint8Array<ArrayBuffer>,
        BigInt(flags),
        optional(data) as Uint8Array<ArrayBuffer>,
      );
      check(ret, "mount", target);
    },

    umount2(target: string, flags: number): void {
      check(libc.umount2(cstr(target), flags), "umount2", target);
    },

    async umount2Async(target: string, flags: number): Promise<boolean> {
      const path = cstr(target);
      const ret = await libc.umount2Async(path, flags);
      // Naming the buffer after the wait keeps it alive while the pool thread reads it.
      return ret === 0 && path.byteLength > 0;
    },
  };
}

/** The calls of Linux 5.2 and later. */
function descriptorCalls(
  libc: Libc,
): Pick<MountKernel, "fsopen" | "fsconfig" | "fsMessages" | "fsmount" | "moveMount" | "openTree" | "mountSetattr"> {
  const message = new Uint8Array(MESSAGE_BYTES);
  return {
    fsopen(type: string): number {
      return checkBig(libc.sysText(SYS_FSOPEN, cstr(type), FSOPEN_CLOEXEC), "fsopen", type);
    },

    fsconfig(fd: number, command: number, key?: string, value?: string): void {
      const about = key === undefined ? undefined : value === undefined ? key : `${key}=${value}`;
      const ret = libc.sysConfig(
        SYS_FSCONFIG,
        BigInt(fd),
        BigInt(command),
        optional(key) as Uint8Array<ArrayBuffer>,
        optional(value) as Uint8Array<ArrayBuffer>,
        0n,
      );
      checkBig(ret, "fsconfig", about);
    },

    fsMessages(fd: number): string {
      const lines: string[] = [];
      for (let i = 0; i < MESSAGE_COUNT; i++) {
        const n = Number(libc.read(fd, message, BigInt(MESSAGE_BYTES)));
        if (n <= 0) break;
        // Each message is "e ", "w " or "i " and its text.
        lines.push(new TextDecoder().decode(message.subarray(0, n)).trim().replace(/^[ewi] /, ""));
      }
      return lines.join("\n");
    },

    fsmount(fd: number, attributes: number): number {
      return checkBig(
        libc.sysNumbers(SYS_FSMOUNT, BigInt(fd), FSMOUNT_CLOEXEC, BigInt(attributes)),
        "fsmount",
      );
    },

    moveMount(fromFd: number, fromPath: string, toFd: number, toPath: string, flags: number): void {
      const ret = libc.sysMove(
        SYS_MOVE_MOUNT,
        BigInt(fromFd),
        cstr(fromPath),
        BigInt(toFd),
        cstr(toPath),
        BigInt(flags),
      );
      checkBig(ret, "move_mount", toPath);
    },

    openTree(dirFd: number, path: string, flags: number): number {
      return checkBig(libc.sysPath(SYS_OPEN_TREE, BigInt(dirFd), cstr(path), BigInt(flags)), "open_tree", path);
    },

    mountSetattr(dirFd: number, path: string, flags: number, attributes: MountAttributes): void {
      const attr = new BigUint64Array([
        BigInt(attributes.set),
        BigInt(attributes.clear),
        BigInt(attributes.propagation),
        0n,
      ]);
      const bytes = new Uint8Array(attr.buffer);
      const ret = libc.sysAttr(
        SYS_MOUNT_SETATTR,
        BigInt(dirFd),
        cstr(path),
        BigInt(flags),
        bytes,
        BigInt(MOUNT_ATTR_SIZE),
      );
      checkBig(ret, "mount_setattr", path);
    },
  };
}

/** What belongs to the calling thread, and file flags. */
function threadCalls(
  libc: Libc,
): Pick<MountKernel, "unshareFs" | "chdir" | "fchdir" | "getInodeFlags" | "setInodeFlags"> {
  return {
    unshareFs(): void {
      check(libc.unshare(CLONE_FS), "unshare");
    },

    chdir(path: string): void {
      check(libc.chdir(cstr(path)), "chdir", path);
    },

    fchdir(fd: number): void {
      check(libc.fchdir(fd), "fchdir", fd);
    },

    getInodeFlags(fd: number): number {
      const value = new Int32Array(2);
      check(
        libc.ioctl(fd, FS_IOC_GETFLAGS, new Uint8Array(value.buffer)),
        "ioctl FS_IOC_GETFLAGS",
        fd,
      );
      const flags = value[0];
      if (flags === undefined) throw new SyscallError("ioctl FS_IOC_GETFLAGS", 5, `fd ${fd}`);
      return flags;
    },

    setInodeFlags(fd: number, flags: number): void {
      const value = new Int32Array([flags, 0]);
      check(
        libc.ioctl(fd, FS_IOC_SETFLAGS, new Uint8Array(value.buffer)),
        "ioctl FS_IOC_SETFLAGS",
        fd,
      );
    },
  };
}

/** The mount area of this thread: plain methods, so that areas can be spread into one kernel. */
export function linuxMount(): MountKernel {
  const libc: Libc = open();
  return { ...classicCalls(libc), ...descriptorCalls(libc), ...threadCalls(libc) };
}
