/** One container as an actor: its record, its mailbox, and every change of its state. */

import type { ContainerRecord } from "../persist/record.ts";
import type { ContainerStatus, RestartPolicy } from "../spec/container.ts";
import { NyxError, toErrorData, toNyxError } from "../spec/errors.ts";
import { nowRfc3339 } from "../spec/time.ts";
import type { ExitStatus, StreamsStage } from "../../workers/protocol.ts";
import { untilAvailable } from "./available.ts";
import type { SupervisorDeps } from "./deps.ts";
import { erase, settledWithin } from "./erase.ts";
import { type Joined, launch, type LaunchOptions, takeDown } from "./launch.ts";
import { LIVE, next, type Transition, tryNext } from "./machine.ts";
import { Mailbox } from "./mailbox.ts";
import { attemptsAfter, backoffMs, shouldRestart } from "./restart.ts";

/** What the actor tells and asks its owner. */
export interface Owner {
  /** Facts about the containers that this one joins. */
  joined(record: ContainerRecord): Joined;
  /** Throws when the host has no room for the container that is starting. */
  demandRoom(): void;
  /** The process runs: start watching its health. */
  started(container: Container): void;
  /** The process has ended: stop watching. */
  ended(container: Container): void;
  /** It is gone for good: forget it. Called before the files are deleted, so that its name is free at once. */
  removed(container: Container): void;
  /** Its removal failed: it is known again, so that somebody can see it and try once more. */
  kept(container: Container): void;
}

/** How long KILL may take before a stop gives up. */
const KILL_GRACE_MS = 10_000;

/** What the streams worker needs to take a monitor over. */
export function adoptRequest(record: ContainerRecord): StreamsStage["ops"]["adopt"]["request"] {
  return {
    id: record.id,
    bundleDir: record.bundleDir,
    tty: record.spec.tty === true,
    stdin: record.spec.openStdin === true,
    log: record.spec.log ?? {},
  };
}

/** A container under supervision. */
export class Container {
  readonly record: ContainerRecord;
  readonly mailbox = new Mailbox();
  readonly #deps: SupervisorDeps;
  readonly #owner: Owner;
  /** Settles when the present process ends; replaced at each start. */
  #exited: PromiseWithResolvers<ExitStatus> = Promise.withResolvers();
  #restartTimer: ReturnType<typeof setTimeout> | undefined;
  #removal: Promise<void> | undefined;
  readonly #watchers = new Set<() => void>();

  /**
   * @param record its record, which the actor owns from now on
   * @param deps the daemon's parts
   * @param owner the supervisor
   */
  constructor(record: ContainerRecord, deps: SupervisorDeps, owner: Owner) {
    this.record = record;
    this.#deps = deps;
    this.#owner = owner;
  }

  /** Id, 64 hex digits. */
  get id(): string {
    return this.record.id;
  }
  /** Name. */
  get name(): string {
    return this.record.name;
  }
  /** Present state. */
  get status(): ContainerStatus {
    return this.record.state.status;
  }
  /** Whether a process exists. */
  get live(): boolean {
    return LIVE.has(this.status);
  }
  /** Settles when the present (or next) process ends. */
  get exited(): Promise<ExitStatus> {
    return this.#exited.promise;
  }

  /** Resolves at the next change of state. */
  async changed(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#watchers.add(resolve);
    signal.addEventListener("abort", () => resolve(), { once: true });
    await promise;
    this.#watchers.delete(resolve);
  }

