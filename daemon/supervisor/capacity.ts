/** How many containers nyxd can look after with the file descriptors it may open. */

import { NyxError } from "../spec/errors.ts";

/** Kept for the daemon itself, for starts under way, and for taking down what fails. */
const RESERVED = 200;
/** Standard streams, their stages, log, pid, monitor: what each running container holds open. */
const PER_CONTAINER = 9;

/** Most running containers under a limit of open files; -1 is unlimited. */
export function mostContainers(descriptors: number): number {
  if (descriptors < 0) return Infinity;
  return Math.max(1, Math.floor((descriptors - RESERVED) / PER_CONTAINER));
}

/**
 * Refuses one more before the limit is met: at the limit itself nothing works, not even to clean up.
 *
 * @param descriptors soft limit of open files; undefined when it is not known
 * @param running containers that run or are starting, without the new one
 * @throws NyxError resource_exhausted
 */
export function demandRoom(descriptors: number | undefined, running: number): void {
  if (descriptors === undefined) return;
  const most = mostContainers(descriptors);
  if (running < most) return;
  throw new NyxError(
    "resource_exhausted",
    `nyxd may have ${descriptors} file descriptors, which is enough for ${most} running containers, and as many run; ` +
      "raise its limit (LimitNOFILE of its service, or ulimit -n) and restart nyxd",
    { context: { descriptors, running } },
  );
}
