/** Threads that answer in moments get short turns, so that on a busy host they need not wait for those who compute. */

import type { PriorityKernel } from "./priority.ts";

/** The shortest that the kernel grants. */
const SLICE_NS = 100_000;

/**
 * Gives a thread short turns. What it starts, containers among it, has the usual ones. A kernel that does not know it, or a host
 * that forbids it, changes nothing.
 *
 * @param kernel calls
 * @param tid thread; 0 is the calling one, the process's id the main one
 * @param onFailure told why it could not be done
 */
export function takeShortTurns(
  kernel: Pick<PriorityKernel, "setSlice">,
  tid: number,
  onFailure: (error: unknown) => void,
): void {
  try {
    kernel.setSlice(tid, SLICE_NS);
  } catch (e) {
    onFailure(e);
  }
}
