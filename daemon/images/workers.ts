/** Stage workers that start when they are needed and end when they were idle for a while, to save their memory. */

import { NyxError } from "../spec/errors.ts";
import type { StageTypes } from "../../workers/envelope.ts";
import type { WorkerHost } from "../../workers/host.ts";

/** What the store needs of a worker's host; a double in tests has no more. */
export type StageHost<S extends StageTypes> = Pick<WorkerHost<S>, "call" | "ready" | "pending" | "terminate">;

/** How long a request waits for a worker that starts, or is started again after it died; then it fails with the reason. */
const START_MS = 3_000;

/** Idle time after which a worker is ended, milliseconds. */
export const IDLE_MS = 60_000;

interface Member<S extends StageTypes> {
  host: StageHost<S>;
  users: number;
  idleTimer: ReturnType<typeof setTimeout> | undefined;
}

/** The right to run one operation on a worker. Dispose it when the operation has ended. */
export interface Lease<S extends StageTypes> extends Disposable {
  readonly host: StageHost<S>;
}

/** How many workers, and how busy. */
export interface PoolOptions {
  /** Most workers. */
  size: number;
  /** Operations that one worker runs interleaved. */
  perWorker: number;
  /** Milliseconds; default {@linkcode IDLE_MS}. */
  idleMs?: number;
}

/** Workers of one stage. A worker in the middle of an operation is never ended. */
export class WorkerPool<S extends StageTypes> {
  readonly #start: () => StageHost<S>;
  readonly #options: PoolOptions;
  readonly #members: Member<S>[] = [];
  readonly #queue: { enter: (lease: Lease<S>) => void; refuse: (e: Error) => void }[] = [];
  #disposed = false;

  /**
   * @param start starts a worker
   * @param options size, and operations for each worker
   */
  constructor(start: () => StageHost<S>, options: PoolOptions) {
    this.#start = start;
    this.#options = options;
  }

  /** Workers that run now. */
  get workers(): number {
    return this.#members.length;
  }

  /** Starts a worker when there is none, so that it is ready when the work comes. */
  warm(): void {
    if (this.#members.length === 0 && !this.#disposed) this.#retireLater(this.#grow());
  }

  /**
   * A lease, when one is free now: on an idle worker, on a new one, or on the least busy one.
   *
   * @param keepFree leases that must be left for others
   */
  tryAcquire(keepFree = 0): Lease<S> | undefined {
    if (this.#disposed) return undefined;
    const { size, perWorker } = this.#options;
    const used = this.#members.reduce((n, m) => n + m.users, 0);
    if (keepFree > 0 && size * perWorker - used <= keepFree) return undefined;
    let best = this.#members.reduce<Member<S> | undefined>(
      (b, m) => b === undefined || m.users < b.users ? m : b,
      undefined,
    );
    if ((best === undefined || best.users > 0) && this.#members.length < size) best = this.#grow();
    if (best === undefined || best.users >= perWorker) return undefined;
    return this.#lease(best);
  }

  /** A lease, as soon as one is free; rejects with unavailable when the pool is disposed. */
  acquire(signal: AbortSignal): Promise<Lease<S>> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#disposed) return Promise.reject(stopped());
    const now = this.tryAcquire();
    if (now !== undefined) return Promise.resolve(now);
    const { promise, resolve, reject } = Promise.withResolvers<Lease<S>>();
    const waiting = {
      enter: (lease: Lease<S>) => {
        signal.removeEventListener("abort", leave);
        resolve(lease);
      },
      refuse: reject,
    };
    const leave = () => {
      this.#queue.splice(this.#queue.indexOf(waiting), 1);
      reject(signal.reason);
    };
    signal.addEventListener("abort", leave, { once: true });
    this.#queue.push(waiting);
    return promise;
  }

  /** Ends all workers; what they were doing fails as unavailable. */
  dispose(): void {
    this.#disposed = true;
    for (const { refuse } of this.#queue.splice(0)) refuse(stopped());
    for (const member of this.#members.splice(0)) {
      clearTimeout(member.idleTimer);
      member.host.terminate();
    }
  }

  #grow(): Member<S> {
    const member: Member<S> = { host: this.#start(), users: 0, idleTimer: undefined };
    member.host.ready.catch(() => {});
    this.#members.push(member);
    return member;
  }

  #lease(member: Member<S>): Lease<S> {
    clearTimeout(member.idleTimer);
    member.users++;
    let held = true;
    return {
      host: member.host,
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        member.users--;
        this.#released(member);
      },
    };
  }

  #released(member: Member<S>): void {
    const next = this.#disposed ? undefined : this.#queue.shift();
    if (next !== undefined) next.enter(this.#lease(member));
    else if (member.users === 0) this.#retireLater(member);
  }

  #retireLater(member: Member<S>): void {
    if (this.#disposed) return;
    member.idleTimer = setTimeout(() => {
      if (member.users > 0 || member.host.pending > 0) return;
      this.#members.splice(this.#members.indexOf(member), 1);
      member.host.terminate();
    }, this.#options.idleMs ?? IDLE_MS);
    Deno.unrefTimer(member.idleTimer);
  }
}

function stopped(): NyxError {
  return new NyxError("unavailable", "The image workers were stopped: the daemon is shutting down", { op: "images" });
}

/** Runs `work` on a worker of the pool, as soon as one is free and ready. */
export async function withWorker<S extends StageTypes, T>(
  pool: WorkerPool<S>,
  signal: AbortSignal,
  work: (host: StageHost<S>) => Promise<T>,
): Promise<T> {
  using lease = await pool.acquire(signal);
  await started(lease.host);
  return await work(lease.host);
}

/** Waits until a worker is ready, or for a bounded time: one that cannot start must fail its requests, not hold them. */
export async function started<S extends StageTypes>(host: StageHost<S>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, START_MS);
  try {
    await Promise.race([host.ready, promise]);
  } finally {
    clearTimeout(timer);
  }
}
