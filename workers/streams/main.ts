/** Entry of the streams worker (D07 launch, D11 logs): one epoll loop for all stdio, terminals and exits. */

import { linuxFile } from "../../ffi/linux/file.ts";
import { linuxMount } from "../../ffi/linux/mount.ts";
import { linuxNamespace } from "../../ffi/linux/namespace.ts";
import { linuxPoll } from "../../ffi/linux/poll.ts";
import { linuxPriority } from "../../ffi/linux/priority.ts";
import { linuxProcess } from "../../ffi/linux/process.ts";
import { linuxTty } from "../../ffi/linux/tty.ts";
import { NyxError, toErrorData } from "../../daemon/spec/errors.ts";
import { emitter, type Handlers, serve } from "../serve.ts";
import { takeShortTurns } from "../../ffi/short_turns.ts";
import type { StreamsStage } from "../protocol.ts";
import type { StreamsContext } from "./context.ts";
import { forgetEarlierBoot } from "./boot.ts";
import { Crun } from "./crun.ts";
import { hideUnifiedHierarchy } from "./hybrid.ts";
import { DEFAULT_LOG_POLICY } from "./log_file.ts";
import { PollLoop } from "./loop.ts";
import { Scratch } from "./staging.ts";
import { closeStale, endStaleExecs } from "./stale.ts";
import { ensureStreamDirs } from "./directories.ts";
import { refuseChroot } from "./chroot.ts";
import { Streams } from "./stage.ts";
import { DirectoryWatcher } from "./watcher.ts";

type Init = StreamsStage["ops"]["init"];
type Ops = Omit<Handlers<StreamsStage>, "init">;

const emit = emitter<StreamsStage>();
// The main thread, which answers names and the API, has no FFI of its own.
takeShortTurns(
  linuxPriority(),
  Deno.pid,
  (error) => emit.log("debug", "No short turns for the main thread", { error: String(error) }),
);
let ready: Promise<Init["result"]> | undefined;
let ops: Ops | undefined;

async function init(request: Init["request"]): Promise<Init["result"]> {
  const { baseDir, crunPath, crunRoot, cgroup, logDefaults } = request;
  const files = linuxFile();
  const poll = linuxPoll();
  const process = linuxProcess();
  ensureStreamDirs({ files, baseDir });
  const earlier = forgetEarlierBoot({ baseDir, crunRoot });
  if (earlier > 0) emit.log("info", "The host was rebooted while containers ran", { containers: earlier });
  const stale = closeStale(files, baseDir);
  if (stale > 0) emit.log("warn", "Closed descriptors of a streams worker that died", { stale });
  const execs = endStaleExecs({ ...files, ...process }, baseDir);
  if (execs > 0) emit.log("warn", "Ended execs that an earlier nyxd had under way", { files: execs });
  // Synchronous, before anything of this worker may have started a pool thread inside.
  const namespace = linuxNamespace();
  refuseChroot({
    unshare: (flags) => namespace.unshare(flags),
    setns: (fd, type) => namespace.setns(fd, type),
    openNamespace: (path) => namespace.openNamespace(path),
    closeNamespace: (fd) => namespace.closeNamespace(fd),
    openat: (...args) => files.openat(...args),
    close: (fd) => files.close(fd),
    readlinkat: (...args) => files.readlinkat(...args),
  });
  if (cgroup === "hybrid") {
    const mount = linuxMount();
    hideUnifiedHierarchy({
      unshare: (flags) => namespace.unshare(flags),
      mount: (...args) => mount.mount(...args),
      umount2: (...args) => mount.umount2(...args),
    });
  }
  const report = (e: unknown) => emit.log("error", "Error in the streams loop", { error: toErrorData(e) });
  const loop = new PollLoop(poll, files, report);
  const crun = new Crun(crunPath, crunRoot);
  const context: StreamsContext = {
    files,
    poll,
    process,
    tty: linuxTty(),
    loop,
    scratch: new Scratch(files, process),
    watcher: new DirectoryWatcher(poll, files, loop, report),
    crun,
    baseDir,
    cgroup,
    logDefaults: { ...DEFAULT_LOG_POLICY, ...logDefaults },
    event: (event) => emit.event(event),
    log: (level, msg, fields) => emit.log(level, msg, fields),
    report: (e, id) => emit.log("error", "Could not handle a container's output", { id, error: toErrorData(e) }),
  };
  ops = new Streams(context).ops;
  void loop.run().catch(report);
  return { crunVersion: await crun.version() };
}

/** The operation once init has happened. */
function after<K extends keyof Ops>(name: K): Ops[K] {
  const run = (payload: never, ctx: never): unknown => {
    if (ops === undefined) {
      throw new NyxError("unavailable", `Could not run streams.${name}: the worker was not initialised yet`, {
        retryable: true,
      });
    }
    return (ops[name] as (payload: never, ctx: never) => unknown)(payload, ctx);
  };
  return run as Ops[K];
}

serve<StreamsStage>("streams", {
  init: (request) => ready ??= init(request),
  launch: after("launch"),
  adopt: after("adopt"),
  attach: after("attach"),
  stdin: after("stdin"),
  closeStdin: after("closeStdin"),
  resize: after("resize"),
  kill: after("kill"),
  pause: after("pause"),
  resume: after("resume"),
  update: after("update"),
  delete: after("delete"),
  acknowledge: after("acknowledge"),
  exec: after("exec"),
  logs: after("logs"),
  removeLog: after("removeLog"),
  processes: after("processes"),
  usage: after("usage"),
  list: after("list"),
  cgroups: after("cgroups"),
  removeCgroups: after("removeCgroups"),
  shutdown: after("shutdown"),
});
