/** Descriptors that a dead worker of this same process left open: nothing closes them with its thread. */

import type { FileKernel } from "../../ffi/file.ts";
import { directory, tryReadLink } from "./proc.ts";

/**
 * Closes this process's descriptors on files of monitors and logs below `baseDir`. Only for a worker that has just begun and has opened
 * none itself: a write end of a container's stdin, forgotten, would keep it from ever reading end of file.
 *
 * @returns how many there were
 */
export function closeStale(files: Pick<FileKernel, "close">, baseDir: string): number {
  const base = Deno.realPathSync(baseDir);
  const ours = [`${base}/run/monitor/`, `${base}/logs/`];
  let closed = 0;
  for (const { name } of directory("/proc/self/fd")) {
    const target = tryReadLink(`/proc/self/fd/${name}`) ?? "";
    if (!ours.some((prefix) => target.startsWith(prefix))) continue;
    files.close(Number(name));
    closed++;
  }
  return closed;
}
