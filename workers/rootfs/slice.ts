/** Keeps long walks from holding up the short operations of the same thread. */

import { setImmediate } from "node:timers";

/** Longest a walk runs before others get their turn, ms. */
const SLICE_MS = 2;

/** Yields the thread when a slice of time is used up: call {@linkcode Slice.pause} between steps. */
export class Slice {
  #until = performance.now() + SLICE_MS;
  #steps = 0;

  /** Whether it is time to yield; looks at the clock every 16th time. */
  get due(): boolean {
    return (++this.#steps & 15) === 0 && performance.now() >= this.#until;
  }

  /** Lets other operations run: one turn of the event loop, where a timer of 0 would wait for a millisecond or more. */
  async pause(signal?: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
    this.#until = performance.now() + SLICE_MS;
  }
}
