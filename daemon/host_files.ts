/** What the daemon reads of the host's files: its name, groups, and an init binary. */

import { NyxError } from "./spec/errors.ts";

/** Where Debian's packages put init binaries made for containers, best first. */
const INIT_PATHS = ["/usr/bin/catatonit", "/usr/libexec/podman/catatonit", "/usr/bin/tini-static", "/usr/bin/tini"];

/**
 * The init binary for `--init`; undefined when the host has none.
 *
 * @param wanted path that a setting names
 * @throws NyxError invalid_argument when the path named is no file
 */
export async function findInit(wanted: string | undefined): Promise<string | undefined> {
  for (const path of wanted === undefined ? INIT_PATHS : [wanted]) {
    const info = await Deno.stat(path).catch(() => undefined);
    if (info?.isFile === true) return path;
  }
  if (wanted === undefined) return undefined;
  throw new NyxError("invalid_argument", `Could not use --init-path ${wanted}: there is no such file`);
}

/** gid of a group given by name or number. */
export async function groupId(group: string): Promise<number> {
  if (/^\d+$/.test(group)) return Number(group);
  const line = (await Deno.readTextFile("/etc/group")).split("\n").find((l) => l.split(":")[0] === group);
  const gid = line?.split(":")[2];
  if (gid !== undefined) return Number(gid);
  throw new NyxError(
    "invalid_argument",
    `Could not use --socket-group ${group}: there is no such group; make it with groupadd --system ${group}`,
  );
}

/** The host's name as configured. */
export async function hostname(): Promise<string> {
  const text = await Deno.readTextFile("/etc/hostname").catch(() => "");
  return text.trim() || "localhost";
}
