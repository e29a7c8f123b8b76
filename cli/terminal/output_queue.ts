/** Output of a process on its way to standard output and error: order kept, small pieces joined while an earlier write is under way. */

import type { Output } from "./output.ts";

/** Bytes that may wait before the source has to. */
const HIGH_WATER = 1024 * 1024;
/** Longest joined write. */
const JOIN_MAX = 256 * 1024;

interface Piece {
  output: Output;
  bytes: Uint8Array;
}

/** Queue in front of the two outputs. */
export class OutputQueue {
  readonly #pieces: Piece[] = [];
  #size = 0;
  #running: Promise<void> | undefined;
  #failure: { error: unknown } | undefined;

  /**
   * Takes bytes; they must not change any more. Resolves when there is room for more.
   *
   * @throws OutputClosed when nobody reads any more
   */
  async push(output: Output, bytes: Uint8Array): Promise<void> {
    this.#check();
    this.#pieces.push({ output, bytes });
    this.#size += bytes.byteLength;
    this.#running ??= this.#drain();
    if (this.#size > HIGH_WATER) await this.flush();
  }

  /** Resolves when everything taken so far is written. */
  async flush(): Promise<void> {
    await this.#running;
    this.#check();
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #drain(): Promise<void> {
    try {
      for (let first = this.#pieces[0]; first !== undefined; first = this.#pieces[0]) {
        const bytes = this.#take(first.output);
        await first.output.bytes(bytes);
        this.#size -= bytes.byteLength;
      }
    } catch (error) {
      this.#failure = { error };
      this.#pieces.length = 0;
    } finally {
      this.#running = undefined;
    }
  }

  /** The first pieces for one output, joined. */
  #take(output: Output): Uint8Array {
    let count = 0;
    let size = 0;
    for (const piece of this.#pieces) {
      if (piece.output !== output || (count > 0 && size + piece.bytes.byteLength > JOIN_MAX)) break;
      size += piece.bytes.byteLength;
      count++;
    }
    const taken = this.#pieces.splice(0, count);
    const [only] = taken;
    if (only !== undefined && count === 1) return only.bytes;
    const joined = new Uint8Array(size);
    let at = 0;
    for (const { bytes } of taken) {
      joined.set(bytes, at);
      at += bytes.byteLength;
    }
    return joined;
  }
}
