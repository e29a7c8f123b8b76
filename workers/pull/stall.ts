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
