/** What the host's reboot makes untrue: the runtime's records of processes whose pids may be somebody else's by now. */

import { directory, tryReadText } from "./proc.ts";

const BOOT_ID = "/proc/sys/kernel/random/boot_id";

/**
 * Forgets the runtime's state of containers of an earlier boot, so that none of their pids is taken for theirs, nor signalled.
 * What their monitors wrote down, exit codes above all, is kept.
 *
 * @param bootId of this boot; the kernel's own by default
 * @returns how many containers' state there was
 */
export function forgetEarlierBoot(
  { baseDir, crunRoot }: { baseDir: string; crunRoot: string },
  bootId: string = tryReadText(BOOT_ID)?.trim() ?? "",
): number {
  const path = `${baseDir}/run/boot-id`;
  const before = tryReadText(path)?.trim();
  if (before === bootId) return 0;
  const known = before === undefined ? [] : directory(crunRoot);
  for (const { name } of known) Deno.removeSync(`${crunRoot}/${name}`, { recursive: true });
  // Last, so that a crash in between begins again.
  Deno.writeTextFileSync(path, `${bootId}\n`, { mode: 0o600 });
  return known.length;
}
