/** Settings held against what this process may touch: Deno fixes permissions before a program starts, in a compiled one for good. */

import type { DaemonConfig } from "./config.ts";
import { NyxError } from "./spec/errors.ts";

type Wanted = [flag: string, value: string, what: string, descriptor: Deno.PermissionDescriptor];

/** Flags that `deno task compile` takes as well, to permit what they name. */
const COMPILED = ["--base-dir", "--socket", "--crun", "--resolv-conf", "--init-path"];

function remedy(flag: string, value: string): string {
  const nyxd = "the nyxd that `deno task install` and the Debian package put on PATH takes any";
  if (Deno.build.standalone && !COMPILED.includes(flag)) return `no compiled nyxd is; use another: ${nyxd}`;
  return Deno.build.standalone
    ? `this binary's permissions were fixed when it was compiled; compile one with \`deno task compile ${flag}=${value}\`, or use ${nyxd}`
    : `Deno's permissions were fixed when it started; ${nyxd}`;
}

/** The CNI driver's directories; which plugins may be run is seen when one is. */
function wantedByPlugins({ netDriver, cniConfDir, cniBinDir }: DaemonConfig): Wanted[] {
  if (netDriver !== "cni") return [];
  return [
    ["--cni-conf-dir", cniConfDir, "read it", { name: "read", path: cniConfDir }],
    ["--cni-bin-dir", cniBinDir, "read it", { name: "read", path: cniBinDir }],
  ];
}

/**
 * Checks every path that a setting can move.
 *
 * @throws NyxError permission_denied naming the flag, its value, what is not permitted, and the way out
 */
export function checkGrants(config: DaemonConfig): void {
  const socketDir = config.socket.slice(0, config.socket.lastIndexOf("/")) || "/";
  const wanted: Wanted[] = [
    ["--base-dir", config.baseDir, "read it", { name: "read", path: config.baseDir }],
    ["--base-dir", config.baseDir, "write to it", { name: "write", path: config.baseDir }],
    ["--socket", config.socket, "read its directory", { name: "read", path: socketDir }],
    ["--socket", config.socket, "write to its directory", { name: "write", path: socketDir }],
    ["--crun", config.crun, "run it", { name: "run", command: config.crun }],
    ["--resolv-conf", config.resolvConf, "read it", { name: "read", path: config.resolvConf }],
    ...wantedByPlugins(config),
  ];
  if (config.initPath !== undefined) {
    wanted.push(["--init-path", config.initPath, "read it", { name: "read", path: config.initPath }]);
  }
  for (const [flag, value, what, descriptor] of wanted) {
    if (Deno.permissions.querySync(descriptor).state === "granted") continue;
    throw new NyxError(
      "permission_denied",
      `Could not use ${flag} ${JSON.stringify(value)}: nyxd is not permitted to ${what}; ${remedy(flag, value)}`,
    );
  }
}
