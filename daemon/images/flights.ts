/** Work shared by several callers, locks by key, and bounds on how much runs at once. */

import { NyxError } from "../spec/errors.ts";

/** What one caller of shared work brings. */
export interface Waiter<E> {
  signal?: AbortSignal;
  /** Gets the events so far (the latest of each kind), then each new one. */
  onEvent?: (event: E) => void;
}

interface Flight<T, E> {
  controller: AbortController;
  waiters: Set<Waiter<E>>;
  history: Map<string, E>;
  settled: Promise<void>;
  result: Promise<T>;
}

/** What shared work gets. */
export interface FlightContext<E> {
  /** Aborts when the last caller has left. */
  signal: AbortSignal;
  emit(event: E): void;
}

/**
 * Single flight: callers with the same key share one run. A caller's signal takes only that caller out; the run is
 * cancelled when the last one leaves.
 */
export class SharedWork<T, E = never> {
  readonly #flights = new Map<string, Flight<T, E>>();
  readonly #historyKey: (event: E) => string;

  /** @param historyKey events with the same key replace each other for callers who join later */
  constructor(historyKey: (event: E) => string = () => "") {
    this.#historyKey = historyKey;
  }

  /** Keys under way. */
  get keys(): string[] {
    return [...this.#flights.keys()];
  }

  /**
   * Joins the run of a key, or starts it.
   *
   * @returns what the run gives
   * @throws NyxError canceled when the caller's signal aborts; else what the run throws
   */
  async join(key: string, waiter: Waiter<E>, start: (context: FlightContext<E>) => Promise<T>): Promise<T> {
    if (waiter.signal?.aborted) throw canceled();
    let flight = this.#flights.get(key);
    while (flight?.controller.signal.aborted) {
      await flight.settled;
      if (waiter.signal?.aborted) throw canceled();
      flight = this.#flights.get(key);
    }
    flight ??= this.#launch(key, start);
    for (const event of flight.history.values()) waiter.onEvent?.(event);
    flight.waiters.add(waiter);
    return await this.#wait(flight, waiter);
  }

  #launch(key: string, start: (context: FlightContext<E>) => Promise<T>): Flight<T, E> {
    const controller = new AbortController();
    const waiters = new Set<Waiter<E>>();
    const history = new Map<string, E>();
    const emit = (event: E) => {
      const kind = this.#historyKey(event);
      history.delete(kind);
      history.set(kind, event);
      for (const w of waiters) w.onEvent?.(event);
    };
    // The run begins in a later microtask, so that its first events find the caller that started it.
    const result = Promise.resolve().then(() => start({ signal: controller.signal, emit }));
    const settled = result.then(() => {}, () => {}).then(() => {
      this.#flights.delete(key);
    });
    const flight = { controller, waiters, history, settled, result };
    this.#flights.set(key, flight);
    return flight;
  }

  async #wait(flight: Flight<T, E>, waiter: Waiter<E>): Promise<T> {
    const { signal } = waiter;
    if (signal === undefined) return await flight.result.finally(() => flight.waiters.delete(waiter));
    const left = Promise.withResolvers<never>();
    const leave = () => {
      flight.waiters.delete(waiter);
      if (flight.waiters.size > 0) return left.reject(canceled());
      flight.controller.abort(canceled());
      // The last one waits for the run to wind up: afterwards nothing of it is left running.
      void flight.settled.then(() => left.reject(canceled()));
    };
    signal.addEventListener("abort", leave, { once: true });
    try {
      return await Promise.race([flight.result, left.promise]);
    } catch (e) {
      throw signal.aborted ? canceled() : e;
    } finally {
      signal.removeEventListener("abort", leave);
      flight.waiters.delete(waiter);
    }
  }
}

function canceled(): NyxError {
  return new NyxError("canceled", "Canceled by the client");
}

/** Mutual exclusion by key, first come first served. */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<void>>();

  /** Whether somebody holds or awaits a key. */
  isHeld(key: string): boolean {
    return this.#tails.has(key);
  }

  /** Runs `work` while no other of the same key runs. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#tails.set(key, promise);
    try {
      await before;
      return await work();
    } finally {
      resolve();
      if (this.#tails.get(key) === promise) this.#tails.delete(key);
    }
  }
}

/** Counting semaphore, first come first served. */
export class Semaphore {
  #free: number;
  readonly #queue: (() => void)[] = [];

  /** @param slots how many may run at once */
  constructor(slots: number) {
    this.#free = slots;
  }

  /** Runs `work` in a slot; a signal that aborts while waiting takes the caller out of the queue. */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.#acquire(signal);
    try {
      return await work();
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }

  #acquire(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free--;
      return Promise.resolve();
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const enter = () => {
      signal.removeEventListener("abort", leave);
      resolve();
    };
    const leave = () => {
      this.#queue.splice(this.#queue.indexOf(enter), 1);
      reject(signal.reason);
    };
    signal.addEventListener("abort", leave, { once: true });
    this.#queue.push(enter);
    return promise;
  }
}

/** Slots for each of several keys: who fills one key's keeps nobody from another's. */
export class KeyedSemaphore {
  readonly #slots: number;
  readonly #keys = new Map<string, { semaphore: Semaphore; users: number }>();

  /** @param slots how many may run at once under one key */
  constructor(slots: number) {
    this.#slots = slots;
  }

  /** Runs `work` in a slot of the key; a signal that aborts while waiting takes the caller out of the queue. */
  async run<T>(key: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const entry = this.#keys.get(key) ?? { semaphore: new Semaphore(this.#slots), users: 0 };
    this.#keys.set(key, entry);
    entry.users++;
    try {
      return await entry.semaphore.run(signal, work);
    } finally {
      entry.users--;
      if (entry.users === 0) this.#keys.delete(key);
    }
  }
}
