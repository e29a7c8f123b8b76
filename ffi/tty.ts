/**
 * Terminals, and the unix socket over which a runtime hands one over.
 *
 * Contract: synchronous; failure throws SyscallError; descriptors made here are close-on-exec and non-blocking, and the
 * caller closes them. Sources: tty_ioctl(2), ptmx(4), unix(7), cmsg(3), OCI runtime console socket protocol.
 */

/** Size of a terminal in characters. */
export interface WindowSize {
  rows: number;
  cols: number;
}

/** Terminal calls of the kernel. */
export interface TtyKernel {
  /** Opens a new pseudo-terminal's master, unlocked. */
  openPty(): { masterFd: number; slavePath: string };
  /** Sets the size; the foreground process group gets SIGWINCH when it changes. ENOTTY for what is no terminal. */
  setWindowSize(fd: number, size: WindowSize): void;
  /** The size. */
  getWindowSize(fd: number): WindowSize;
  /** Listens on a stream socket at `path` (at most 107 bytes: EINVAL beyond). EADDRINUSE when the file exists. */
  listenUnix(path: string): number;
  /** Takes the connection waiting; undefined when none is. */
  acceptUnix(fd: number): number | undefined;
  /** Receives one message with a descriptor (SCM_RIGHTS); undefined while none is there. ENODATA: the peer closed without one. */
  receiveDescriptor(fd: number): number | undefined;
}
