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
 * Has `bind` make the socket where nobody else can reach it, sets owner and mode, and moves it into place; returns the inode.
 *
 * Connecting needs write permission on the socket and search permission on its directory (unix(7)). The socket is born in a
 * directory for this process alone, so that no umask, whatever it is, leaves a moment in which others can connect.
 *
 * @param gid group that may connect; missing leaves the owner's
 * @param bind listens on the path it is given
 */
export function bindGuarded(path: string, gid: number | undefined, bind: (at: string) => void): number | null {
  const slash = path.lastIndexOf("/");
  const nursery = Deno.makeTempDirSync({ dir: path.slice(0, slash) || "/", prefix: ".nyxd-" });
  const at = `${nursery}/s`;
  try {
    bind(at);
    if (gid !== undefined) Deno.chownSync(at, null, gid);
    Deno.chmodSync(at, MODE);
    const { ino } = Deno.lstatSync(at);
    Deno.renameSync(at, path);
    return ino;
  } finally {
    Deno.removeSync(nursery, { recursive: true });
  }
}
