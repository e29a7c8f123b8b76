/** One container under supervision: how it starts, ends, and starts again. How it is stopped and removed is in actor.ts. */

import type { ContainerRecord } from "../persist/record.ts";
import type { RestartPolicy } from "../spec/container.ts";
import { NyxError, toErrorData, toNyxError } from "../spec/errors.ts";
import { nowRfc3339 } from "../spec/time.ts";
import type { ExitStatus } from "../../workers/protocol.ts";
import { ContainerActor } from "./actor.ts";
import { untilAvailable } from "./available.ts";
import type { SupervisorDeps } from "./deps.ts";
import { hookFailed, runHooks } from "./hooks.ts";
import { type Joined, launch, type LaunchOptions, takeDown } from "./launch.ts";
import { next, tryNext } from "./machine.ts";
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

/** How long a process was up that ended while no nyxd ran. */
function writtenUptimeMs({ startedAt }: ContainerRecord["state"], { finishedAt }: ExitStatus): number {
  return startedAt === undefined ? 0 : Math.max(0, Date.parse(finishedAt) - Date.parse(startedAt));
}

/** A container under supervision. */
export class Container extends ContainerActor {
  readonly #owner: Owner;
  /** When the present process began, on a clock that nobody sets (performance.now()). */
  #bornMs: number | undefined;
  /** Gives up the start that is under way. */
  #starting: AbortController | undefined;

  /**
   * @param record its record, which the actor owns from now on
   * @param deps the daemon's parts
   * @param owner the supervisor
   */
  constructor(record: ContainerRecord, deps: SupervisorDeps, owner: Owner) {
    super(record, deps);
    this.#owner = owner;
  }

  /** How long the present process has been up, whatever was done to the host's clock since nyxd saw it. */
  get uptimeMs(): number {
    return this.#bornMs === undefined ? 0 : performance.now() - this.#bornMs;
  }

  protected override abandonStart(): void {
    this.#starting?.abort();
  }

  protected override forgotten(): void {
    this.#owner.removed(this);
  }

  protected override kept(): void {
    this.#owner.kept(this);
  }

  #hooked: Promise<void> = Promise.resolve();

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
    this.move("start");
    clearTimeout(this.restartTimer);
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
    this.present = Promise.withResolvers();
    this.present.promise.catch(() => {});
    try {
      this.#owner.demandRoom();
      const { signal } = this.#starting = new AbortController();
      state.pid = await launch(this.deps, this.record, this.#owner.joined(this.record), { ...options, signal });
    } catch (e) {
      throw await this.#startFailed(e);
    } finally {
      this.#starting = undefined;
    }
    this.#bornMs = performance.now();
    this.move("started");
    void this.saveInBackground();
    this.emit("start");
    this.#owner.started(this);
    // Beside the mailbox: a stop need not wait for them.
    this.#hooked = runHooks(this, "postStart", this.deps);
    this.#hooked.catch((e) => hookFailed(this, "postStart", e, this.deps));
    return state.pid;
  }

  /** Settles when the commands after the last start have ended; rejects with what the first failure says. */
  get hooked(): Promise<void> {
    return this.#hooked;
  }

  async #startFailed(e: unknown): Promise<NyxError> {
    const cause = toNyxError(e, "container.start");
    const exitCode = typeof cause.details.context?.["exitCode"] === "number" ? cause.details.context["exitCode"] : 125;
    const state = this.record.state;
    state.exitCode = exitCode;
    state.error = cause.message;
    state.finishedAt = nowRfc3339();
    state.pid = 0;
    this.move("start-failed");
    this.present.resolve({ code: exitCode, finishedAt: state.finishedAt, oomKilled: false, error: cause.message });
    this.emit("die", { exitCode: String(exitCode) });
    await takeDown(this.deps, this.record, false).catch((error) =>
      this.deps.log.warn("A failed start was not taken down completely", { id: this.id, error })
    );
    if (this.record.spec.autoRemove === true) await this.erase(true);
    else await this.saveInBackground();
    const said = cause.message.replaceAll(`container ${this.id}`, `container "${this.name}"`);
    const message = said.startsWith("Could not start") ? said : `Could not start container "${this.name}": ${said}`;
    const { cause: _, ...details } = cause.details;
    return new NyxError(cause.code, message, {
      ...details,
      context: { ...details.context, exitCode, id: this.id },
      cause,
    });
  }

  /** An earlier daemon's process goes on under this one. */
  adopted(): void {
    const { startedAt } = this.record.state;
    const sinceMs = startedAt === undefined ? 0 : Date.now() - Date.parse(startedAt);
    this.#bornMs = performance.now() - Math.max(0, sinceMs);
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
      if (this.record.spec.autoRemove !== true) await this.saveInBackground();
    });
  }

  /** The streams worker reports the end of the process. */
  onExit(exit: ExitStatus): Promise<void> {
    return this.mailbox.run(() => this.#onExit(exit));
  }

  async #onExit(exit: ExitStatus): Promise<void> {
    if (tryNext(this.status, "exit") === undefined) return;
    const state = this.record.state;
    const uptimeMs = Math.round(this.#bornMs === undefined ? writtenUptimeMs(state, exit) : this.uptimeMs);
    this.#bornMs = undefined;
    state.exitCode = exit.code;
    state.finishedAt = exit.finishedAt;
    state.oomKilled = exit.oomKilled;
    state.pid = 0;
    if (exit.error === undefined) delete state.error;
    else state.error = exit.error;
    this.move("exit");
    this.#owner.ended(this);
    if (exit.oomKilled) this.emit("oom");
    this.emit("die", { exitCode: String(exit.code), durationMs: String(uptimeMs) });
    const facts = { exitCode: exit.code, stoppedByUser: state.stoppedByUser, attempts: state.attempts, uptimeMs };
    const again = shouldRestart(this.#policy(), facts);
    const gone = !again && this.record.spec.autoRemove === true;
    if (gone) this.forgotten();
    this.present.resolve(exit);
    if (!gone) await this.saveInBackground();
    await untilAvailable(() => this.deps.stages.streams.call("acknowledge", { id: this.id })).catch((error) =>
      this.deps.log.warn("A monitor did not take its acknowledgement", { id: this.id, error })
    );
    if (gone) {
      this.move("remove");
      await this.erase(true);
      return;
    }
    await takeDown(this.deps, this.record, false).catch((error) =>
      this.deps.log.error("An exited container was not taken down completely", { id: this.id, error })
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
    this.move("schedule-restart");
    void this.saveInBackground();
    this.armRestart(delayMs);
  }

  /** Restarts by policy after `delayMs`, unless somebody stops or starts it first. The state must be restarting. */
  armRestart(delayMs: number): void {
    clearTimeout(this.restartTimer);
    this.restartTimer = setTimeout(() => {
      void this.mailbox.run(async () => {
        if (this.status !== "restarting") return;
        this.record.state.restartCount++;
        try {
          await this.#start({}, false);
        } catch (error) {
          this.deps.log.warn("A restart failed", { id: this.id, error: toErrorData(error) });
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

  /** Freezes all processes. */
  pause(): Promise<void> {
    return this.mailbox.run(async () => {
      next(this.status, "pause", this.name);
      await this.deps.stages.streams.call("pause", { id: this.id });
      this.move("pause");
      await this.saveInBackground();
      this.emit("pause");
    });
  }

  /** Thaws them. */
  unpause(): Promise<void> {
    return this.mailbox.run(async () => {
      next(this.status, "unpause", this.name);
      await this.deps.stages.streams.call("resume", { id: this.id });
      this.move("unpause");
      await this.saveInBackground();
      this.emit("unpause");
    });
  }
}
