/** A bound on silence instead of on the whole transfer: a slow registry may take hours, a silent one may not. */

import { NyxError } from "../../daemon/spec/errors.ts";

/** Silence allowed by default, in milliseconds. */
export const DEFAULT_STALL_MS = 60_000;

/** Aborts its signal when the parent does, or when an armed wait lasts too long. Dispose it with `using`. */
export class Stall {
  readonly #controller = new AbortController();
  readonly #parent: AbortSignal;
  readonly #stallMs: number;
  readonly #host: string;
  readonly #onParent: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param parent the request's own signal
   * @param stallMs silence allowed
   * @param host whom the error names
   */
  constructor(parent: AbortSignal, stallMs: number, host: string) {
    this.#parent = parent;
    this.#stallMs = stallMs;
    this.#host = host;
    this.#onParent = () => this.#controller.abort(parent.reason);
    if (parent.aborted) this.#onParent();
    else parent.addEventListener("abort", this.#onParent, { once: true });
  }

  /** Aborts with the parent's reason, or with a retryable `unavailable`. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Waits for something the peer has to do. */
  async wait<T>(promise: Promise<T>): Promise<T> {
    this.#timer = setTimeout(() => {
      this.#controller.abort(
        new NyxError("unavailable", `${this.#host} sent nothing for ${this.#stallMs / 1000} s`, {
          retryable: true,
          context: { host: this.#host },
        }),
      );
    }, this.#stallMs);
    try {
      return await promise;
    } catch (e) {
      throw this.signal.aborted ? this.signal.reason : e;
    } finally {
      clearTimeout(this.#timer);
    }
  }

  /** Lets go of the parent. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#parent.removeEventListener("abort", this.#onParent);
  }
}
