/** Which network backend a daemon has, and that containers of the other one are never left behind. */

import type { DaemonConfig } from "./config.ts";
import type { ContainerRecord } from "./persist/record.ts";
import { writeFileAtomic } from "./persist/atomic.ts";
import { NyxError } from "./spec/errors.ts";
import { networkIds } from "./supervisor/recover.ts";
import { networkMode, ownsNetwork } from "./supervisor/launch.ts";
import type { Stages } from "./supervisor/deps.ts";
import type { Workers } from "./workers.ts";
import { type CniPlaces, pluginsIn } from "../workers/cni/permissions.ts";

/** Plugins that this process may run: those that were there when its permissions were fixed. */
function places({ cniConfDir: confDir, cniBinDir: binDir }: DaemonConfig): CniPlaces {
  for (const path of [confDir, binDir]) {
    if (Deno.permissions.querySync({ name: "read", path }).state === "granted") continue;
    throw new NyxError(
      "permission_denied",
      `Could not use CNI: nyxd is not permitted to read ${path}. Deno's permissions were fixed when it started; the nyxd that ` +
        "`deno task install` puts on PATH asks for what --net-driver cni needs",
    );
  }
  const found = pluginsIn(binDir);
  const plugins = found.filter((command) => Deno.permissions.querySync({ name: "run", command }).state === "granted");
  if (plugins.length > 0) return { confDir, binDir, plugins };
  const why = found.length === 0
    ? "it has no plugins; install them (Debian: containernetworking-plugins), or name their directory with --cni-bin-dir"
    : "nyxd is not permitted to run its plugins; start the nyxd that `deno task install` puts on PATH";
  throw new NyxError("failed_precondition", `Could not use CNI plugins of ${binDir}: ${why}`);
}

/** Starts the worker of the backend that a setting names. */
export function networkWorker(config: DaemonConfig, workers: Workers): Stages["network"] {
  return config.netDriver === "cni" ? workers.cni(places(config)) : workers.network();
}

async function lastDriver(path: string): Promise<DaemonConfig["netDriver"] | undefined> {
  try {
    return (await Deno.readTextFile(path)).trim() === "cni" ? "cni" : "native";
  } catch (e) {
    if (e instanceof Deno.errors.NotFound) return undefined;
    throw e;
  }
}

async function hasEntries(dir: string): Promise<boolean> {
  try {
    for await (const { name } of Deno.readDir(dir)) if (!name.includes(".damaged-")) return true;
    return false;
  } catch (e) {
    if (e instanceof Deno.errors.NotFound) return false;
    throw e;
  }
}

/**
 * Refuses to change the backend while it has containers: neither can take down, or find again, what the other made.
 *
 * @param records containers of an earlier run
 * @throws NyxError failed_precondition that names them
 */
export async function checkDriver(config: DaemonConfig, records: readonly ContainerRecord[]): Promise<void> {
  const { baseDir, netDriver } = config;
  const path = `${baseDir}/network/driver`;
  const before = await lastDriver(path) ?? "native";
  if (before === netDriver) return;
  const { live } = networkIds([...records]);
  const users = records.filter((r) => live.includes(r.id) && ownsNetwork(networkMode(r))).map((r) => r.name);
  const back = `start nyxd with --net-driver ${before}`;
  if (users.length > 0) {
    throw new NyxError(
      "failed_precondition",
      `Could not start with --net-driver ${netDriver}: ${users.join(", ")} ${
        users.length === 1 ? "runs" : "run"
      } on networks ` +
        `of the ${before} driver; ${back}, stop ${users.length === 1 ? "it" : "them"}, and start nyxd anew`,
    );
  }
  if (before === "cni" && await hasEntries(`${baseDir}/network/cni/results`)) {
    throw new NyxError(
      "failed_precondition",
      `Could not start with --net-driver ${netDriver}: containers are still attached by CNI plugins, which alone can detach ` +
        `them (${baseDir}/network/cni/results); ${back} once, and stop it`,
    );
  }
  await writeFileAtomic(path, `${netDriver}\n`);
}
