/** Where this stage keeps its files below the base directory. */

import { AT_FDCWD } from "../../ffi/file.ts";
import { isErrno } from "../../ffi/errno.ts";
import type { StreamsContext } from "./context.ts";

/** Directory of a container's monitor. */
export function monitorDir(baseDir: string, id: string): string {
  return `${baseDir}/run/monitor/${id}`;
}

/** Directories below the base directory that the stage needs; made when missing, closed to others. */
export function ensureStreamDirs(context: Pick<StreamsContext, "files" | "baseDir">): void {
  for (const dir of ["run", "run/monitor", "run/exec", "run/console", "logs"]) {
    try {
      context.files.mkdirat(AT_FDCWD, `${context.baseDir}/${dir}`, 0o700);
    } catch (e) {
      if (!isErrno(e, "EEXIST")) throw e;
    }
  }
}

/** Whether there is anything at a path. */
export function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (e) {
    if (e instanceof Deno.errors.NotFound) return false;
    throw e;
  }
}
