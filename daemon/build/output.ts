/** What a build says, for one reader; who writes waits while the reader is behind. */

import { encodeFrame, FRAME, MAX_FRAME } from "../spec/frames.ts";

/** Bytes that may wait. */
const BOUND = 256 * 1024;
/** Last bytes of standard error that are kept for the error. */
const TAIL = 4096;

/** Frames of a build's output. */
export class BuildOutput implements AsyncIterable<Uint8Array> {
  readonly #queue: Uint8Array[] = [];
  #bytes = 0;
  #ended = false;
  #left = false;
  #arrived = Promise.withResolvers<void>();
  #taken = Promise.withResolvers<void>();
  #tail = "";

  /** Adds output; resolves when there is room for more. */
  async write(stream: "stdout" | "stderr", bytes: Uint8Array): Promise<void> {
    if (stream === "stderr") this.#tail = (this.#tail + new TextDecoder().decode(bytes)).slice(-TAIL);
    for (let at = 0; at < bytes.byteLength; at += MAX_FRAME) {
      this.frame(encodeFrame(FRAME[stream], bytes.subarray(at, at + MAX_FRAME)));
    }
    await this.room();
  }

  /** Resolves when there is room for more. */
  async room(): Promise<void> {
    while (this.#bytes > BOUND && !this.#left) await this.#taken.promise;
  }

  /** Adds a line of the daemon's own. */
  note(line: string): Promise<void> {
    return this.write("stderr", new TextEncoder().encode(`${line}\n`));
  }

  /** Adds a frame, however much waits; who adds many waits for {@linkcode room}. */
  frame(frame: Uint8Array): void {
    if (this.#left) return;
    this.#queue.push(frame);
    this.#bytes += frame.byteLength;
    this.#arrived.resolve();
  }

  /** The last line of standard error that tells of an error. */
  get lastError(): string | undefined {
    return this.#tail.split("\n").findLast((line) => /^(Error|error)[: ]/.test(line))?.replace(/^\w+:? /, "");
  }

  /** No more comes. */
  end(): void {
    this.#ended = true;
    this.#arrived.resolve();
  }

  /** Frames in order. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
    try {
      while (true) {
        const frame = this.#queue.shift();
        if (frame !== undefined) {
          this.#bytes -= frame.byteLength;
          this.#taken.resolve();
          this.#taken = Promise.withResolvers<void>();
          yield frame;
        } else if (this.#ended) return;
        else {
          await this.#arrived.promise;
          this.#arrived = Promise.withResolvers<void>();
        }
      }
    } finally {
      this.#left = true;
      this.#taken.resolve();
    }
  }
}
