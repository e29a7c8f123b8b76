/** What a dead worker, or a dead nyxd, left: open descriptors that no thread closes, and execs that nobody listens to. */

import { isErrno } from "../../ffi/errno.ts";
import type { FileKernel } from "../../ffi/file.ts";
import type { ProcessKernel } from "../../ffi/process.ts";
import { removeFile } from "./monitor.ts";
import { directory, tryReadLink, tryReadText } from "./proc.ts";
import { processTree } from "./signals.ts";

const SIGKILL = 9;

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

/**
 * Ends execs whose client and whose pipes went with an earlier nyxd, and removes their files. A detached one has none left
 * and goes on.
 *
 * @returns how many files there were
 */
export function endStaleExecs(kernel: FileKernel & ProcessKernel, baseDir: string): number {
  const dir = `${baseDir}/run/exec`;
  const left = [...directory(dir)].map((e) => e.name);
  if (left.length === 0) return 0;
  for (const { name } of directory("/proc")) {
    const command = /^[1-9]\d*$/.test(name) ? tryReadText(`/proc/${name}/cmdline`) ?? "" : "";
    if (!command.includes(`\0--process=${dir}/`)) continue;
    for (const pid of processTree(Number(name))) {
      try {
        kernel.kill(pid, SIGKILL);
      } catch (e) {
        if (!isErrno(e, "ESRCH")) throw e;
      }
    }
  }
  for (const name of left) removeFile(kernel, `${dir}/${name}`);
  return left.length;
}
