/** Stage workers that start when they are needed and end when they were idle for a while, to save their memory. */

import type { StageTypes } from "../../workers/envelope.ts";
import type { WorkerHost } from "../../workers/host.ts";

/** What the store needs of a worker's host; a double in tests has no more. */
export type StageHost<S extends StageTypes> = Pick<WorkerHost<S>, "call" | "ready" | "pending" | "terminate">;

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
  readonly #queue: ((lease: Lease<S>) => void)[] = [];
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

  /** A lease, when one is free now: on an idle worker, on a new one, or on the least busy one. */
  tryAcquire(): Lease<S> | undefined {
    if (this.#disposed) return undefined;
    const { size, perWorker } = this.#options;
    let best = this.#members.reduce<Member<S> | undefined>(
      (b, m) => b === undefined || m.users < b.users ? m : b,
      undefined,
    );
    if ((best === undefined || best.users > 0) && this.#members.length < size) best = this.#grow();
    if (best === undefined || best.users >= perWorker) return undefined;
    return this.#lease(best);
  }

  /** A lease, as soon as one is free. */
  acquire(signal: AbortSignal): Promise<Lease<S>> {
    signal.throwIfAborted();
    const now = this.tryAcquire();
    if (now !== undefined) return Promise.resolve(now);
    const { promise, resolve, reject } = Promise.withResolvers<Lease<S>>();
    const enter = (lease: Lease<S>) => {
      signal.removeEventListener("abort", leave);
      resolve(lease);
    };
    const leave = () => {
      this.#queue.splice(this.#queue.indexOf(enter), 1);
      reject(signal.reason);
    };
    signal.addEventListener("abort", leave, { once: true });
    this.#queue.push(enter);
    return promise;
  }

  /** Ends all workers; what they were doing fails as unavailable. */
  dispose(): void {
    this.#disposed = true;
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
    if (next !== undefined) next(this.#lease(member));
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

/** Runs `work` on a worker of the pool, as soon as one is free and ready. */
export async function withWorker<S extends StageTypes, T>(
  pool: WorkerPool<S>,
  signal: AbortSignal,
  work: (host: StageHost<S>) => Promise<T>,
): Promise<T> {
  using lease = await pool.acquire(signal);
  await lease.host.ready;
  return await work(lease.host);
}
