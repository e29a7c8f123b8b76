/** The end of a monitor and its directory. */

import type { StreamsContext } from "./context.ts";
import { exists, monitorDir } from "./directories.ts";
import { parseExitFile, removeMonitorDir } from "./monitor.ts";
import { tryReadText } from "./proc.ts";
import { releaseTerminal, writeLine } from "./terminal.ts";

/** How long a killed container may take until its monitor has reported. */
export const DELETE_GRACE_MS = 10_000;

/** Lets the monitor, and whoever holds a terminal or a standard input, go, and removes the directory. */
export function cleanUp(context: StreamsContext, id: string): void {
  const dir = monitorDir(context.baseDir, id);
  if (!exists(dir)) return;
  releaseTerminal(context, dir);
  writeLine(context, `${dir}/inctl`);
  writeLine(context, `${dir}/ack`);
  removeMonitorDir(context.files, dir);
}

/** For a monitor that nobody adopted: waits until it has written the exit, since before it does not read the line. */
export async function cleanUpWhenEnded(context: StreamsContext, id: string): Promise<void> {
  const dir = monitorDir(context.baseDir, id);
  for (let waited = 0; waited < DELETE_GRACE_MS && exists(dir); waited += 5) {
    if (parseExitFile(tryReadText(`${dir}/exit`) ?? "") !== undefined) break;
    // Without a reader of `ack` there is no monitor to wait for.
    if (!writeLine(context, `${dir}/ack`)) break;
    await new Promise((r) => setTimeout(r, 5));
  }
  cleanUp(context, id);
}
