/** The unix socket's life: who may connect, and what to do about one that is there already. */

import { NyxError } from "../spec/errors.ts";

/** Mode of the socket: its owner and its group may connect. */
const MODE = 0o660;

function statOf(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (e) {
    if (e instanceof Deno.errors.NotFound) return undefined;
    throw e;
  }
}

/**
 * Makes the way free: removes a socket that nobody listens on.
 *
 * @throws NyxError failed_precondition when a daemon answers on it, or when it is no socket
 */
export async function clearStaleSocket(path: string): Promise<void> {
  const found = statOf(path);
  if (found === undefined) return;
  if (found.isSocket !== true) {
    throw new NyxError("failed_precondition", `Cannot listen on ${path}: it is a file of another kind; move it away`, {
      context: { path },
    });
  }
  try {
    (await Deno.connect({ transport: "unix", path })).close();
  } catch (e) {
    if (!(e instanceof Deno.errors.ConnectionRefused) && !(e instanceof Deno.errors.NotFound)) throw e;
    removeSocket(path, found.ino);
    return;
  }
  throw new NyxError(
    "failed_precondition",
    `Cannot listen on ${path}: another daemon answers there; stop it, or choose another --socket`,
    { context: { path } },
  );
}

/** Removes the socket unless another took its place. */
export function removeSocket(path: string, inode: number | null): void {
  if (statOf(path)?.ino !== inode) return;
  try {
    Deno.removeSync(path);
  } catch (e) {
    if (!(e instanceof Deno.errors.NotFound)) throw e;
  }
}

/**
 * Runs `bind`, which makes the socket, so that at no moment others than owner and group can connect; returns the inode.
 *
 * Connecting needs write permission on the socket (unix(7)). A umask of 022 takes that from all but the owner until the mode is set, and
 * as daemons have that umask anyway, no other thread sees it change.
 *
 * @param gid group that may connect; missing leaves the owner's
 */
export function bindGuarded(path: string, gid: number | undefined, bind: () => void): number | null {
  const before = Deno.umask(0o022);
  try {
    bind();
  } finally {
    if (before !== 0o022) Deno.umask(before);
  }
  if (gid !== undefined) Deno.chownSync(path, null, gid);
  Deno.chmodSync(path, MODE);
  return Deno.lstatSync(path).ino;
}
