/**
 * A one-way byte stream between two threads over a MessagePort, with credit so that the sender never runs ahead.
 *
 * The receiver grants a window of bytes; each chunk spends its length and each consumed chunk grants it back. Chunks are
 * transferred, not copied. End and error are frames of their own, so a truncated stream is never taken for a whole one.
 */

import { type ErrorData, fromErrorData, NyxError, toErrorData } from "../daemon/spec/errors.ts";

type Frame =
  | { type: "chunk"; bytes: Uint8Array<ArrayBuffer> }
  | { type: "end" }
  | { type: "error"; error: ErrorData }
  | { type: "credit"; bytes: number }
  | { type: "cancel"; error: ErrorData };

/** Bytes that may be under way by default. */
export const DEFAULT_WINDOW = 4 * 1024 * 1024;

/** Sending end. Exactly one of {@linkcode end} and {@linkcode fail} is called; both close the port. */
export class ByteSender {
  readonly #port: MessagePort;
  #credit: number;
  #wake: PromiseWithResolvers<void> | undefined;
  #canceled: NyxError | undefined;

  /**
   * @param port one port of a MessageChannel
   * @param window bytes that may be under way
   */
  constructor(port: MessagePort, window: number = DEFAULT_WINDOW) {
    this.#port = port;
    this.#credit = window;
    port.onmessage = (e: MessageEvent<Frame>) => {
      if (e.data.type === "credit") this.#credit += e.data.bytes;
      else if (e.data.type === "cancel") this.#canceled = fromErrorData(e.data.error);
      this.#wake?.resolve();
      this.#wake = undefined;
    };
  }

  /**
   * Sends a chunk when there is credit; the buffer is transferred and must not be used afterwards.
   *
   * @throws NyxError that the receiver cancelled with
   */
  async send(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    while (this.#credit <= 0 && this.#canceled === undefined) {
      this.#wake ??= Promise.withResolvers<void>();
      await this.#wake.promise;
    }
    if (this.#canceled !== undefined) throw this.#canceled;
    this.#credit -= bytes.byteLength;
    this.#port.postMessage({ type: "chunk", bytes } satisfies Frame, [bytes.buffer]);
  }

  /** The error the receiver cancelled with, if it did. */
  get canceled(): NyxError | undefined {
    return this.#canceled;
  }

  /** Marks the stream complete. */
  end(): void {
    this.#port.postMessage({ type: "end" } satisfies Frame);
    this.#port.close();
  }

  /** Marks the stream broken. */
  fail(e: unknown): void {
    this.#port.postMessage({ type: "error", error: toErrorData(e) } satisfies Frame);
    this.#port.close();
  }
}

/** Receiving end: iterate it once. Leaving the loop early cancels the sender. */
export class ByteReceiver implements AsyncIterable<Uint8Array<ArrayBuffer>> {
  readonly #port: MessagePort;
  readonly #queue: Frame[] = [];
  #wake: PromiseWithResolvers<void> | undefined;
  #closed = false;

  /** @param port the other port of the sender's MessageChannel */
  constructor(port: MessagePort) {
    this.#port = port;
    port.onmessage = (e: MessageEvent<Frame>) => {
      this.#queue.push(e.data);
      this.#wake?.resolve();
      this.#wake = undefined;
    };
  }

  /** Tells the sender to stop and closes the port. Idempotent. */
  cancel(e: unknown = new NyxError("canceled", "The receiver stopped reading")): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue.length = 0;
    this.#port.postMessage({ type: "cancel", error: toErrorData(e) } satisfies Frame);
    this.#port.close();
    this.#queue.push({ type: "error", error: toErrorData(e) });
    this.#wake?.resolve();
  }

  /** Chunks in order; throws the sender's error. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
    let done = false;
    try {
      while (true) {
        const frame = this.#queue.shift();
        if (frame === undefined) {
          this.#wake ??= Promise.withResolvers<void>();
          await this.#wake.promise;
          continue;
        }
        if (frame.type === "end") {
          done = true;
          return;
        }
        if (frame.type === "error") {
          done = true;
          throw fromErrorData(frame.error);
        }
        if (frame.type !== "chunk") continue;
        const length = frame.bytes.byteLength;
        yield frame.bytes;
        if (!this.#closed) this.#port.postMessage({ type: "credit", bytes: length } satisfies Frame);
      }
    } finally {
      if (done && !this.#closed) {
        this.#closed = true;
        this.#port.close();
      } else this.cancel();
    }
  }
}

/**
 * Sends a whole body to an operation at the other end of a port.
 *
 * @returns what the operation gives
 * @throws the operation's reason where it stopped reading, which says more than that it did; else the body's
 */
export async function sendBody<T>(
  port: MessagePort,
  body: AsyncIterable<Uint8Array>,
  operation: Promise<T>,
): Promise<T> {
  operation.catch(() => {});
  const sender = new ByteSender(port);
  try {
    for await (const bytes of body) await sender.send(new Uint8Array(bytes));
    sender.end();
  } catch (e) {
    sender.fail(e);
    await operation;
    throw e;
  }
  return await operation;
}
