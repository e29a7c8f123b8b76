/** Linux implementation of the process area. */

import { isErrno } from "../errno.ts";
import type { ProcessKernel } from "../process.ts";
import { check, checkBig, openLibc } from "./libc.ts";

// The same numbers on every architecture (asm-generic since 5.1).
const SYS_PIDFD_SEND_SIGNAL = 424n;
const SYS_PIDFD_OPEN = 434n;
const SYS_PIDFD_GETFD = 438n;
const P_PIDFD = 3;
const WNOHANG_WEXITED = 1 | 4;
const CLD_EXITED = 1;
const PR_SET_CHILD_SUBREAPER = 36;
const PIPE_FLAGS = 0o2000000 | 0o4000;
const FIONREAD = 0x541Bn;
const SPLICE_MOVE_NONBLOCK = 1 | 2;
const RLIM_INFINITY = 0xffff_ffff_ffff_ffffn;

/** Opens the process area for the calling thread. */
export function linuxProcess(): ProcessKernel {
  const { symbols: libc } = openLibc({
    getpid: { parameters: [], result: "i32" },
    kill: { parameters: ["i32", "i32"], result: "i32" },
    syscall: { parameters: ["i64", "i64", "i64", "i64", "i64"], result: "i64" },
    waitid: { parameters: ["i32", "i32", "buffer", "i32"], result: "i32" },
    prctl: { parameters: ["i32", "u64", "u64", "u64", "u64"], result: "i32" },
    getrlimit: { parameters: ["i32", "buffer"], result: "i32" },
    setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
    pipe2: { parameters: ["buffer", "i32"], result: "i32" },
    ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
    splice: { parameters: ["i32", "pointer", "i32", "pointer", "usize", "u32"], result: "isize" },
    tee: { parameters: ["i32", "i32", "usize", "u32"], result: "isize" },
    clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
  });
  const scratch = new Uint8Array(128);
  const view = new DataView(scratch.buffer);
  /** splice and tee: EAGAIN is "nothing moved". */
  const moved = (ret: bigint | number, call: string): number => {
    if (ret > 0) return Number(ret);
    if (ret === 0n || ret === 0) return -1;
    try {
      return checkBig(BigInt(ret), call);
    } catch (e) {
      if (isErrno(e, "EAGAIN", "EINTR")) return 0;
      throw e;
    }
  };
  const fromLimit = (n: bigint): number => n === RLIM_INFINITY ? -1 : Number(n);
  const toLimit = (n: number): bigint => n < 0 ? RLIM_INFINITY : BigInt(n);

  return {
    getpid: () => libc.getpid(),
    kill(pid, signal) {
      const about = String(pid);
      check(libc.kill(pid, signal), "kill", about);
    },
    pidfdOpen(pid) {
      const about = String(pid);
      return checkBig(libc.syscall(SYS_PIDFD_OPEN, BigInt(pid), 0n, 0n, 0n), "pidfd_open", about);
    },
    pidfdSendSignal(pidFd, signal) {
      const about = String(signal);
      checkBig(libc.syscall(SYS_PIDFD_SEND_SIGNAL, BigInt(pidFd), BigInt(signal), 0n, 0n), "pidfd_send_signal", about);
    },
    pidfdGetfd: (pidFd, fd) =>
      checkBig(libc.syscall(SYS_PIDFD_GETFD, BigInt(pidFd), BigInt(fd), 0n, 0n), "pidfd_getfd", fd),
    waitPidfd(pidFd) {
      scratch.fill(0);
      check(libc.waitid(P_PIDFD, pidFd, scratch, WNOHANG_WEXITED), "waitid");
      // siginfo_t on 64-bit: si_code at 8, si_pid at 16, si_status at 24.
      if (view.getInt32(16, true) === 0) return undefined;
      const status = view.getInt32(24, true);
      const signaled = view.getInt32(8, true) !== CLD_EXITED;
      return { code: signaled ? 128 + (status & 0x7f) : status & 0xff, signaled };
    },
    setChildSubreaper(on) {
      check(libc.prctl(PR_SET_CHILD_SUBREAPER, on ? 1n : 0n, 0n, 0n, 0n), "prctl", "PR_SET_CHILD_SUBREAPER");
    },
    getrlimit(resource) {
      const about = String(resource);
      check(libc.getrlimit(resource, scratch), "getrlimit", about);
      return { soft: fromLimit(view.getBigUint64(0, true)), hard: fromLimit(view.getBigUint64(8, true)) };
    },
    setrlimit(resource, limit) {
      view.setBigUint64(0, toLimit(limit.soft), true);
      view.setBigUint64(8, toLimit(limit.hard), true);
      const about = String(resource);
      check(libc.setrlimit(resource, scratch), "setrlimit", about);
    },
    pipe() {
      check(libc.pipe2(scratch, PIPE_FLAGS), "pipe2");
      return [view.getInt32(0, true), view.getInt32(4, true)];
    },
    bytesReadable(fd) {
      check(libc.ioctl(fd, FIONREAD, scratch), "ioctl", "FIONREAD");
      return view.getInt32(0, true);
    },
    splice: (fdIn, fdOut, length) =>
      moved(libc.splice(fdIn, null, fdOut, null, BigInt(length), SPLICE_MOVE_NONBLOCK), "splice"),
    tee: (fdIn, fdOut, length) => moved(libc.tee(fdIn, fdOut, BigInt(length), 2), "tee"),
    realtimeNs() {
      check(libc.clock_gettime(0, scratch), "clock_gettime");
      return view.getBigInt64(0, true) * 1_000_000_000n + view.getBigInt64(8, true);
    },
  };
}
