/**
 * Entry of nyxd: reads the command line, starts the daemon, and stops it on a signal.
 *
 * SIGTERM and SIGINT stop the daemon and leave containers running, unless --stop-containers-on-exit; a second one ends at
 * once, which is safe as well. Exit codes: 0 stopped, 1 could not start, 2 bad command line.
 *
 * @module
 */

import { helpText, parseArgs } from "./config.ts";
import { type Daemon, startDaemon } from "./daemon.ts";
import { checkGrants } from "./grants.ts";
import { Logger } from "./log/logger.ts";
import { notify } from "./notify.ts";
import { toErrorData, toNyxError } from "./spec/errors.ts";
import { versionText } from "./spec/version.ts";

function readEnv(name: string): string | undefined {
  return Deno.env.get(name);
}

async function main(): Promise<number> {
  let invocation;
  try {
    invocation = parseArgs(Deno.args, readEnv);
  } catch (e) {
    console.error(`nyxd: ${toNyxError(e).message}`);
    return 2;
  }
  if ("print" in invocation) {
    console.log(invocation.print === "version" ? `nyxd ${versionText()}` : helpText());
    return 0;
  }
  const config = invocation.run;
  const log = new Logger(config.logLevel);
  globalThis.addEventListener("unhandledrejection", (e) => {
    e.preventDefault();
    log.error("Unhandled rejection", { error: toErrorData(e.reason) });
  });
  const stopped = Promise.withResolvers<number>();
  const notifySocket = readEnv("NOTIFY_SOCKET");
  let daemon: Daemon;
  try {
    checkGrants(config);
    daemon = await startDaemon(config, log, () => stopped.resolve(0));
  } catch (e) {
    const { message, ...details } = toErrorData(e);
    log.error("nyxd could not start", { error: { message, ...details } });
    console.error(`nyxd: ${message}`);
    return 1;
  }
  let signals = 0;
  const onSignal = (name: string) => {
    if (++signals > 1) return stopped.resolve(0);
    log.info("nyxd stops", { signal: name, containers: config.stopContainersOnExit ? "stopped" : "left running" });
    void notify("STOPPING=1", notifySocket).catch(() => {});
    daemon.stop({ stopContainers: config.stopContainersOnExit }).then(() => stopped.resolve(0), (error) => {
      log.error("nyxd did not stop cleanly", { error });
      stopped.resolve(1);
    });
  };
  for (const name of ["SIGTERM", "SIGINT"] as const) Deno.addSignalListener(name, () => onSignal(name));
  Deno.addSignalListener("SIGHUP", () => log.info("SIGHUP: nyxd has no configuration to read again"));
  await notify("READY=1", notifySocket).catch((error) =>
    log.warn("systemd was not told that nyxd is ready", { error })
  );
  return await stopped.promise;
}

if (import.meta.main) Deno.exit(await main());
