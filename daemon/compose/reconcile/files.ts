/**
 * Contents of configs and secrets as files that containers mount. They lie below a directory that root alone can enter, under names
 * that their content decides, with the owner and mode that the service asks for inside. They are on disk, not on a tmpfs: a
 * container that the daemon starts after a reboot needs its secrets while nobody is there to send them again.
 */

import { writeFileAtomic } from "../../persist/atomic.ts";
import type { ServiceFile } from "../service_files.ts";

/** Lays out the files of a container; those that are there are right, since their name is their digest. */
export async function layOut(files: readonly ServiceFile[]): Promise<void> {
  for (const { hostPath, content, uid, gid, mode } of files) {
    if (await exists(hostPath)) continue;
    await Deno.mkdir(hostPath.slice(0, hostPath.lastIndexOf("/")), { recursive: true, mode: 0o700 });
    const temporary = `${hostPath}.${crypto.randomUUID().slice(0, 8)}`;
    try {
      await writeFileAtomic(temporary, content);
      await Deno.chown(temporary, uid, gid);
      await Deno.chmod(temporary, mode);
      await Deno.rename(temporary, hostPath);
    } catch (e) {
      await Deno.remove(temporary).catch(() => {});
      throw e;
    }
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (e) {
    if (e instanceof Deno.errors.NotFound) return false;
    throw e;
  }
}

/** Removes files that no container mounts. */
export async function removeUnused(filesDir: string, used: ReadonlySet<string>): Promise<void> {
  for (const kind of ["configs", "secrets"]) {
    const dir = `${filesDir}/${kind}`;
    let names: string[];
    try {
      names = [...Deno.readDirSync(dir)].map((entry) => entry.name);
    } catch (e) {
      if (e instanceof Deno.errors.NotFound) continue;
      throw e;
    }
    for (const name of names) if (!used.has(`${dir}/${name}`)) await Deno.remove(`${dir}/${name}`);
  }
}
