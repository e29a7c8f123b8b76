/** Keeps the cache of guests' disks from growing: what code or packages of the past made goes, but for the newest of it. */

import { CACHE_DIR } from "../support/debian_root.ts";

/** What was used so lately stays: a guest of somebody else may start from it again. */
const IN_USE_MS = 3 * 3600_000;

/** Notes that `current` is used, and removes what was cached under names `prefix-HEX`, but for the `keep` last used and those of late. */
export function pruneCache(prefix: string, current: string, keep: number): void {
  const now = new Date();
  Deno.utimeSync(`${CACHE_DIR}/${current}.json`, now, now);
  const record = new RegExp(`^(${prefix}-[0-9a-f]+)\\.json$`);
  const names = [...Deno.readDirSync(CACHE_DIR)].flatMap((e) => record.exec(e.name)?.[1] ?? []);
  const age = (name: string) => Deno.statSync(`${CACHE_DIR}/${name}.json`).mtime?.getTime() ?? 0;
  const old = names.filter((n) => n !== current).sort((a, b) => age(b) - age(a)).slice(keep)
    .filter((n) => now.getTime() - age(n) > IN_USE_MS);
  for (
    const path of old.flatMap((n) => [".json", ".lock", ".ext4", ""].map((suffix) => `${CACHE_DIR}/${n}${suffix}`))
  ) {
    try {
      Deno.removeSync(path, { recursive: true });
    } catch (e) {
      if (!(e instanceof Deno.errors.NotFound)) throw e;
    }
  }
}
