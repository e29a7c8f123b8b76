/**
 * Processes, their limits, pipes between them, and the clock.
 *
 * Contract: synchronous; failure throws SyscallError; descriptors made here are close-on-exec and the caller closes them.
 * Sources: section 2 of the Linux man-pages.
 */

/** Signal numbers by name (x86-64 and arm64 agree). */
export const SIGNALS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGSTKFLT: 16,
  SIGCHLD: 17,
  SIGCONT: 18,
  SIGSTOP: 19,
  SIGTSTP: 20,
  SIGTTIN: 21,
  SIGTTOU: 22,
  SIGURG: 23,
  SIGXCPU: 24,
  SIGXFSZ: 25,
  SIGVTALRM: 26,
  SIGPROF: 27,
  SIGWINCH: 28,
  SIGIO: 29,
  SIGPWR: 30,
  SIGSYS: 31,
};

/** Resource numbers of getrlimit by their OCI names. */
export const RLIMITS: Readonly<Record<string, number>> = {
  RLIMIT_CPU: 0,
  RLIMIT_FSIZE: 1,
  RLIMIT_DATA: 2,
  RLIMIT_STACK: 3,
  RLIMIT_CORE: 4,
  RLIMIT_RSS: 5,
  RLIMIT_NPROC: 6,
  RLIMIT_NOFILE: 7,
  RLIMIT_MEMLOCK: 8,
  RLIMIT_AS: 9,
  RLIMIT_LOCKS: 10,
  RLIMIT_SIGPENDING: 11,
  RLIMIT_MSGQUEUE: 12,
  RLIMIT_NICE: 13,
  RLIMIT_RTPRIO: 14,
  RLIMIT_RTTIME: 15,
};

/** How a child ended. */
export interface ChildExit {
  /** Exit code, or 128 + signal. */
  code: number;
  /** Whether a signal ended it. */
  signaled: boolean;
}

/** A resource limit; -1 is unlimited. */
export interface Rlimit {
  soft: number;
  hard: number;
}

/** Process calls of the kernel. */
export interface ProcessKernel {
  /** Own process id. */
  getpid(): number;
  /** Sends a signal; a negative pid addresses a process group; signal 0 only asks. ESRCH when there is none. */
  kill(pid: number, signal: number): void;
  /** A descriptor for a process, readable once it has ended; its pid can then not be taken for another's. ESRCH when gone. */
  pidfdOpen(pid: number): number;
  /** Sends a signal to exactly that process. ESRCH once it was reaped. */
  pidfdSendSignal(pidFd: number, signal: number): void;
  /** Duplicates descriptor `fd` of another process (Linux 5.6; needs ptrace rights). */
  pidfdGetfd(pidFd: number, fd: number): number;
  /** Reaps a child by its pidfd without waiting; undefined while it runs. ECHILD when it is not ours. */
  waitPidfd(pidFd: number): ChildExit | undefined;
  /** Makes this process adopt orphaned descendants (PR_SET_CHILD_SUBREAPER), or not. */
  setChildSubreaper(on: boolean): void;
  /** Own limit of a resource ({@linkcode RLIMITS}). */
  getrlimit(resource: number): Rlimit;
  /** Sets it; EPERM when raising the hard limit without CAP_SYS_RESOURCE. */
  setrlimit(resource: number, limit: Rlimit): void;
  /** A pipe, both ends non-blocking: [read, write]. */
  pipe(): [number, number];
  /** Bytes that can be read now from a pipe, FIFO or terminal (FIONREAD). */
  bytesReadable(fd: number): number;
  /**
   * Moves up to `length` bytes from `fdIn` into the pipe `fdOut` inside the kernel; 0 when nothing is there or the pipe is
   * full, -1 at end of input. EINVAL when the source cannot be spliced.
   */
  splice(fdIn: number, fdOut: number, length: number): number;
  /** As splice between two pipes, leaving the bytes in the source too. */
  tee(fdIn: number, fdOut: number, length: number): number;
  /** Wall clock, nanoseconds since 1970. */
  realtimeNs(): bigint;
}
