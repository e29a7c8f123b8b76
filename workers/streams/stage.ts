/** Operations of the streams stage, over containers, execs and logs. */

import { invalid, NyxError } from "../../daemon/spec/errors.ts";
import type { Handlers, OpContext } from "../serve.ts";
import type { StreamsStage } from "../protocol.ts";
import { Attachment } from "./attachment.ts";
import { cgroupPids, containerCgroups, removeCgroupParent, removeContainerCgroups } from "./cgroup.ts";
import { cleanUp, cleanUpWhenEnded, DELETE_GRACE_MS } from "./clean_up.ts";
import { Container, type ContainerSpec } from "./container.ts";
import { exists, monitorDir } from "./directories.ts";
import type { StreamsContext } from "./context.ts";
import { Exec } from "./exec.ts";
import { removeHiddenCgroup } from "./hybrid.ts";
import { logPath, removeLog } from "./log_file.ts";
import { replay, sendLog } from "./log_ops.ts";
import { parseExitFile, SAFE_ID } from "./monitor.ts";
import { tryReadText } from "./proc.ts";
import { parseSignal } from "./signals.ts";
import { WarmPool } from "./warm.ts";
import { ociResources } from "./update.ts";
import { processTable, usageOf } from "./processes.ts";

type Request<K extends keyof StreamsStage["ops"]> = StreamsStage["ops"][K]["request"];
type Ops = Omit<Handlers<StreamsStage>, "init">;

/** How long a kill may take before something must stand in its way, such as a frozen cgroup. */
const KILL_GRACE_MS = 500;
const SIGKILL = 9;

/** All containers and execs of this worker. */
export class Streams {
  readonly #context: StreamsContext;
  readonly #containers = new Map<string, Container>();
  readonly #execs = new Map<string, Exec>();
  readonly #adopting = new Map<string, Promise<Container | undefined>>();
  /** Attached before the container was launched. */
  readonly #early = new Map<string, Set<Attachment>>();
  readonly #stopExecWatch: () => void;
  readonly #pool: WarmPool;

