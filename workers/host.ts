/** Host side of the worker protocol: starts a stage worker, correlates requests, cancels, and respawns it when it dies. */

import { type ErrorData, fromErrorData, NyxError, toNyxError } from "../daemon/spec/errors.ts";
import { type HostFrame, type LogLevel, PROTOCOL_VERSION, type StageTypes, type WorkerFrame } from "./envelope.ts";

/** What a stage worker may do, in Deno's terms; see the `worker-options` feature. */
export type WorkerPermissions = Deno.PermissionOptions;

/** How to start and watch a stage worker. */
export interface HostOptions<S extends StageTypes> {
  /** Stage name, for errors and logs. */
  name: string;
  /** Entry module; must be written `new URL("./x.ts", import.meta.url)` at the call so that `deno compile` finds it. */
  start: () => Worker;
  /** Most requests under way at once; more are refused with resource_exhausted. Default 4096. */
  maxPending?: number;
  /** Called with each event of the worker. */
  onEvent?: (event: S["event"]) => void;
  /** Called with each log line of the worker. */
  onLog?: (level: LogLevel, msg: string, fields: Record<string, unknown>) => void;
  /** Called when a request is sent; what it returns is called at its end, with the code of an error. */
  onCall?: (op: string) => (error?: string) => void;
  /** Called when the worker was stopped for good. */
  onTerminate?: () => void;
  /** Called after a dead worker was replaced, so that its owner can send the worker its state anew; settles when it has. */
  onRespawn?: () => Promise<unknown> | undefined;
}

/** Options of one request. */
export interface CallOptions<P> {
  /** Cancels the request in the worker; the call rejects when the worker has confirmed it. */
  signal?: AbortSignal;
  /** Bound on the whole operation in milliseconds; none by default. */
  deadlineMs?: number;
  /** Called for each progress payload, in order. */
  onProgress?: (payload: P) => void;
  /** Buffers and ports of the payload to transfer. */
  transfer?: Transferable[];
}

interface Pending {
  resolve(payload: unknown): void;
  reject(e: Error): void;
  onProgress: ((payload: unknown) => void) | undefined;
}

const RESPAWN_MIN_MS = 50;
const RESPAWN_MAX_MS = 5_000;

/** One stage worker as the main thread sees it. Dispose it with {@linkcode WorkerHost.terminate}. */
export class WorkerHost<S extends StageTypes> {
  readonly #options: HostOptions<S>;
  readonly #pending = new Map<number, Pending>();
  #worker: Worker | undefined;
  #nextId = 1;
  #respawnDelayMs = RESPAWN_MIN_MS;
  #respawnTimer: ReturnType<typeof setTimeout> | undefined;
  #terminated = false;
  #ready = Promise.withResolvers<void>();
  #available: Promise<unknown> = Promise.resolve();

  /** @param options how to start and watch the worker; it starts at once */
  constructor(options: HostOptions<S>) {
    this.#options = options;
    this.#spawn();
  }

  /** Resolves when the worker has announced itself; rejects when it dies before it does. After a death, a new promise. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** Resolves, at once as a rule, when no dead worker is being replaced: the present one has its state. */
  async available(): Promise<void> {
    await this.#available;
  }

  /** Requests under way. */
  get pending(): number {
    return this.#pending.size;
  }