  /** Tells watchers that something they may wait for happened. */
  notify(): void {
    for (const wake of this.#watchers) wake();
  }

  /** Emits an event about this container. */
  emit(action: string, attributes: Record<string, string> = {}): void {
    const labels = Object.entries(this.record.spec.labels ?? {}).map(([k, v]) => [`label.${k}`, v]);
    this.#deps.events.emit("container", action, this.id, {
      name: this.name,
      image: this.record.image.ref,
      ...Object.fromEntries(labels),
      ...attributes,
    });
  }

  #move(transition: Transition): void {
    const from = this.status;
    const to = next(from, transition, this.name);
    this.record.state.status = to;
    this.#deps.log.debug("Container changed state", { id: this.id, from, to, transition });
    this.notify();
  }

  /** Saves the record; resolves when it is durable. */
  save(): Promise<void> {
    return this.#deps.store.save(this.record);
  }

  /**
   * Starts the process.
   *
   * @param options attachment and terminal size
   * @param byUser false when the restart policy asks
   * @throws NyxError with `context.exitCode`; the container is then exited again and holds nothing
   */
  start(options: LaunchOptions = {}, byUser = true): Promise<number> {
    return this.mailbox.run(() => this.#start(options, byUser));
  }

  async #start(options: LaunchOptions, byUser: boolean): Promise<number> {
    if (byUser && (this.status === "running" || this.status === "paused")) {
      if (this.status === "paused") next("paused", "start", this.name);
      return this.record.state.pid;
    }
    this.#move("start");
    clearTimeout(this.#restartTimer);
    const state = this.record.state;
    if (byUser) {
      state.stoppedByUser = false;
      state.attempts = 0;
    }
    delete state.nextRestartAt;
    delete state.error;
    delete state.exitCode;
    delete state.finishedAt;
    // What the process before was like says nothing about this one.
    delete state.health;
    state.oomKilled = false;
    this.#exited = Promise.withResolvers();
    this.#exited.promise.catch(() => {});
    try {
      this.#owner.demandRoom();
      state.pid = await launch(this.#deps, this.record, this.#owner.joined(this.record), options);
    } catch (e) {
      throw await this.#startFailed(e);
    }
    this.#move("started");
    void this.#saveInBackground();
    this.emit("start");
    this.#owner.started(this);
    return state.pid;
  }

  async #startFailed(e: unknown): Promise<NyxError> {
    const cause = toNyxError(e, "container.start");
    const exitCode = typeof cause.details.context?.["exitCode"] === "number" ? cause.details.context["exitCode"] : 125;
    const state = this.record.state;
    state.exitCode = exitCode;
    state.error = cause.message;
    state.finishedAt = nowRfc3339();
    state.pid = 0;
    this.#move("start-failed");
    this.#exited.resolve({ code: exitCode, finishedAt: state.finishedAt, oomKilled: false, error: cause.message });
    this.emit("die", { exitCode: String(exitCode) });
    await takeDown(this.#deps, this.record, false).catch((error) =>
      this.#deps.log.warn("A failed start was not taken down completely", { id: this.id, error })
    );
    if (this.record.spec.autoRemove === true) await this.#erase(true);
    else await this.#saveInBackground();
    const said = cause.message.replaceAll(`container ${this.id}`, `container "${this.name}"`);
    const message = said.startsWith("Could not start") ? said : `Could not start container "${this.name}": ${said}`;
    const { cause: _, ...details } = cause.details;
    return new NyxError(cause.code, message, {
      ...details,
      context: { ...details.context, exitCode, id: this.id },
      cause,
    });
  }

  async #saveInBackground(): Promise<void> {
    try {
      await this.save();
    } catch (error) {
      this.#deps.log.error("A container record could not be saved", { id: this.id, error });
    }
  }

  /** An earlier daemon's process goes on under this one. */
  adopted(): void {
    this.#owner.started(this);
    this.notify();
  }

  /** The process is gone and nobody saw how: it is exited, and whether it is started again is the caller's decision. */
  lost(exit: ExitStatus): Promise<void> {
    return this.mailbox.run(async () => {
      const restart = this.record.spec.restart;
      delete this.record.spec.restart;
      try {
        await this.#onExit(exit);
      } finally {
        if (restart !== undefined) this.record.spec.restart = restart;
      }
      if (this.record.spec.autoRemove !== true) await this.#saveInBackground();
    });
  }

  /** The streams worker reports the end of the process. */
  onExit(exit: ExitStatus): Promise<void> {
    return this.mailbox.run(() => this.#onExit(exit));
  }

  async #onExit(exit: ExitStatus): Promise<void> {
    if (tryNext(this.status, "exit") === undefined) return;
    const state = this.record.state;
    const uptimeMs = state.startedAt === undefined
      ? 0
      : Math.max(0, Date.parse(exit.finishedAt) - Date.parse(state.startedAt));
    state.exitCode = exit.code;
    state.finishedAt = exit.finishedAt;
    state.oomKilled = exit.oomKilled;
    state.pid = 0;
    if (exit.error === undefined) delete state.error;
    else state.error = exit.error;
    this.#move("exit");
    this.#owner.ended(this);
    if (exit.oomKilled) this.emit("oom");
    this.emit("die", { exitCode: String(exit.code), durationMs: String(uptimeMs) });
    const facts = { exitCode: exit.code, stoppedByUser: state.stoppedByUser, attempts: state.attempts, uptimeMs };
    const again = shouldRestart(this.#policy(), facts);
    const gone = !again && this.record.spec.autoRemove === true;
    if (gone) this.#owner.removed(this);
    this.#exited.resolve(exit);
    if (!gone) await this.#saveInBackground();
    await untilAvailable(() => this.#deps.stages.streams.call("acknowledge", { id: this.id })).catch((error) =>
      this.#deps.log.warn("A monitor did not take its acknowledgement", { id: this.id, error })
    );
    if (gone) {
      this.#move("remove");
      await this.#erase(true);
      return;
    }
    await takeDown(this.#deps, this.record, false).catch((error) =>
      this.#deps.log.error("An exited container was not taken down completely", { id: this.id, error })
    );
    if (again) this.#scheduleRestart(attemptsAfter(facts));
  }

  #policy(): RestartPolicy {
    return this.record.spec.restart ?? { name: "no" };
  }

  #scheduleRestart(attempts: number): void {
    const state = this.record.state;
    if (state.stoppedByUser) return;
    const delayMs = backoffMs(attempts);
    state.attempts = attempts + 1;
    state.nextRestartAt = new Date(Date.now() + delayMs).toISOString();
    this.#move("schedule-restart");
    void this.#saveInBackground();
    this.armRestart(delayMs);
  }

  /** Restarts by policy after `delayMs`, unless somebody stops or starts it first. The state must be restarting. */
  armRestart(delayMs: number): void {
    clearTimeout(this.#restartTimer);
    this.#restartTimer = setTimeout(() => {
      void this.mailbox.run(async () => {
        if (this.status !== "restarting") return;
        this.record.state.restartCount++;
        try {
          await this.#start({}, false);
        } catch (error) {
          this.#deps.log.warn("A restart failed", { id: this.id, error: toErrorData(error) });
          const state = this.record.state;
          const facts = {
            exitCode: state.exitCode ?? 125,
            stoppedByUser: state.stoppedByUser,
            attempts: state.attempts,
            uptimeMs: 0,
          };
          if (tryNext(this.status, "schedule-restart") !== undefined && shouldRestart(this.#policy(), facts)) {
            this.#scheduleRestart(state.attempts);
          }
        }
      });
    }, delayMs);
  }

  /**
   * Stops: signal, grace, KILL. A container that is not running is left as it is; one that waits for a restart stays down.
   *
   * @param signal first signal
   * @param graceMs wait before KILL; negative waits for ever
   */
  async stop(signal: string, graceMs: number): Promise<void> {
    this.record.state.stoppedByUser = true;
    const running = await this.mailbox.run(async () => {
      if (this.status === "restarting") {
        clearTimeout(this.#restartTimer);
        delete this.record.state.nextRestartAt;
        this.#move("cancel-restart");
        await this.#saveInBackground();
        return undefined;
      }
      if (!this.live) {
        void this.#saveInBackground();
        return undefined;
      }
      const paused = this.status === "paused";
      this.#move("stop");
      if (paused) await this.#deps.stages.streams.call("resume", { id: this.id });
      await this.#signal(signal, false);
      return { exited: this.#exited.promise };
    });
    if (running === undefined) return;
    if (!await settledWithin(running.exited, graceMs)) {
      await this.#signal("KILL", true);
      if (!await settledWithin(running.exited, KILL_GRACE_MS)) {
        throw new NyxError(
          "deadline_exceeded",
          `Could not stop container "${this.name}": it still runs ${
            KILL_GRACE_MS / 1000
          } s after KILL (pid ${this.record.state.pid}); its process may hang in the kernel`,
          { retryable: true },
        );
      }
    }
    // A user's stop is final also for a daemon that dies right after it said so.
    if (this.record.spec.autoRemove !== true) await this.save();
    this.emit("stop");
  }

  /** Sends a signal and changes nothing else. */
  async kill(signal: string): Promise<void> {
    if (!this.live) {
      throw new NyxError(
        "failed_precondition",
        `Could not kill container "${this.name}": it is not running (${this.status})`,
      );
    }
    if (signal === "KILL") {
      this.record.state.stoppedByUser = true;
      await this.save();
    }
    await this.#signal(signal, false);
    this.emit("kill", { signal });
  }

  /** Signals a process that may end at the same moment: gone is not an error. */
  async #signal(signal: string, all: boolean): Promise<void> {
    const { streams } = this.#deps.stages;
    const send = async () => {
      try {
        await untilAvailable(() => streams.call("kill", { id: this.id, signal, all }));
        return true;
      } catch (e) {
        if (!["not_found", "failed_precondition"].includes(toNyxError(e).code)) throw e;
        return false;
      }
    };
    if (await send() || !this.live) return;
    // A worker that has just replaced another may not have taken this container over yet.
    const found = await untilAvailable(() => streams.call("adopt", adoptRequest(this.record)));
    if (found.state === "running") await send();
  }

  /** Freezes all processes. */
  pause(): Promise<void> {
    return this.mailbox.run(async () => {
      next(this.status, "pause", this.name);
      await this.#deps.stages.streams.call("pause", { id: this.id });
      this.#move("pause");
      await this.#saveInBackground();
      this.emit("pause");
    });
  }

  /** Thaws them. */
  unpause(): Promise<void> {
    return this.mailbox.run(async () => {
      next(this.status, "unpause", this.name);
      await this.#deps.stages.streams.call("resume", { id: this.id });
      this.#move("unpause");
      await this.#saveInBackground();
      this.emit("unpause");
    });
  }

  /**
   * Removes the container and all that belongs to it.
   *
   * @param options `force` kills it first; `volumes` takes its anonymous volumes along
   */
  async remove(options: { force: boolean; volumes: boolean }): Promise<void> {
    if (this.#removal !== undefined) return await this.#removal;
    if (this.live) {
      if (!options.force) {
        throw new NyxError(
          "failed_precondition",
          `Could not remove container "${this.name}": it is ${this.status}; stop it first, or remove it with force`,
        );
      }
      this.record.state.stoppedByUser = true;
      await this.#killForRemoval();
    }
    this.#removal ??= this.mailbox.run(async () => {
      if (this.status === "restarting") {
        clearTimeout(this.#restartTimer);
        this.#move("cancel-restart");
      }
      if (this.status === "removing") return;
      this.#move("remove");
      await this.save();
      await this.#erase(options.volumes);
    }).finally(() => this.#removal = undefined);
    await this.#removal;
  }

  async #killForRemoval(): Promise<void> {
    await this.mailbox.run(() => {});
    if (!this.live) return;
    const running = this.#exited.promise;
    if (this.status === "paused") await this.#deps.stages.streams.call("resume", { id: this.id });
    await this.#signal("KILL", true);
    if (!await settledWithin(running, KILL_GRACE_MS)) {
      throw new NyxError("deadline_exceeded", `Could not remove container "${this.name}": its process survives KILL`, {
        retryable: true,
      });
    }
  }

  async #erase(volumes: boolean): Promise<void> {
    try {
      this.#owner.removed(this);
      await erase(this.#deps, this.record, volumes);
    } catch (e) {
      if (tryNext(this.status, "remove-failed") !== undefined) this.#move("remove-failed");
      this.record.state.error = toNyxError(e).message;
      this.#owner.kept(this);
      await this.#saveInBackground();
      this.#deps.log.error("A container was not removed completely", { id: this.id, error: e });
      throw e;
    }
    this.emit("destroy");
    this.notify();
  }

  /** Finishes a removal that an earlier daemon began. */
  finishRemoval(): Promise<void> {
    return this.mailbox.run(() => {
      this.record.state.status = "removing";
      return this.#erase(true);
    });
  }
}
