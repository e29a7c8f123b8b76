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
  #interrupt: ((reason: unknown) => void) | undefined;

  /**
   * @param parent the request's own signal
   * @param stallMs silence allowed
   * @param host whom the error names
   */
  constructor(parent: AbortSignal, stallMs: number, host: string) {
    this.#parent = parent;
    this.#stallMs = stallMs;
    this.#host = host;
    this.#onParent = () => this.#abort(parent.reason);
    if (parent.aborted) this.#onParent();
    else parent.addEventListener("abort", this.#onParent, { once: true });
  }

  /** Aborts with the parent's reason, or with a retryable `unavailable`. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /**
   * Waits for something the peer has to do; one wait at a time. It ends with the signal, whether or not the promise does: an abort does
   * not always reach a body that is being read.
   *
   * @throws the signal's reason, or what the promise rejects with
   */
  wait<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.signal.aborted) {
        promise.catch(() => {});
        reject(this.signal.reason);
        return;
      }
      const timer = setTimeout(() => {
        this.#abort(
          new NyxError("unavailable", `${this.#host} sent nothing for ${this.#stallMs / 1000} s`, {
            retryable: true,
            context: { host: this.#host },
          }),
        );
      }, this.#stallMs);
      this.#interrupt = (reason) => {
        clearTimeout(timer);
        reject(reason);
      };
      promise.then((value) => {
        clearTimeout(timer);
        resolve(value);
      }, (e) => {
        clearTimeout(timer);
        reject(this.signal.aborted ? this.signal.reason : e);
      });
    });
  }

  #abort(reason: unknown): void {
    this.#controller.abort(reason);
    this.#interrupt?.(reason);
  }

  /** Lets go of the parent. */
  [Symbol.dispose](): void {
    this.#parent.removeEventListener("abort", this.#onParent);
  }
}

/** Least bytes a second, over the time that silence is allowed: below it a peer holds layers up that others wait for, too. */
const MIN_RATE = 256;

/** Notices a peer that is never silent and never done. */
export class Pace {
  readonly #windowMs: number;
  readonly #host: string;
  #began = performance.now();
  #bytes = 0;

  /**
   * @param windowMs over how long the rate is taken
   * @param host whom the error names
   */
  constructor(windowMs: number, host: string) {
    this.#windowMs = windowMs;
    this.#host = host;
  }

  /**
   * Counts bytes that came.
   *
   * @throws NyxError unavailable, retryable, when too few came for the window that is over
   */
  took(bytes: number): void {
    this.#bytes += bytes;
    const tookMs = performance.now() - this.#began;
    if (tookMs < this.#windowMs) return;
    if (this.#bytes < MIN_RATE * tookMs / 1000) {
      throw new NyxError(
        "unavailable",
        `${this.#host} sent ${this.#bytes} bytes in ${Math.round(tookMs / 1000)} s, less than ${MIN_RATE} a second`,
        { retryable: true, context: { host: this.#host } },
      );
    }
    this.#began = performance.now();
    this.#bytes = 0;
  }
}