  /**
   * Sends one request and waits for its one answer.
   *
   * @param op operation name
   * @param payload its request
   * @param options cancel, deadline, progress, transfer
   * @throws NyxError as the worker answered; `unavailable` when the worker died; `resource_exhausted` when its queue is full
   */
  call<K extends keyof S["ops"] & string>(
    op: K,
    payload: S["ops"][K]["request"],
    options: CallOptions<S["ops"][K]["progress"]> = {},
  ): Promise<S["ops"][K]["result"]> {
    const { signal, deadlineMs, onProgress, transfer = [] } = options;
    const name = `${this.#options.name}.${op}`;
    if (this.#terminated || this.#worker === undefined) {
      return Promise.reject(
        new NyxError("unavailable", `Could not run ${name}: the worker is not running`, { retryable: true }),
      );
    }
    if (this.#pending.size >= (this.#options.maxPending ?? 4096)) {
      return Promise.reject(
        new NyxError(
          "resource_exhausted",
          `Could not run ${name}: ${this.#pending.size} requests are already waiting`,
          {
            retryable: true,
          },
        ),
      );
    }
    if (signal?.aborted) return Promise.reject(new NyxError("canceled", `${name} was canceled before it began`));
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const onAbort = () => this.#post({ type: "cancel", id });
    const ended = this.#options.onCall?.(op);
    this.#pending.set(id, {
      resolve: (p) => {
        signal?.removeEventListener("abort", onAbort);
        ended?.();
        resolve(p);
      },
      reject: (e) => {
        signal?.removeEventListener("abort", onAbort);
        ended?.(toNyxError(e).code);
        reject(e);
      },
      onProgress: onProgress as ((payload: unknown) => void) | undefined,
    });
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      this.#worker.postMessage(
        { type: "request", id, op, payload, ...(deadlineMs === undefined ? {} : { deadlineMs }) } satisfies HostFrame,
        transfer,
      );
    } catch (e) {
      this.#pending.get(id)?.reject(
        new NyxError("internal", `Could not send ${name}: the payload cannot be cloned`, { cause: e }),
      );
      this.#pending.delete(id);
    }
    return promise as Promise<S["ops"][K]["result"]>;
  }

  /** Stops the worker; everything under way fails as unavailable. Idempotent. */
  terminate(): void {
    this.#terminated = true;
    clearTimeout(this.#respawnTimer);
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#failAll("was stopped");
    this.#ready.promise.catch(() => {});
    this.#ready.reject(new NyxError("unavailable", `Worker ${this.#options.name} was stopped`));
    this.#options.onTerminate?.();
  }

  #post(frame: HostFrame): void {
    this.#worker?.postMessage(frame);
  }

  #spawn(): void {
    const worker = this.#options.start();
    this.#worker = worker;
    worker.onmessage = (e: MessageEvent<WorkerFrame>) => this.#onFrame(worker, e.data);
    worker.onerror = (e) => {
      e.preventDefault();
      this.#onDeath(worker, e.message);
    };
    worker.onmessageerror = () => this.#onDeath(worker, "a frame could not be decoded");
  }

  #onFrame(worker: Worker, frame: WorkerFrame): void {
    if (worker !== this.#worker) return;
    switch (frame.type) {
      case "ready":
        if (frame.version !== PROTOCOL_VERSION) {
          this.#onDeath(worker, `it speaks protocol ${frame.version}, not ${PROTOCOL_VERSION}`);
          return;
        }
        this.#respawnDelayMs = RESPAWN_MIN_MS;
        this.#ready.resolve();
        return;
      case "progress":
        this.#pending.get(frame.id)?.onProgress?.(frame.payload);
        return;
      case "result":
        this.#take(frame.id)?.resolve(frame.payload);
        return;
      case "failure":
        this.#take(frame.id)?.reject(fromErrorData(frame.error satisfies ErrorData));
        return;
      case "event":
        this.#options.onEvent?.(frame.payload);
        return;
      case "log":
        this.#options.onLog?.(frame.level, frame.msg, frame.fields);
    }
  }

  #take(id: number): Pending | undefined {
    const p = this.#pending.get(id);
    this.#pending.delete(id);
    return p;
  }

  #failAll(why: string): void {
    const all = [...this.#pending.values()];
    this.#pending.clear();
    for (const p of all) {
      p.reject(new NyxError("unavailable", `Worker ${this.#options.name} ${why}`, { retryable: true }));
    }
  }

  #onDeath(worker: Worker, why: string): void {
    if (worker !== this.#worker) return;
    this.#worker = undefined;
    worker.terminate();
    this.#options.onLog?.("error", `Worker ${this.#options.name} died; it is started again`, {
      why,
      delayMs: this.#respawnDelayMs,
      lostRequests: this.#pending.size,
    });
    this.#failAll(`died: ${why}`);
    if (this.#terminated) return;
    this.#ready.promise.catch(() => {});
    this.#ready.reject(new NyxError("unavailable", `Worker ${this.#options.name} died while it started: ${why}`));
    this.#ready = Promise.withResolvers<void>();
    const settled = Promise.withResolvers<unknown>();
    this.#available = settled.promise;
    this.#respawnTimer = setTimeout(() => {
      this.#spawn();
      settled.resolve(this.#options.onRespawn?.()?.catch(() => {}));
    }, this.#respawnDelayMs);
    this.#respawnDelayMs = Math.min(this.#respawnDelayMs * 2, RESPAWN_MAX_MS);
  }
}
