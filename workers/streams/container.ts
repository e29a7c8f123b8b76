/** One container under its monitor: launch, adoption, exit. The state on disk is described in monitor.ts. */

import { AT_FDCWD, O } from "../../ffi/file.ts";
import { isErrno } from "../../ffi/errno.ts";
import { EPOLL } from "../../ffi/poll.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import type { LogOptions } from "../../daemon/spec/container.ts";
import type { ExitStatus } from "../protocol.ts";
import { cgroupDir, type OomWatch, watchOom } from "./cgroup.ts";
import type { StreamsContext } from "./context.ts";
import { execFailure, launchFailureCode } from "./crun.ts";
import { monitorDir } from "./directories.ts";
import type { InputPipe } from "./input.ts";
import { type LogPolicy, resolvePolicy } from "./log_file.ts";
import { MonitorFiles, openSink } from "./monitor_files.ts";
import { createMonitorDir, monitorScript, type MonitorShape, warmCommand } from "./monitor.ts";
import { Output } from "./output.ts";
import { processTree } from "./signals.ts";
import { connectPipes, connectTerminal } from "./stdio.ts";
import type { WarmMonitor, WarmPool } from "./warm.ts";
import { spawnSession } from "./spawn.ts";
import { type ConsoleSocket, holdTerminal, listenConsole, reclaimTerminal, writeLine } from "./terminal.ts";

/** What a container is launched or adopted with. */
export interface ContainerSpec {
  id: string;
  bundleDir: string;
  tty: boolean;
  stdin: boolean;
  log: LogOptions;
  consoleSize?: { rows: number; cols: number };
}

/** What is known of a running container. */
export interface RunningInfo {
  pid: number;
  startedAt: string;
  cgroup?: string;
}

const SIGKILL = 9;
const UNKNOWN_EXIT_CODE = 255;
/** How long a monitor that an earlier nyxd had just started may take to get crun going. */
const LAUNCH_GRACE_MS = 10_000;

/** A container whose monitor this worker looks after. */
export class Container {
  readonly id: string;
  readonly dir: string;
  readonly output: Output;
  readonly policy: LogPolicy;
  input: InputPipe | undefined;
  #masterFd = -1;
  #info: RunningInfo | undefined;
  #exit: ExitStatus | undefined;
  readonly #context: StreamsContext;
  readonly #spec: ContainerSpec;
  readonly #shape: MonitorShape;
  readonly #files: MonitorFiles;
  readonly #started = Promise.withResolvers<RunningInfo>();
  readonly #ended = Promise.withResolvers<ExitStatus>();
  #console: ConsoleSocket | undefined;
  #stopWatch: (() => void) | undefined;
  #oom: OomWatch | undefined;
  #killed = false;
  #warm: WarmMonitor | undefined;
  #monitorPid: number | undefined;
  #pidFd = -1;
  #pidToken: number | undefined;
  #ackFd = -1;
  #ackToken: number | undefined;
  #starting = false;
  #completing = false;
  #closed = false;

