/** Serve side of the worker protocol: a stage's entry module calls {@linkcode serve} once with its operations. */

import { NyxError, toErrorData } from "../daemon/spec/errors.ts";
import { type HostFrame, type LogLevel, PROTOCOL_VERSION, type StageTypes, type WorkerFrame } from "./envelope.ts";

/** What an operation gets beside its payload. */
export interface OpContext<P> {
  /** Aborts when the host cancels or the deadline passes; `reason` is a NyxError. */
  readonly signal: AbortSignal;
  /** Sends one progress payload; the caller coalesces to about 10 a second for each item. */
  progress(payload: P, transfer?: Transferable[]): void;
}

/** Handlers of a stage, one for each operation. A handler may be synchronous. */
export type Handlers<S extends StageTypes> = {
  [K in keyof S["ops"]]: (
    payload: S["ops"][K]["request"],
    ctx: OpContext<S["ops"][K]["progress"]>,
  ) => S["ops"][K]["result"] | Promise<S["ops"][K]["result"]>;
};

/** A worker's way to speak outside any request. */
export interface Emitter<S extends StageTypes> {
  /** Sends an unsolicited event. */
  event(payload: S["event"], transfer?: Transferable[]): void;
  /** Writes a line of the daemon's log. */
  log(level: LogLevel, msg: string, fields?: Record<string, unknown>): void;
}

/** Marks an operation's result so that buffers or ports in it are transferred, not copied. */
export class Transfer<T> {
  /**
   * @param value the result
   * @param list what in it to transfer
   */
  constructor(readonly value: T, readonly list: Transferable[]) {}
}

declare const self: DedicatedWorkerGlobalScope;

function send(frame: WorkerFrame, transfer: Transferable[] = []): void {
  self.postMessage(frame, transfer);
}

/** The emitter of this thread, for modules that report events or log lines. */
export function emitter<S extends StageTypes>(): Emitter<S> {
  return {
    event: (payload, transfer) => send({ type: "event", payload }, transfer),
    log: (level, msg, fields = {}) => send({ type: "log", level, msg, fields }),
  };
}

/**
 * Serves the operations of one stage on this worker until it is terminated.
 *
 * @param worker stage name
 * @param handlers one function an operation
 */
export function serve<S extends StageTypes>(worker: string, handlers: Handlers<S>): void {
  const running = new Map<number, AbortController>();

  const run = async (frame: Extract<HostFrame, { type: "request" }>): Promise<void> => {
    const { id, op, payload, deadlineMs } = frame;
    const controller = new AbortController();
    running.set(id, controller);
    let seq = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    if (deadlineMs !== undefined) {
      timer = setTimeout(() =>
        controller.abort(
          new NyxError("deadline_exceeded", `${worker}.${op} did not finish within ${deadlineMs} ms`),
        ), deadlineMs);
    }
    try {
      const handler = Object.hasOwn(handlers, op) ? handlers[op as keyof S["ops"]] : undefined;
      if (handler === undefined) throw new NyxError("unimplemented", `Worker ${worker} has no operation "${op}"`);
      const result: unknown = await handler(payload as never, {
        signal: controller.signal,
        progress: (p, transfer) => {
          if (running.has(id)) send({ type: "progress", id, seq: ++seq, payload: p }, transfer);
        },
      });
      running.delete(id);
      if (result instanceof Transfer) send({ type: "result", id, payload: result.value }, result.list);
      else send({ type: "result", id, payload: result });
    } catch (e) {
      running.delete(id);
      const cause = controller.signal.aborted && (e as { name?: string } | null)?.name === "AbortError"
        ? controller.signal.reason
        : e;
      send({ type: "failure", id, error: toErrorData(cause, `${worker}.${op}`) });
    } finally {
      clearTimeout(timer);
    }
  };

  self.onmessage = (e: MessageEvent<HostFrame>) => {
    const frame = e.data;
    if (frame.type === "request") void run(frame);
    else if (frame.type === "cancel") {
      running.get(frame.id)?.abort(new NyxError("canceled", `${worker} request ${frame.id} was canceled`));
    }
  };
  self.addEventListener("unhandledrejection", (e) => {
    e.preventDefault();
    send({
      type: "log",
      level: "error",
      msg: "Unhandled rejection in worker",
      fields: { error: toErrorData(e.reason) },
    });
  });
  send({ type: "ready", worker, version: PROTOCOL_VERSION, ops: Object.keys(handlers) });
}
