/** Frames of the daemon's own put in between those of a process's output. */

/** Follows encoded frames by their lengths, to know whether one is under way. */
class FrameBoundary {
  /** Bytes of the payload still to come. */
  #payload = 0;
  readonly #head = new Uint8Array(8);
  #headLength = 0;

  /** Whether all frames so far are whole. */
  get reached(): boolean {
    return this.#payload === 0 && this.#headLength === 0;
  }

  /** Takes the next bytes into account. */
  pass(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.byteLength;) {
      if (this.#payload > 0) {
        const taken = Math.min(this.#payload, chunk.byteLength - at);
        this.#payload -= taken;
        at += taken;
        continue;
      }
      const part = chunk.subarray(at, at + 8 - this.#headLength);
      this.#head.set(part, this.#headLength);
      this.#headLength += part.byteLength;
      at += part.byteLength;
      if (this.#headLength < 8) return;
      this.#payload = new DataView(this.#head.buffer).getUint32(4);
      this.#headLength = 0;
    }
  }
}

type Outcome = { result: IteratorResult<Uint8Array> } | { error: unknown };

/** Merges whole frames that are pushed with a source of frames that may be cut anywhere. */
export class FrameMerge {
  readonly #pushed: Uint8Array[] = [];
  readonly #boundary = new FrameBoundary();
  #wake: () => void = () => {};

  /** Sends a whole frame as soon as no other is under way. */
  push(frame: Uint8Array): void {
    this.#pushed.push(frame);
    this.#wake();
  }

  /**
   * All frames; ends with the source, after what was pushed by then.
   *
   * @param source read one chunk at a time, the next when the last was taken; told to return when the reader leaves
   */
  async *over(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
    const iterator = source[Symbol.asyncIterator]();
    let outcome: Outcome | undefined;
    let asked = false;
    const arrive = (next: Outcome) => {
      outcome = next;
      this.#wake();
    };
    try {
      while (true) {
        while (this.#boundary.reached) {
          const frame = this.#pushed.shift();
          if (frame === undefined) break;
          yield frame;
        }
        if (!asked) {
          asked = true;
          iterator.next().then((result) => arrive({ result }), (error) => arrive({ error }));
        }
        const arrived: Outcome | undefined = outcome;
        if (arrived === undefined) {
          await new Promise<void>((resolve) => this.#wake = resolve);
          continue;
        }
        outcome = undefined;
        asked = false;
        if ("error" in arrived) throw arrived.error;
        if (arrived.result.done === true) return;
        this.#boundary.pass(arrived.result.value);
        yield arrived.result.value;
      }
    } finally {
      // Not awaited: the source may sit in a wait of its own.
      iterator.return?.().catch(() => {});
    }
  }
}
