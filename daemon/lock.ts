/** One daemon per base directory. */

import { NyxError } from "./spec/errors.ts";

/** Whose directory it is decides who reaches everything below it, whatever its mode. */
async function checkOwner(baseDir: string): Promise<void> {
  const { uid } = await Deno.stat(baseDir);
  if (uid === null || uid === 0) return;
  throw new NyxError(
    "failed_precondition",
    `Could not start nyxd on ${baseDir}: the directory belongs to user ${uid}, who could read and change every container; ` +
      `give it to root (chown -R root:root ${baseDir}) once you trust what is in it, or choose another --base-dir`,
    { context: { baseDir, uid } },
  );
}

/**
 * Takes the lock of a base directory (flock(2) on run/nyxd-daemon.lock) and writes the pid into it. The lock goes with the
 * process, whatever ends it.
 *
 * @throws NyxError failed_precondition when another daemon holds it, naming its pid, or when the directory is another user's
 */
export async function lockBaseDir(baseDir: string): Promise<Disposable> {
  await checkOwner(baseDir);
  const path = `${baseDir}/run/nyxd-daemon.lock`;
  const file = await Deno.open(path, { read: true, write: true, create: true, mode: 0o600 });
  if (!await file.tryLock(true)) {
    const holder = (await Deno.readTextFile(path).catch(() => "")).trim();
    file.close();
    throw new NyxError(
      "failed_precondition",
      `Could not start nyxd on ${baseDir}: another nyxd${
        holder === "" ? "" : ` (pid ${holder})`
      } uses it; stop that one or choose another --base-dir`,
    );
  }
  await file.truncate();
  await file.write(new TextEncoder().encode(`${Deno.pid}\n`));
  let held = true;
  return {
    [Symbol.dispose]: () => {
      if (held) file.close();
      held = false;
    },
  };
}
