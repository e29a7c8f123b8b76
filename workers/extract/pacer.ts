/** Keeps one layer from holding the worker: messages and other layers get their turn. */

import { setImmediate } from "node:timers";
import { NyxError } from "../../daemon/spec/errors.ts";

/** Milliseconds of work between two turns of the event loop. */
const BUDGET_MS = 8;

/** One full turn of the event loop. */
export function pause(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Tells when it is time to let others in, and whether the work is still wanted. */
export class Pacer {
  #since = performance.now();

  /** @param signal aborts the work */
  constructor(private readonly signal: AbortSignal | undefined) {}

  /** Whether the budget is used up. */
  get due(): boolean {
    return performance.now() - this.#since > BUDGET_MS;
  }

  /** Lets the event loop turn once; throws when the work was aborted. */
  async turn(): Promise<void> {
    await pause();
    this.#since = performance.now();
    this.check();
  }

  /** Throws the reason when the work was aborted. */
  check(): void {
    if (this.signal?.aborted !== true) return;
    const { reason } = this.signal;
    throw reason instanceof Error ? reason : new NyxError("canceled", "The extraction was canceled");
  }
}