  /** @param context run/monitor, run/exec, run/console and logs exist below its baseDir */
  constructor(context: StreamsContext) {
    this.#context = context;
    this.#pool = new WarmPool(context);
    this.#stopExecWatch = context.watcher.watchDirectory(`${context.baseDir}/run/exec`, (name) => {
      if (name.endsWith(".pid")) this.#execs.get(name.slice(0, -4))?.onPidFile();
    });
  }

  /** The handlers, all but init. */
  get ops(): Ops {
    return {
      launch: (r, c) => this.launch(r, c),
      adopt: (r) => this.adopt(r),
      attach: (r, c) => this.attach(r, c),
      stdin: (r) => this.stdin(r.id, r.bytes),
      closeStdin: (r) => this.#target(r.id).closeInput(),
      resize: (r) => this.#target(r.id).resize(r.rows, r.cols),
      kill: (r) => this.kill(r),
      pause: (r) => this.#crun("pause", r.id),
      resume: (r) => this.#crun("resume", r.id),
      update: (r) => this.update(r),
      delete: (r) => this.delete(r.id),
      acknowledge: (r) => this.acknowledge(r.id),
      exec: (r, c) => this.exec(r, c),
      logs: (r, c) => this.logs(r, c.signal),
      removeLog: (r) => removeLog(this.#context.files, logPath(this.#context.baseDir, checkId(r.id))),
      processes: ({ pid }) => processTable(pid),
      usage: ({ pid }) => usageOf(pid),
      list: () => this.list(),
      cgroups: ({ parents }) => ({ ids: [...containerCgroups(parents)] }),
      removeCgroups: (r) => removeContainerCgroups(this.#context, { ...r, id: checkId(r.id) }),
      shutdown: (r) => this.shutdown(r),
    };
  }

  /**
   * Starts a container; one that already runs is left alone. Cancelled, or past its deadline, it kills what it started.
   *
   * @throws NyxError failed_precondition with context `exitCode` (125, 126, 127) and `crun`, when crun could not start it
   */
  async launch(
    request: Request<"launch">,
    { signal }: OpContext<never>,
  ): Promise<{ pid: number; startedAt: string; cgroup?: string }> {
    const id = checkId(request.id);
    const known = this.#containers.get(id) ?? await this.#tryAdopt(request);
    if (known !== undefined && known.exit === undefined) return await known.started;
    if (known !== undefined) this.#release(id);
    else cleanUp(this.#context, id);
    let onAbort: (() => void) | undefined;
    try {
      const container = Container.launch(this.#context, request, this.#pool);
      this.#keep(id, container);
      onAbort = () => container.abandon();
      signal.addEventListener("abort", onAbort);
      const info = await container.started;
      this.#pool.refill();
      return info;
    } catch (e) {
      this.#release(id);
      if (!signal.aborted) throw e;
      if (this.#context.crun.knows(id)) await this.#context.crun.run(["delete", "--force", id]);
      throw signal.reason;
    } finally {
      if (onAbort !== undefined) signal.removeEventListener("abort", onAbort);
    }
  }

  /** Takes over what an earlier nyxd, or an earlier worker, left. */
  async adopt(request: Request<"adopt">): Promise<StreamsStage["ops"]["adopt"]["result"]> {
    const id = checkId(request.id);
    const container = this.#containers.get(id) ?? await this.#tryAdopt(request);
    if (container === undefined) {
      cleanUp(this.#context, id);
      return { state: "gone" };
    }
    const exitPending = parseExitFile(tryReadText(`${container.dir}/exit`) ?? "") !== undefined;
    if (exitPending && container.exit === undefined) await container.ended.catch(() => undefined);
    if (container.exit !== undefined) return { state: "exited", exit: container.exit };
    return { state: "running", pid: (await container.started).pid };
  }

  /** Streams output until the process ends or the client goes. */
  async attach(request: Request<"attach">, { signal }: OpContext<never>): Promise<{ reason: "exited" | "detached" }> {
    const id = checkId(request.id);
    const container = this.#containers.get(id);
    const attachment = new Attachment(request.port, {
      stdout: request.stdout,
      stderr: request.stderr,
      drop: container?.policy.mode === "drop",
      onDrained: () => this.#containers.get(id)?.output.resume(),
    });
    const onAbort = () => attachment.detach();
    signal.addEventListener("abort", onAbort);
    try {
      if (signal.aborted) attachment.detach();
      const live = container !== undefined && container.exit === undefined;
      const log = live ? container.output.log : undefined;
      // From one and the same moment on: what is in the log then is replayed, what comes after is held until that is done.
      const stopAt = log === undefined ? undefined : { number: log.number, offset: log.size };
      attachment.hold();
      if (live) container.output.attach(attachment);
      else if (container === undefined) this.#attachEarly(id, attachment);
      if (request.replay !== undefined) await replay(this.#context, request, attachment, { writer: log, stopAt });
      attachment.release();
      if (container !== undefined && !live) attachment.end();
      return { reason: await attachment.done };
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#early.get(id)?.delete(attachment);
    }
  }

  /** Writes standard input of a container or exec. */
  async stdin(id: string, bytes: Uint8Array): Promise<void> {
    const owned = bytes.buffer instanceof ArrayBuffer ? bytes as Uint8Array<ArrayBuffer> : new Uint8Array(bytes);
    const exec = this.#execs.get(id);
    if (exec !== undefined) return await exec.write(owned);
    const { input } = this.#container(id);
    if (input === undefined) {
      throw new NyxError("failed_precondition", `Could not write to ${id}: its standard input is not open`, {
        context: { id },
      });
    }
    await input.write(owned);
  }

  /** Signals a container's init, all its processes, or an exec. */
  async kill({ id, signal, all }: Request<"kill">): Promise<void> {
    const number = parseSignal(signal);
    const exec = this.#execs.get(id);
    if (exec !== undefined) return await exec.kill(number, all);
    const container = this.#container(id);
    if (!all || container.info?.cgroup === undefined) return container.signal(number);
    container.noteSignal(number);
    for (const pid of cgroupPids(container.info.cgroup)) this.#signalPid(pid, number);
  }

  /** Changes limits. */
  async update({ id, resources }: Request<"update">): Promise<void> {
    const path = `${this.#context.baseDir}/run/exec/${checkId(id)}.update`;
    Deno.writeTextFileSync(path, JSON.stringify(ociResources(resources)), { mode: 0o600 });
    try {
      await this.#context.crun.demand("update", id, ["update", `--resources=${path}`, id]);
    } finally {
      Deno.removeSync(path);
    }
  }

  /** Removes a container from crun, killing it if need be, and its monitor. */
  async delete(id: string): Promise<void> {
    const container = this.#containers.get(checkId(id));
    // Killed, a container is cleaned up by the crun that ran it: no second one needs to be started, which also races with the first.
    const ended = container !== undefined && container.exit === undefined && await this.#killAll(container);
    if (!ended && this.#context.crun.knows(id)) await this.#forceDelete(id);
    if (container !== undefined && container.exit === undefined) {
      await within(
        container.ended.catch(() => undefined),
        DELETE_GRACE_MS,
        `Container ${id} was killed but did not end`,
      );
    }
    if (container !== undefined) this.#release(id);
    else await cleanUpWhenEnded(this.#context, id);
    this.#endEarly(id);
  }

  /** Kills every process of a container; whether it has ended within the moment that this takes when nothing is in the way. */
  async #killAll(container: Container): Promise<boolean> {
    const { cgroup } = container.info ?? {};
    if (container.info === undefined) return false;
    container.noteSignal(SIGKILL);
    for (const pid of cgroup === undefined ? [container.info.pid] : cgroupPids(cgroup)) this.#signalPid(pid, SIGKILL);
    const ended = container.ended.then(() => true, () => true);
    return await Promise.race([ended, new Promise<false>((r) => setTimeout(() => r(false), KILL_GRACE_MS))]);
  }

  #signalPid(pid: number, signal: number): void {
    try {
      this.#context.process.kill(pid, signal);
    } catch (e) {
      if ((e as { code?: string }).code !== "ESRCH") throw e;
    }
  }

  async #forceDelete(id: string): Promise<void> {
    const { crun } = this.#context;
    // In a frozen cgroup v1 even SIGKILL waits for the thaw; for one that is not frozen this fails, which is as good.
    await crun.run(["resume", id]);
    const { code, stderr } = await crun.run(["delete", "--force", id]);
    if (code === 0 || !crun.knows(id)) return;
    throw new NyxError("failed_precondition", `Could not delete container ${id}: crun says ${JSON.stringify(stderr)}`, {
      context: { id, exitCode: code },
    });
  }

  /** The exit is on record: the monitor may go. */
  acknowledge(id: string): void {
    const container = this.#containers.get(checkId(id));
    if (container !== undefined && container.exit === undefined) {
      throw new NyxError("failed_precondition", `Could not acknowledge the exit of ${id}: it still runs`);
    }
    if (container === undefined) cleanUp(this.#context, id);
    else this.#release(id);
  }

  /** Runs a process inside a container. */
  async exec(
    request: Request<"exec">,
    ctx: OpContext<{ pid: number }>,
  ): Promise<StreamsStage["ops"]["exec"]["result"]> {
    const { execId, port } = request;
    checkId(request.id);
    checkId(execId);
    if (this.#execs.has(execId)) {
      throw new NyxError("already_exists", `Could not run exec ${execId}: it is already running`);
    }
    const attachment = port === undefined ? undefined : new Attachment(port, {
      stdout: true,
      stderr: true,
      drop: false,
      onDrained: () => exec.resume(),
    });
    const exec = new Exec(this.#context, request, attachment);
    this.#execs.set(execId, exec);
    void exec.running.then((pid) => ctx.progress({ pid }), () => {});
    const onAbort = () => exec.abort();
    ctx.signal.addEventListener("abort", onAbort);
    try {
      const result = await exec.run();
      if (ctx.signal.aborted) throw ctx.signal.reason;
      return result;
    } finally {
      ctx.signal.removeEventListener("abort", onAbort);
      this.#execs.delete(execId);
    }
  }

  /** Reads a log. */
  logs(request: Request<"logs">, signal: AbortSignal): Promise<{ lines: number; corrupt: number }> {
    const container = this.#containers.get(checkId(request.id));
    const writer = container?.exit === undefined ? container?.output.log : undefined;
    return sendLog(this.#context, request, writer, signal);
  }

  /** What crun has state of. */
  async list(): Promise<{ id: string; pid: number; status: string }[]> {
    const { code, stdout, stderr } = await this.#context.crun.run(["list", "--format=json"]);
    if (code !== 0) throw new NyxError("internal", `Could not list containers: crun says ${stderr}`);
    const rows: unknown = JSON.parse(stdout.trim() || "[]");
    if (!Array.isArray(rows)) return [];
    return rows.map((r: { id: string; pid: number; status: string }) => ({ id: r.id, pid: r.pid, status: r.status }));
  }

  /**
   * Lets go of everything; monitors and containers go on. What fails keeps nothing else from being let go of.
   *
   * @throws the error, or an AggregateError of all
   */
  async shutdown({ cgroupParent, keep }: Request<"shutdown">): Promise<void> {
    const errors: unknown[] = [];
    const attempt = async (step: () => unknown) => {
      try {
        await step();
      } catch (e) {
        errors.push(e);
      }
    };
    this.#stopExecWatch();
    await attempt(() => this.#pool.close());
    for (const set of this.#early.values()) for (const a of set) await attempt(() => a.end("detached"));
    for (const exec of this.#execs.values()) await attempt(() => exec.abort());
    const logs = [...this.#containers.values()].map((c) => attempt(() => c.output.log?.close()));
    for (const container of this.#containers.values()) await attempt(() => container.close());
    this.#containers.clear();
    await Promise.all(logs);
    await attempt(() => this.#context.watcher.close());
    await attempt(() => this.#context.loop.stop());
    await attempt(() => this.#context.scratch.close());
    await attempt(() => removeCgroupParent(this.#context.files, cgroupParent, keep));
    if (errors.length > 0) {
      throw errors.length === 1 ? errors[0] : new AggregateError(errors, "Could not let go of all");
    }
  }

  #keep(id: string, container: Container): void {
    this.#containers.set(id, container);
    for (const attachment of this.#early.get(id) ?? []) container.output.attach(attachment);
    this.#early.delete(id);
  }

  #attachEarly(id: string, attachment: Attachment): void {
    const set = this.#early.get(id) ?? new Set();
    this.#early.set(id, set.add(attachment));
  }

  #endEarly(id: string): void {
    for (const attachment of this.#early.get(id) ?? []) attachment.end();
    this.#early.delete(id);
  }

  /** One adoption at a time: whoever asks meanwhile gets the same container. */
  #tryAdopt(spec: ContainerSpec): Promise<Container | undefined> {
    const pending = this.#adopting.get(spec.id);
    if (pending !== undefined) return pending;
    const adoption = this.#adoptNow(spec).finally(() => this.#adopting.delete(spec.id));
    this.#adopting.set(spec.id, adoption);
    return adoption;
  }

  async #adoptNow(spec: ContainerSpec): Promise<Container | undefined> {
    if (!exists(monitorDir(this.#context.baseDir, spec.id))) return undefined;
    const container = await Container.adopt(this.#context, spec);
    if (container !== undefined) this.#keep(spec.id, container);
    return container;
  }

  #container(id: string): Container {
    const container = this.#containers.get(id);
    if (container === undefined || container.exit !== undefined) {
      throw new NyxError("failed_precondition", `Container ${id} is not running`, { context: { id } });
    }
    return container;
  }

  #target(id: string): Container | Exec {
    return this.#execs.get(id) ?? this.#container(id);
  }

  async #crun(command: "pause" | "resume", id: string): Promise<void> {
    await this.#context.crun.demand(command, checkId(id), [command, id]);
  }

  /** Forgets an ended container, lets its monitor go and removes its files. */
  #release(id: string): void {
    const { cgroup, files } = this.#context;
    const container = this.#containers.get(id);
    if (cgroup === "hybrid") removeHiddenCgroup(files, id, container?.info?.cgroup);
    container?.close();
    this.#containers.delete(id);
    cleanUp(this.#context, id);
  }
}

function checkId(id: string): string {
  if (!SAFE_ID.test(id)) throw invalid("id", id, "use letters, digits, dot, dash and underscore, at most 128");
  return id;
}

async function within(work: Promise<unknown>, ms: number, message: string): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new NyxError("deadline_exceeded", `${message} within ${ms} ms`)), ms);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
