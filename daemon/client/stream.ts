/** The client's end of an attached stream (run, start, attach, exec): frames both ways over one HTTP exchange. */

import type { StreamEvent } from "../spec/api.ts";
import { NyxError } from "../spec/errors.ts";
import { channelPayload, FRAME, FrameDecoder, parseChannel, STDIN_WINDOW } from "../spec/frames.ts";
import type { ResponseHead, Wire } from "./wire.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
/** Longest stdin frame sent. */
const PIECE = 128 * 1024;

/** What comes out of an attached stream: output in order, and events; `exit` or `error` is the last. */
export type AttachedOutput =
  | { kind: "stdout" | "stderr"; bytes: Uint8Array }
  /** Bytes of a channel that a `channel` event opened; none is its end. */
  | { kind: "channel"; channel: number; bytes: Uint8Array }
  | { kind: "event"; event: StreamEvent };

/**
 * An attached process. Iterate it once for its output; leaving the loop early, or {@linkcode close}, detaches and leaves the
 * process alone. Back-pressure holds both ways: output that is not read stops the process when its pipes are full, and
 * {@linkcode write} waits while the process takes no input. Permission to write more comes with the output, so read while writing.
 */
export class AttachedStream implements AsyncIterable<AttachedOutput>, Disposable {
  readonly #wire: Wire;
  readonly #head: ResponseHead;
  readonly #release: () => void;
  #inputEnded = false;
  #credit = STDIN_WINDOW;
  #wake: () => void = () => {};

  /**
   * Made by the client's attaching calls.
   *
   * @param wire connection after the response head; owned from now on
   * @param head the response head
   * @param release called once, when the stream is over
   */
  constructor(wire: Wire, head: ResponseHead, release: () => void) {
    this.#wire = wire;
    this.#head = head;
    this.#release = release;
  }

  /**
   * Sends bytes to the process's standard input.
   *
   * @param bytes any length; not kept
   * @returns false when the process takes no more input (it ended, or stdin was closed)
   */
  async write(bytes: Uint8Array): Promise<boolean> {
    for (let at = 0; at < bytes.byteLength;) {
      if (this.#inputEnded || this.#wire.closed) return false;
      if (this.#credit === 0) {
        const { promise, resolve } = Promise.withResolvers<void>();
        const wakeOthers = this.#wake;
        this.#wake = () => (wakeOthers(), resolve());
        await promise;
        continue;
      }
      const piece = bytes.subarray(at, at + Math.min(PIECE, this.#credit));
      this.#credit -= piece.byteLength;
      at += piece.byteLength;
      if (!await this.#send(FRAME.stdin, piece)) return false;
    }
    return !this.#inputEnded;
  }

  /** Ends standard input; output and signals go on. */
  async closeStdin(): Promise<void> {
    if (this.#inputEnded) return;
    this.#inputEnded = true;
    this.#awake();
    await this.#send(FRAME.stdinEnd, new Uint8Array(0));
  }

  /** Tells the size of the terminal, in characters. */
  async resize(rows: number, cols: number): Promise<void> {
    await this.#send(FRAME.resize, encoder.encode(JSON.stringify({ rows, cols })));
  }

  /**
   * Sends a signal to the process.
   *
   * @param signal name such as `SIGINT`, or number as text
   */
  async signal(signal: string): Promise<void> {
    await this.#send(FRAME.signal, encoder.encode(JSON.stringify({ signal })));
  }

  /** Sends bytes of a channel that a `channel` event opened; none is its end. */
  async channel(channel: number, bytes: Uint8Array): Promise<void> {
    await this.#send(FRAME.channel, channelPayload(channel, bytes));
  }

  /** Detaches. Idempotent. */
  close(): void {
    this.#release();
    this.#wire.breakOff();
    this.#awake();
  }

  /** Same as {@linkcode close}. */
  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Output and events in order.
   *
   * @throws NyxError unavailable when the connection broke before the last event
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<AttachedOutput, void, void> {
    const frames = new FrameDecoder();
    let over = false;
    try {
      for await (const piece of this.#wire.body(this.#head)) {
        for (const frame of frames.push(piece)) {
          if (frame.kind === FRAME.stdout) yield { kind: "stdout", bytes: frame.payload };
          else if (frame.kind === FRAME.stderr) yield { kind: "stderr", bytes: frame.payload };
          else if (frame.kind === FRAME.credit) this.#grant(frame.payload);
          else if (frame.kind === FRAME.channel) {
            const channel = parseChannel(frame.payload);
            if (channel !== undefined) yield { kind: "channel", ...channel };
          } else if (frame.kind === FRAME.json) {
            const event = JSON.parse(decoder.decode(frame.payload)) as StreamEvent;
            over = event.event === "exit" || event.event === "error";
            yield { kind: "event", event };
          }
        }
      }
      if (!over && !this.#wire.closed) {
        throw new NyxError("unavailable", "The attached stream ended without its last event");
      }
    } catch (e) {
      if (this.#wire.closed) return;
      if (e instanceof NyxError) throw e;
      throw new NyxError("unavailable", "The connection to nyxd broke while attached", { retryable: true, cause: e });
    } finally {
      this.close();
    }
  }

  #grant(payload: Uint8Array): void {
    if (payload.byteLength < 4) return;
    this.#credit += new DataView(payload.buffer, payload.byteOffset).getUint32(0);
    this.#awake();
  }

  #awake(): void {
    const wake = this.#wake;
    this.#wake = () => {};
    wake();
  }

  /** False when the connection is gone, which the reader learns in its own way. */
  async #send(kind: number, payload: Uint8Array): Promise<boolean> {
    if (this.#wire.closed) return false;
    const header = new Uint8Array(8);
    header[0] = kind;
    new DataView(header.buffer).setUint32(4, payload.byteLength);
    try {
      await this.#wire.writeChunk(header, payload);
      return true;
    } catch {
      this.#inputEnded = true;
      return false;
    }
  }
}
