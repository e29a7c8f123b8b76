/**
 * Puts the daemon together and takes it down: directories, lock, workers, recovery, API; and the same in reverse.
 *
 * The order matters: mount points are made shared before the streams worker takes a mount namespace of its own; the network
 * is told which containers live before any is adopted; the API answers when every container's state is true.
 */

import { hasDependencies, startInOrder } from "./compose/reconcile/boot.ts";
import type { DaemonConfig } from "./config.ts";
import { type ControlServer, serveControl } from "./control/server.ts";
import { groupId } from "./host_files.ts";
import { lockBaseDir } from "./lock.ts";
import type { Logger } from "./log/logger.ts";
import { assemble, type Parts, SHARED_DIRS } from "./parts.ts";
import { recover, startAtBoot } from "./supervisor/recover.ts";
import { budgetOf, LogBudget } from "./system/log_budget.ts";
import { LoopDelay } from "./system/loop_delay.ts";
import { System } from "./system/system.ts";
import { Telemetry } from "./telemetry/telemetry.ts";
import { VERSION } from "./spec/version.ts";
import { type WorkerEvents, Workers } from "./workers.ts";

/** Directories below the base directory, all for root alone. */
const DIRECTORIES = ["run", "images", "layers", "overlay", "bundles", "supervisor", "logs", "volumes", "network"];

async function makeDirectories(config: DaemonConfig): Promise<void> {
  await Deno.mkdir(config.baseDir, { recursive: true, mode: 0o700 });
  await Deno.chmod(config.baseDir, 0o700);
  for (const dir of DIRECTORIES) await Deno.mkdir(`${config.baseDir}/${dir}`, { recursive: true, mode: 0o700 });
  await Deno.mkdir(config.socket.slice(0, config.socket.lastIndexOf("/")) || "/", { recursive: true, mode: 0o755 });
}

/** A running daemon. */
export class Daemon {
  readonly #config: DaemonConfig;
  readonly #log: Logger;
  readonly #workers: Workers;
  readonly #lock: Disposable;
  readonly #parts: Parts;
  readonly #telemetry: Telemetry | undefined;
  readonly #delay = new LoopDelay();
  #logBudget: LogBudget | undefined;
  #control: ControlServer | undefined;
  /** Aborted when the daemon stops. */
  readonly #ending = new AbortController();
  #boot: Promise<void> = Promise.resolve();
  #stopping: Promise<void> | undefined;

  /**
   * @param config its settings
   * @param log its log
   * @param held what it holds: workers, lock, parts
   */
  constructor(
    config: DaemonConfig,
    log: Logger,
    held: { workers: Workers; lock: Disposable; parts: Parts; telemetry?: Telemetry },
  ) {
    this.#config = config;
    this.#log = log;
    this.#workers = held.workers;
    this.#lock = held.lock;
    this.#parts = held.parts;
    this.#telemetry = held.telemetry;
  }

