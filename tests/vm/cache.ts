/** Keeps the cache of guests' disks from growing: what code or packages of the past made goes, but for the newest of it. */

import { CACHE_DIR } from "../support/debian_root.ts";

/** Removes what was cached under names `prefix-HEX`, except `current` and the `keep` newest others. Who has a file open keeps it. */
export function pruneCache(prefix: string, current: string, keep: number): void {
  const record = new RegExp(`^(${prefix}-[0-9a-f]+)\\.json$`);
  const names = [...Deno.readDirSync(CACHE_DIR)].flatMap((e) => record.exec(e.name)?.[1] ?? []);
  const age = (name: string) => Deno.statSync(`${CACHE_DIR}/${name}.json`).mtime?.getTime() ?? 0;
  const old = names.filter((n) => n !== current).sort((a, b) => age(b) - age(a)).slice(keep);
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