  private constructor(context: StreamsContext, spec: ContainerSpec, pool: WarmPool | undefined) {
    this.#context = context;
    this.#spec = spec;
    this.id = spec.id;
    this.dir = monitorDir(context.baseDir, spec.id);
    this.policy = resolvePolicy(spec.log, context.logDefaults);
    this.#shape = { tty: spec.tty, stdin: spec.stdin, staged: this.policy.driver !== "none" };
    this.#files = new MonitorFiles(context, this.id, this.dir);
    this.#started.promise.catch(() => {});
    this.#ended.promise.catch(() => {});
    const { tty, stdin, staged } = this.#shape;
    if (!tty && !stdin && staged) this.#warm = pool?.take();
    if (this.#warm !== undefined) context.files.renameat2(AT_FDCWD, this.#warm.dir, AT_FDCWD, this.dir, 0);
    else if (pool !== undefined) createMonitorDir(context.files, this.dir, this.#shape);
    this.output = new Output(
      context,
      this.id,
      this.policy,
      this.#shape.staged ? openSink(context, this.id, this.dir, this.policy) : undefined,
    );
  }

  /** Running, or what became of it. */
  get exit(): ExitStatus | undefined {
    return this.#exit;
  }

  /** Pid and start; undefined until it runs. */
  get info(): RunningInfo | undefined {
    return this.#info;
  }

  /** Settles when it runs; rejects when crun could not start it. */
  get started(): Promise<RunningInfo> {
    return this.#started.promise;
  }

  /** Settles when its exit is known and its output was read to the end; rejects when it never ran. */
  get ended(): Promise<ExitStatus> {
    return this.#ended.promise;
  }

  /** Makes a monitor, or takes one that waits, and starts it. The directory must not exist. Watch {@linkcode started}. */
  static launch(context: StreamsContext, spec: ContainerSpec, pool: WarmPool): Container {
    const container = new Container(context, spec, pool);
    try {
      container.#spawn();
    } catch (e) {
      container.close();
      throw e;
    }
    return container;
  }

  /** Takes over the monitor in an existing directory; undefined when it and its container are gone without a trace. */
  static async adopt(context: StreamsContext, spec: ContainerSpec): Promise<Container | undefined> {
    const container = new Container(context, spec, undefined);
    try {
      if (!(await container.#resume())) {
        container.close();
        return undefined;
      }
    } catch (e) {
      container.close();
      throw e;
    }
    return container;
  }

  /** Kills a launch that does not come to an end: the monitor, and crun below it. */
  abandon(): void {
    if (this.#monitorPid === undefined || this.#info !== undefined || this.#completing) return;
    for (const pid of processTree(this.#monitorPid)) {
      try {
        this.#context.process.kill(pid, SIGKILL);
      } catch (e) {
        if (!isErrno(e, "ESRCH")) throw e;
      }
    }
  }

  /** Has it on record that nyxd killed this container. */
  noteSignal(signal: number): void {
    if (signal === SIGKILL) this.#killed = true;
  }

  /** Sends a signal to the init process. */
  signal(signal: number): void {
    this.noteSignal(signal);
    try {
      if (this.#pidFd < 0 || this.#exit !== undefined) throw this.#notRunning("send a signal to");
      this.#context.process.pidfdSendSignal(this.#pidFd, signal);
    } catch (e) {
      if (isErrno(e, "ESRCH")) throw this.#notRunning("send a signal to");
      throw e;
    }
  }

  /** Sets the terminal's size. */
  resize(rows: number, cols: number): void {
    if (this.#masterFd < 0) {
      throw new NyxError("failed_precondition", `Could not resize ${JSON.stringify(this.id)}: it has no terminal`);
    }
    this.#context.tty.setWindowSize(this.#masterFd, { rows, cols });
  }

  /** Ends standard input: a pipe gets end of file, a terminal an end-of-file character. */
  async closeInput(): Promise<void> {
    const input = this.input;
    if (input === undefined) return;
    await input.settled();
    if (this.#shape.tty) {
      await input.write(new Uint8Array([4])).catch(() => {});
      return;
    }
    this.input = undefined;
    writeLine(this.#context, `${this.dir}/inctl`);
    input.close();
  }

  /** Lets go of all descriptors; monitor and container stay. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopWatch?.();
    this.#console?.close();
    this.#oom?.close();
    this.input?.close();
    this.output.close();
    const { files, loop } = this.#context;
    for (const token of [this.#pidToken, this.#ackToken]) if (token !== undefined) loop.remove(token);
    for (const fd of [this.#pidFd, this.#ackFd, this.#masterFd]) if (fd >= 0) files.close(fd);
    this.#pidFd = this.#ackFd = this.#masterFd = -1;
    const stopped = new NyxError("unavailable", `Container ${this.id} is no longer watched`, { retryable: true });
    this.#started.reject(stopped);
    this.#ended.reject(stopped);
  }

  #spawn(): void {
    const { crun } = this.#context;
    const { id, bundleDir, tty } = this.#spec;
    this.#watch();
    if (this.#warm !== undefined) {
      this.#ackFd = this.#warm.ackFd;
      this.#watchAck();
      // The shell has its own end open: what is written stays when this one is closed.
      this.#context.files.write(this.#warm.cmdFd, warmCommand(bundleDir, id));
      this.#context.files.close(this.#warm.cmdFd);
      this.#monitorPid = this.#warm.child.pid;
      void this.#warm.child.status.then(() => this.#onMonitorGone());
      return;
    }
    const command = ["run", `--bundle=${bundleDir}`, `--pid-file=${this.dir}/pid`];
    if (tty) {
      this.#console = listenConsole(this.#context, id);
      command.push(`--console-socket=${this.#console.path}`);
    }
    const argv = crun.argv([...command, id], `${this.dir}/crun.log`);
    const child = spawnSession(monitorScript(this.#shape), argv, this.dir);
    child.unref();
    this.#monitorPid = child.pid;
    void child.status.then(() => this.#onMonitorGone());
  }

  #watch(): void {
    this.#stopWatch = this.#context.watcher.watchDirectory(this.dir, (name) => {
      if (name === "pid") this.#onPid();
      else if (name === "exit") this.#onExit();
    });
  }

  /** Adoption: from what is in the directory to the same state as after a launch. False: nothing is left. */
  async #resume(): Promise<boolean> {
    this.#watch();
    const alive = this.#openAck();
    const hasPid = this.#files.pid() !== undefined;
    const hasExit = this.#files.exitCode() !== undefined;
    if (hasExit && !hasPid) {
      this.#onExit();
      return true;
    }
    if (hasPid) {
      const running = alive || this.#files.initAlive();
      if (!running && !hasExit) return false;
      await this.#begin();
      if (hasExit) this.#onExit();
      else if (!alive) this.#onMonitorGone();
      return true;
    }
    if (!alive || !(await this.#files.hasBegun())) return false;
    // The monitor was started a moment before nyxd died: crun is still at work.
    const timer = setTimeout(() => {
      this.#started.reject(new NyxError("deadline_exceeded", `crun did not start ${this.id} in ${LAUNCH_GRACE_MS} ms`));
    }, LAUNCH_GRACE_MS);
    try {
      await this.#started.promise;
    } catch {
      return this.#exit !== undefined;
    } finally {
      clearTimeout(timer);
    }
    return true;
  }

  #onPid(): void {
    if (this.#info !== undefined || this.#starting) return;
    this.#starting = true;
    this.#begin().catch((e: unknown) => this.#started.reject(e as Error));
  }

  /** The process exists: opens everything that belongs to it. */
  async #begin(): Promise<void> {
    const pid = this.#files.pid();
    if (pid === undefined || this.#info !== undefined) return;
    this.#starting = true;
    try {
      this.#pidFd = this.#context.process.pidfdOpen(pid);
    } catch (e) {
      if (!isErrno(e, "ESRCH")) throw e;
    }
    if (this.#ackFd < 0) this.#openAck();
    if (this.#shape.tty) await this.#openTerminal();
    else this.input = connectPipes(this.#context, this.dir, this.#shape, this.output);
    if (this.#closed) return;
    const dir = cgroupDir(pid, this.#context.cgroup);
    this.#oom = watchOom(this.#context, dir, () => this.#context.event({ kind: "oom", id: this.id }));
    this.#info = { pid, startedAt: this.#files.startedAt(), ...(dir === undefined ? {} : { cgroup: dir }) };
    this.#started.resolve(this.#info);
    if (this.#files.exitCode() !== undefined) this.#onExit();
  }

  async #openTerminal(): Promise<void> {
    const gone = this.#ended.promise.then(() => -1, () => -1);
    const masterFd = this.#console === undefined
      ? reclaimTerminal(this.#context, this.dir) ?? -1
      : await Promise.race([this.#console.master, gone]);
    this.#console?.close();
    if (masterFd < 0) return;
    if (this.#closed) {
      this.#context.files.close(masterFd);
      return;
    }
    this.#masterFd = masterFd;
    if (this.#console !== undefined) {
      holdTerminal(this.#context, this.dir, masterFd);
      const { consoleSize } = this.#spec;
      if (consoleSize !== undefined) this.#context.tty.setWindowSize(masterFd, consoleSize);
    }
    this.input = connectTerminal(this.#context, this.dir, masterFd, this.output);
  }

  /** Opens the acknowledgement FIFO, which works exactly while the monitor lives, and watches it. */
  #openAck(): boolean {
    const { files } = this.#context;
    try {
      this.#ackFd = files.openat(AT_FDCWD, `${this.dir}/ack`, O.WRONLY | O.NONBLOCK | O.CLOEXEC);
    } catch (e) {
      if (isErrno(e, "ENXIO", "ENOENT")) return false;
      throw e;
    }
    this.#watchAck();
    return true;
  }

  #watchAck(): void {
    // Without a reader a FIFO's write end reports ERR, whatever is asked for; room for more is not interesting.
    this.#ackToken = this.#context.loop.add(this.#ackFd, EPOLL.ET, (events) => {
      if ((events & EPOLL.ERR) !== 0) this.#onMonitorGone();
    });
  }

  /** The monitor ended although nobody acknowledged. Its container may go on. */
  #onMonitorGone(): void {
    if (this.#closed || this.#completing) return;
    if (this.#files.exitCode() !== undefined) {
      this.#onExit();
      return;
    }
    if (this.#info === undefined && !this.#starting && this.#files.pid() === undefined) {
      const message = this.#files.crunMessage() ?? "its monitor ended before it ran";
      this.#failLaunch(125, message);
      return;
    }
    if (this.#ackToken !== undefined) this.#context.loop.modify(this.#ackToken, 0);
    this.#context.log("warn", "A container's monitor was killed; its exit code will not be known", { id: this.id });
    this.#whenInitEnds(() =>
      this.#complete(UNKNOWN_EXIT_CODE, "The monitor of the container was killed, so its exit code is not known")
    );
  }

  #whenInitEnds(then: () => void): void {
    if (this.#pidFd < 0 || this.#pidToken !== undefined) {
      if (this.#pidFd < 0) then();
      return;
    }
    this.#pidToken = this.#context.loop.add(this.#pidFd, EPOLL.IN, () => {
      if (this.#pidToken !== undefined) this.#context.loop.modify(this.#pidToken, 0);
      then();
    });
  }

  #onExit(): void {
    const code = this.#files.exitCode();
    if (code === undefined || this.#completing) return;
    if (this.#info === undefined) {
      // #begin looks again when it is done.
      if (this.#starting || this.#files.pid() !== undefined) {
        this.#onPid();
        return;
      }
      const message = this.#files.crunMessage() ?? `crun run ended with code ${code}`;
      this.#failLaunch(launchFailureCode(message), message);
      return;
    }
    // crun itself may have been killed while the container goes on.
    if (code === 137 && this.#files.initAlive()) {
      this.#context.log("warn", "crun was killed; its container goes on", { id: this.id });
      this.#whenInitEnds(() => this.#complete(code, "crun was killed before its container ended"));
      return;
    }
    this.#complete(code, undefined);
  }

  #failLaunch(exitCode: number, message: string): void {
    if (this.#completing) return;
    this.#completing = true;
    this.#exit = { code: exitCode, finishedAt: this.#files.finishedAt(), oomKilled: false, error: message };
    const error = new NyxError("failed_precondition", `Could not start container ${this.id}: ${message}`, {
      context: { id: this.id, exitCode, crun: message },
    });
    this.#started.reject(error);
    this.#ended.reject(error);
    void this.output.finish();
  }

  #complete(code: number, error: string | undefined): void {
    if (this.#completing) return;
    this.#completing = true;
    this.input?.close();
    this.input = undefined;
    const finishedAt = this.#files.finishedAt();
    void this.output.finish().catch((e: unknown) => this.#context.report(e, this.id)).then(() => {
      const oomKilled = this.#oom?.seen(code, this.#killed) ?? false;
      const failure = error === undefined ? execFailure(code, this.output.stderrHead) : { code, error };
      this.#exit = { finishedAt, oomKilled, ...failure };
      this.#oom?.close();
      this.#ended.resolve(this.#exit);
      this.#context.event({ kind: "exit", id: this.id, exit: this.#exit });
    });
  }

  #notRunning(action: string): NyxError {
    return new NyxError("failed_precondition", `Could not ${action} container ${this.id}: it is not running`);
  }
}