  /**
   * Takes in the containers of an earlier run, then answers.
   *
   * @param exit called after the daemon has stopped because the API asked it to
   */
  async open(exit: () => void): Promise<void> {
    const { supervisor, deps, images, volumes, networks, compose, engine, builder } = this.#parts;
    const { events, host, addresses, crunVersion, warnings } = this.#parts;
    for (const warning of warnings) this.#log.warn(warning);
    const { recovery, now, later } = await recover(supervisor, deps, (c) => hasDependencies(c.record.spec.labels));
    if (Object.values(recovery).some((n) => n > 0)) {
      this.#log.info("Containers of an earlier run were taken in", { ...recovery });
    }
    // Which layers a container without a readable record uses, nobody knows.
    const collected = deps.store.unreadable.size > 0 ? undefined : images.collectGarbage();
    await Promise.all([collected, builder.recover()]);
    this.#delay.start();
    const logBudget = await this.#watchLogs();
    const system = new System({
      config: this.#config,
      host,
      addresses,
      crunVersion,
      supervisor,
      supervision: deps,
      stages: deps.stages,
      images,
      volumes,
      builder,
      events,
      delay: this.#delay,
      logBudget,
      dns: this.#parts.dns,
      warnings,
      stop: () => void this.stop({ stopContainers: false }).then(exit),
    });
    const { socket, socketGroup } = this.#config;
    const telemetry = this.#telemetry;
    telemetry?.observe(() => system.families());
    this.#control = await serveControl({
      socketPath: socket,
      ...(socketGroup === undefined ? {} : { socketGid: await groupId(socketGroup) }),
      services: { images, containers: supervisor, volumes, networks, compose, build: builder, system },
      log: this.#log,
      ...(telemetry === undefined ? {} : { telemetry }),
    });
    events.emit("daemon", "start", socket);
    // Starting may take its time, most of all what waits for others: the API answers meanwhile.
    const { signal } = this.#ending;
    this.#boot = startAtBoot(now, { deps, signal })
      .then(() => startInOrder(engine, later, { signal, log: this.#log }));
  }

  /** Begins to hold all logs to their budget. */
  async #watchLogs(): Promise<LogBudget> {
    const { baseDir, logBudgetBytes } = this.#config;
    const budget = new LogBudget({
      dir: `${baseDir}/logs`,
      budgetBytes: await budgetOf(logBudgetBytes, baseDir),
      log: this.#log,
      onTrimmed: (trimmed) => this.#parts.supervisor.logTrimmed(trimmed),
    });
    budget.start();
    return this.#logBudget = budget;
  }

  /**
   * Stops the daemon. Containers go on, and the network and mounts they need stay; without containers nothing stays.
   *
   * @param options `stopContainers` stops them first
   */
  stop(options: { stopContainers: boolean }): Promise<void> {
    return this.#stopping ??= this.#stop(options.stopContainers);
  }

  async #stop(stopContainers: boolean): Promise<void> {
    const { supervisor, deps, images, builder, dns, events } = this.#parts;
    this.#ending.abort();
    await this.#boot;
    await this.#control?.close();
    await builder.close();
    if (stopContainers) await supervisor.stopAll();
    supervisor.close();
    await supervisor.settled();
    const { stages } = deps;
    const keep = supervisor.all.some((c) => c.live) || deps.store.unreadable.size > 0;
    const { cgroupParent } = this.#config;
    const attempt = async (what: string, job: () => Promise<unknown> | unknown) => {
      try {
        await job();
      } catch (error) {
        this.#log.error(`Could not ${what} at shutdown`, { error });
      }
    };
    await attempt("close the resolver", () => dns.close());
    await attempt("close the streams", () => stages.streams.call("shutdown", { cgroupParent, keep }));
    await attempt("close the network", () => stages.network.call("shutdown", { keepNetworks: keep }));
    await attempt("end the image workers", () => images.dispose());
    if (!keep) {
      for (const dir of SHARED_DIRS) {
        await attempt(
          `unmount ${dir}`,
          () => stages.rootfs.call("unmountBelow", { path: `${this.#config.baseDir}/${dir}` }),
        );
      }
    }
    events.emit("daemon", "stop", this.#config.socket);
    await attempt("write the events", () => events.close());
    this.#delay.stop();
    this.#logBudget?.stop();
    this.#workers.terminate();
    this.#lock[Symbol.dispose]();
    this.#log.info("nyxd has stopped", { containersRunning: keep });
  }
}

/**
 * Starts a daemon.
 *
 * @param config its settings
 * @param log its log
 * @param exit called after the daemon has stopped because the API asked it to
 * @throws NyxError that says what stands in the way; nothing is then left running
 */
export async function startDaemon(config: DaemonConfig, log: Logger, exit: () => void): Promise<Daemon> {
  const began = performance.now();
  await makeDirectories(config);
  const lock = await lockBaseDir(config.baseDir);
  const events: WorkerEvents = {};
  const telemetry = Telemetry.tryStart(VERSION);
  const workers = new Workers(config.baseDir, log, events, telemetry);
  try {
    const parts = await assemble(config, log, workers, events);
    const held = { workers, lock, parts, ...(telemetry === undefined ? {} : { telemetry }) };
    const daemon = new Daemon(config, log, held);
    try {
      await daemon.open(exit);
    } catch (e) {
      await daemon.stop({ stopContainers: false });
      throw e;
    }
    const startMs = Math.round(performance.now() - began);
    log.info("nyxd is ready", { socket: config.socket, baseDir: config.baseDir, startMs });
    return daemon;
  } catch (e) {
    workers.terminate();
    lock[Symbol.dispose]();
    throw e;
  }
}
