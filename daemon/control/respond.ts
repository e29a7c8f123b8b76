/** Answers: JSON, errors, and streams that stop when their reader does. */

import { HTTP_STATUS, NyxError, toErrorData } from "../spec/errors.ts";
import type { ControlContext, ControlLog } from "./context.ts";

const encoder = new TextEncoder();

/** A JSON answer. */
export function json(document: unknown, status = 200, headers: Record<string, string> = {}): Response {
  return new Response(`${JSON.stringify(document)}\n`, {
    status,
    headers: { "content-type": "application/json", ...headers },
  });
}

/**
 * The error to tell for whatever was thrown. What is nyx's own fault gets an incident id, under which the log has it all.
 *
 * @param e what was thrown
 * @param log where internal errors are written
 * @param op the route
 */
export function asError(e: unknown, log: ControlLog, op: string): NyxError {
  if (e instanceof NyxError && e.code !== "internal") return e;
  const data = toErrorData(e, op);
  if (data.code !== "internal") {
    return e instanceof NyxError ? e : new NyxError(data.code, data.message, { op, cause: e });
  }
  const incident = crypto.randomUUID().slice(0, 8);
  log.error("request failed", { incident, op, error: e, stack: e instanceof Error ? e.stack : undefined });
  const { cause: _cause, code: _code, message, ...rest } = data;
  return new NyxError("internal", `${message} (incident ${incident}: the daemon's log has the details)`, {
    ...rest,
    context: { ...rest.context, incident },
  });
}

/** The answer to a failed request. */
export function errorResponse(e: NyxError, headers: Record<string, string> = {}): Response {
  return json({ error: toErrorData(e) }, HTTP_STATUS[e.code], headers);
}

/** What a stream's producer may do. */
export interface StreamHandle {
  /** Aborts when the reader is gone or the server closes; its reason is a NyxError. */
  signal: AbortSignal;
}

/**
 * A body that pulls from `source` as fast as it is read. When the reader is gone, or the server closes, `signal` aborts and
 * `source` is told to return; it must then end soon.
 *
 * @param make makes the source; what it throws breaks the connection, so that nobody takes the body for whole
 */
export function streamBody(
  context: ControlContext,
  make: (handle: StreamHandle) => AsyncIterable<Uint8Array>,
): ReadableStream<Uint8Array> {
  const abort = new AbortController();
  const forget = context.live.add((reason) => abort.abort(reason));
  let iterator: AsyncIterator<Uint8Array> | undefined;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        iterator ??= make({ signal: abort.signal })[Symbol.asyncIterator]();
        const next = await iterator.next();
        if (next.done !== true) return controller.enqueue(next.value);
        forget();
        controller.close();
      } catch (e) {
        forget();
        controller.error(e);
      }
    },
    cancel() {
      forget();
      abort.abort(new NyxError("canceled", "The client closed the connection"));
      // Not awaited: the source may sit in a wait that the signal ends.
      iterator?.return?.().catch(() => {});
    },
  });
}

/** A streamed answer. */
export function streamed(
  type: string,
  body: ReadableStream<Uint8Array>,
  headers: Record<string, string> = {},
): Response {
  return new Response(body, { headers: { "content-type": type, "cache-control": "no-store", ...headers } });
}

/** One JSON line. */
export function lineOf(value: unknown): Uint8Array {
  return encoder.encode(`${JSON.stringify(value)}\n`);
}

/** Lines pushed by one side, pulled by the other; of many unread progress lines only the newest matter. */
export class LineQueue<T> {
  readonly #lines: T[] = [];
  #wake = Promise.withResolvers<void>();
  #over = false;

  /**
   * Adds a line.
   *
   * @param droppable may be left out when the reader lags by more than 256 lines
   */
  push(value: T, droppable = false): void {
    if (droppable && this.#lines.length > 256) return;
    this.#lines.push(value);
    this.#wake.resolve();
  }

  /** No more lines come. */
  end(): void {
    this.#over = true;
    this.#wake.resolve();
  }

  /** Lines in order, until the end or the abort. */
  async *drain(signal: AbortSignal): AsyncGenerator<T, void, void> {
    const stop = () => this.end();
    signal.addEventListener("abort", stop, { once: true });
    try {
      while (!signal.aborted) {
        const line = this.#lines.shift();
        if (line !== undefined) yield line;
        else if (this.#over) return;
        else {
          this.#wake = Promise.withResolvers<void>();
          await this.#wake.promise;
        }
      }
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }
}
