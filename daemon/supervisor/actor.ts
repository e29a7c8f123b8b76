/** A container as an actor: its record, its mailbox, its watchers, and the ways in which it ends: stop, kill, removal. */

import type { ContainerRecord } from "../persist/record.ts";
import type { ContainerStatus } from "../spec/container.ts";
import { NyxError, toNyxError } from "../spec/errors.ts";
import type { ExitStatus, StreamsStage } from "../../workers/protocol.ts";
import { untilAvailable } from "./available.ts";
import type { SupervisorDeps } from "./deps.ts";
import { erase, settledWithin } from "./erase.ts";
import { LIVE, next, type Transition, tryNext } from "./machine.ts";
import { Mailbox } from "./mailbox.ts";

/** How long KILL may take before a stop gives up. */
const KILL_GRACE_MS = 10_000;

/** How long a forced removal lets a start go on that is under way. */
const START_GRACE_MS = 1000;

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

/** What a container is and how it ends; how it begins, and begins again, is its subclass's. */
export abstract class ContainerActor {
  readonly record: ContainerRecord;
  readonly mailbox = new Mailbox();
  /** The daemon's parts. */
  protected readonly deps: SupervisorDeps;
  /** Settles when the present process ends; replaced at each start. */
  protected present: PromiseWithResolvers<ExitStatus> = Promise.withResolvers();
  /** Runs while it waits to be restarted. */
  protected restartTimer: ReturnType<typeof setTimeout> | undefined;
  #removal: Promise<void> | undefined;
  readonly #watchers = new Set<() => void>();

  /**
   * @param record its record, which the actor owns from now on
   * @param deps the daemon's parts
   */
  constructor(record: ContainerRecord, deps: SupervisorDeps) {
    this.record = record;
    this.deps = deps;
  }

  /** Gives up a start that is under way. */
  protected abstract abandonStart(): void;
  /** It is gone for good: its owner forgets it. Called before the files are deleted, so that its name is free at once. */
  protected abstract forgotten(): void;
  /** Its removal failed: its owner knows it again, so that somebody can see it and try once more. */
  protected abstract kept(): void;

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
    return this.present.promise;
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
    this.deps.events.emit("container", action, this.id, {
      name: this.name,
      image: this.record.image.ref,
      ...Object.fromEntries(labels),
      ...attributes,
    });
  }

  protected move(transition: Transition): void {
    const from = this.status;
    const to = next(from, transition, this.name);
    this.record.state.status = to;
    this.deps.log.debug("Container changed state", { id: this.id, from, to, transition });
    this.notify();
  }

  /** Saves the record; resolves when it is durable. */
  save(): Promise<void> {
    return this.deps.store.save(this.record);
  }

  protected async saveInBackground(): Promise<void> {
    try {
      await this.save();
    } catch (error) {
      this.deps.log.error("A container record could not be saved", { id: this.id, error });
    }
  }

  /**
   * Stops: signal, grace, KILL. A container that is not running is left as it is; one that waits for a restart stays down.
   *
   * @param signal first signal
   * @param graceMs wait before KILL; negative waits for ever
   */
  async stop(signal: string, graceMs: number): Promise<void> {
    this.record.state.stoppedByUser = true;
    using _patience = this.#patience(graceMs);
    const running = await this.mailbox.run(async () => {
      if (this.status === "restarting") {
        clearTimeout(this.restartTimer);
        delete this.record.state.nextRestartAt;
        this.move("cancel-restart");
        await this.saveInBackground();
        return undefined;
      }
      if (!this.live) {
        void this.saveInBackground();
        return undefined;
      }
      const paused = this.status === "paused";
      this.move("stop");
      if (paused) await this.deps.stages.streams.call("resume", { id: this.id });
      await this.#signal(signal, false);
      return { exited: this.present.promise };
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

  /** Until it is disposed: gives up a start that is in the way for longer than `ms`; negative never does. */
  #patience(ms: number): Disposable {
    const timer = ms < 0 || this.status !== "starting" ? undefined : setTimeout(() => this.abandonStart(), ms);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
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
    const { streams } = this.deps.stages;
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
      using _patience = this.#patience(START_GRACE_MS);
      await this.#killForRemoval();
    }
    this.#removal ??= this.mailbox.run(async () => {
      if (this.status === "restarting") {
        clearTimeout(this.restartTimer);
        this.move("cancel-restart");
      }
      if (this.status === "removing") return;
      this.move("remove");
      await this.save();
      await this.erase(options.volumes);
    }).finally(() => this.#removal = undefined);
    await this.#removal;
  }

  async #killForRemoval(): Promise<void> {
    await this.mailbox.run(() => {});
    if (!this.live) return;
    const running = this.present.promise;
    if (this.status === "paused") await this.deps.stages.streams.call("resume", { id: this.id });
    await this.#signal("KILL", true);
    if (!await settledWithin(running, KILL_GRACE_MS)) {
      throw new NyxError("deadline_exceeded", `Could not remove container "${this.name}": its process survives KILL`, {
        retryable: true,
      });
    }
  }

  protected async erase(volumes: boolean): Promise<void> {
    try {
      this.forgotten();
      await erase(this.deps, this.record, volumes);
    } catch (e) {
      if (tryNext(this.status, "remove-failed") !== undefined) this.move("remove-failed");
      this.record.state.error = toNyxError(e).message;
      this.kept();
      await this.saveInBackground();
      this.deps.log.error("A container was not removed completely", { id: this.id, error: e });
      throw e;
    }
    this.emit("destroy");
    this.notify();
  }

  /** Finishes a removal that an earlier daemon began. */
  finishRemoval(): Promise<void> {
    return this.mailbox.run(() => {
      this.record.state.status = "removing";
      return this.erase(true);
    });
  }
}
