/**
 * Readiness: epoll, eventfd, inotify.
 *
 * Contract: synchronous and non-blocking unless the name ends in `Async`; failure throws SyscallError; every descriptor
 * made here is close-on-exec and the caller closes it. Sources: epoll(7), eventfd(2), inotify(7).
 */

/** epoll_ctl operations. */
export const EPOLL_CTL = { ADD: 1, DEL: 2, MOD: 3 } as const;
/** Event bits. */
export const EPOLL = { IN: 1, PRI: 2, OUT: 4, ERR: 8, HUP: 16, RDHUP: 0x2000, ET: 0x80000000 } as const;
/** inotify masks. */
export const IN = {
  MODIFY: 0x2,
  CLOSE_WRITE: 0x8,
  MOVED_TO: 0x80,
  CREATE: 0x100,
  DELETE: 0x200,
  DELETE_SELF: 0x400,
  IGNORED: 0x8000,
  ONLYDIR: 0x01000000,
} as const;

/** One ready descriptor: the number registered with it and its event bits. */
export interface ReadyEvent {
  token: number;
  events: number;
}

/** One inotify event; `name` is empty for events of the watched object itself. */
export interface WatchEvent {
  watch: number;
  mask: number;
  name: string;
}

/** Readiness calls of the kernel. */
export interface PollKernel {
  /** Makes an epoll instance. */
  epollCreate(): number;
  /** Adds, changes or removes `fd`; `token` (below 2^31) comes back with its events. EPERM: the file cannot be polled. */
  epollCtl(epollFd: number, operation: number, fd: number, events: number, token: number): void;
  /** What is ready now, at most `max`; level-triggered unless registered with ET. Never waits. */
  epollPoll(epollFd: number, max: number): ReadyEvent[];
  /**
   * Waits on a pool thread until something is ready (`timeoutMs` -1: without end) and then reports nothing: follow with
   * epollPoll. Occupies one of the pool's 32 threads, so one waiter a worker. `epollFd` must stay open until it settles.
   */
  epollReadyAsync(epollFd: number, timeoutMs: number): Promise<void>;
  /**
   * Sleeps for some microseconds on a pool thread, so that other work of the calling thread gets its turn. A wait that is over at
   * once does not do: the runtime then sees the thread as busy, and looks at messages of other threads each 31st time only.
   */
  yieldAsync(us: number): Promise<void>;
  /** Makes an event counter. */
  eventfd(initial: number): number;
  /** Adds to the counter. */
  eventfdAdd(fd: number, value: number): void;
  /** Takes the counter, setting it to 0; 0 when it was 0. */
  eventfdTake(fd: number): number;
  /** Makes an inotify instance. EMFILE: fs.inotify.max_user_instances is used up. */
  inotifyInit(): number;
  /** Watches a path; the same path gives the same watch. ENOSPC: fs.inotify.max_user_watches is used up. */
  inotifyAddWatch(fd: number, path: string, mask: number): number;
  /** Ends a watch; EINVAL when the kernel already did because the object is gone. */
  inotifyRemoveWatch(fd: number, watch: number): void;
  /** Events waiting now, in order; empty when none. */
  inotifyRead(fd: number): WatchEvent[];
}
