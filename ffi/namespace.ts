/**
 * Namespaces: leave one, join one, pin one to a path, and read or write the kernel files that show the namespace of the
 * reading thread.
 *
 * A namespace belongs to a thread (setns(2), namespaces(7)). Asynchronous operations run on pool threads that stay
 * outside, or are born inside and never come back; so everything here is synchronous, and a section inside another
 * namespace must not await.
 */

/** clone(2) flags that unshare and setns take. */
export const CLONE_NEWNS = 0x0002_0000;
/** unshare: own current directory, root and umask for this thread. */
export const CLONE_FS = 0x0000_0200;
/** Network namespace. */
export const CLONE_NEWNET = 0x4000_0000;

/** Calls about namespaces. Every failure is a SyscallError; every descriptor is close-on-exec and owned by the caller. */
export interface NamespaceKernel {
  /** Moves the calling thread into new namespaces. Not undone: use {@linkcode withNewNetns} for a section. */
  unshare(flags: number): void;

  /**
   * Moves the calling thread into the namespace of `fd`.
   *
   * @param fd descriptor of a /proc/<pid>/ns file or of a pinned namespace
   * @param type the CLONE_NEW* flag that `fd` must be, or 0 for any
   */
  setns(fd: number, type: number): void;

  /** Opens a namespace by path, such as /proc/123/ns/net or a pinned file. ENOENT when there is none. */
  openNamespace(path: string): number;

  /** Closes a descriptor from this interface. The kernel takes a namespace away when nothing refers to it any more. */
  closeNamespace(fd: number): void;

  /**
   * Runs `section` with the calling thread in the network namespace of `fd`, then goes back.
   *
   * The section must be synchronous: a section that returns a promise has already lost, and an Error says so. When the
   * way back fails, the thread is useless and a {@linkcode StrandedError} tells the worker to end itself.
   */
  withNetns<T>(fd: number, section: () => T): T;

  /**
   * Makes a network namespace and runs `section` inside; the same rules as {@linkcode withNetns}.
   *
   * @returns descriptor of the new namespace, and what the section returned; when the section throws, the namespace is gone
   */
  withNewNetns<T>(section: () => T): { fd: number; value: T };

  /**
   * Binds the namespace of `fd` to `path`, so that it outlives every process. The file is made when missing.
   *
   * EBUSY or EEXIST never: a path that is already a pin gets a second mount on top, so callers look first.
   */
  pinNamespace(fd: number, path: string): void;

  /** Takes a pin away: lazy unmount, repeated while something is mounted, then unlink. False when there was no file. */
  unpinNamespace(path: string): boolean;

  /** Whether `path` is a pinned namespace of any kind (a file of the kernel's nsfs). */
  isPinned(path: string): boolean;

  /**
   * Makes a directory a mount point of its own with shared propagation, so that mounts made below are seen by threads
   * and processes in other mount namespaces that were copied from this one. Idempotent.
   *
   * @returns false when it already was one
   */
  shareDirectory(path: string): boolean;

  /** Undoes {@linkcode shareDirectory}; false when it was none. EBUSY while something is mounted below. */
  unshareDirectory(path: string): boolean;

  /** Whole text of a small kernel file as the calling thread sees it (so /proc/sys/net is the thread's own netns). */
  readKernelFile(path: string): string;

  /** Writes a value to a kernel file, such as a sysctl below /proc/sys, in one write. */
  writeKernelFile(path: string, value: string): void;
}

/** The thread could not return to its own namespace; whatever it does next would happen in the wrong one. */
export class StrandedError extends Error {
  override readonly name = "StrandedError";
}
