/** Frames of a request body. */

import { NyxError } from "../spec/errors.ts";
import { FRAME, FrameDecoder, type StreamFrame } from "../spec/frames.ts";
import type { FrameSource } from "./route.ts";

/** The client sent what the protocol does not allow. */
export class ProtocolViolation extends NyxError {
  /** @param message what was wrong */
  constructor(message: string) {
    super("invalid_argument", message, { context: { field: "request body" } });
  }
}

/** Reads frames from a body, one by one: nothing is read ahead of {@linkcode next} but the rest of a chunk. */
export class BodyFrames implements FrameSource {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  readonly #decoder = new FrameDecoder();
  #ready: StreamFrame[] = [];

  /** @param body the request's body */
  constructor(body: ReadableStream<Uint8Array> | null) {
    this.#reader = body?.getReader();
  }

  /**
   * The first frame's JSON text.
   *
   * @throws ProtocolViolation when the body begins with anything else
   */
  async first(): Promise<Uint8Array> {
    const frame = await this.next();
    if (frame === undefined) {
      throw new ProtocolViolation("The framed request is empty: begin with a JSON frame (kind 3)");
    }
    if (frame.kind !== FRAME.json) {
      throw new ProtocolViolation(
        `The framed request begins with a frame of kind ${frame.kind}: begin with JSON (kind 3)`,
      );
    }
    return frame.payload;
  }

  /** See {@linkcode FrameSource.next}. */
  async next(): Promise<StreamFrame | undefined> {
    while (true) {
      const frame = this.#ready.shift();
      if (frame !== undefined) return frame;
      if (this.#reader === undefined) return undefined;
      const read = await this.#reader.read();
      if (read.done) {
        if (this.#decoder.pendingBytes > 0) {
          throw new ProtocolViolation("The framed request ends in the middle of a frame");
        }
        return undefined;
      }
      try {
        this.#ready = this.#decoder.push(read.value);
      } catch (e) {
        throw new ProtocolViolation(e instanceof Error ? e.message : String(e));
      }
    }
  }

  /** See {@linkcode FrameSource.cancel}. */
  cancel(): void {
    this.#reader?.cancel().catch(() => {});
  }
}
