/**
 * The kernel as nyx sees it: one interface, assembled from areas, with one Linux implementation.
 *
 * Each area's file states the contract of every call. Calls are synchronous and run on the calling thread (which matters for
 * namespaces) unless their name ends in `Async`. Every failure is a SyscallError. Nothing here knows what a container is.
 */

import type { FileKernel } from "./file.ts";
import type { MountKernel } from "./mount.ts";
import type { NamespaceKernel } from "./namespace.ts";
import type { ProcessKernel } from "./process.ts";
import type { SocketKernel } from "./socket.ts";
import type { PollKernel } from "./poll.ts";
import type { TtyKernel } from "./tty.ts";

/** All areas together. Code should ask for the smallest area it needs. */
export interface Kernel
  extends FileKernel, MountKernel, NamespaceKernel, ProcessKernel, SocketKernel, PollKernel, TtyKernel {}
