/**
 * What stands in the way of containers, as last seen. Reading the host's whole rule set takes milliseconds, so a set-up gets
 * what is known and has it looked up anew behind itself.
 */

import type { Finding } from "./diagnose.ts";

const FRESH_MS = 10_000;

/** Findings with an age. */
export class Advice implements Disposable {
  readonly #look: () => Finding[];
  #findings: Finding[] = [];
  #seenAt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param look reads the host; may take long, and may throw */
  constructor(look: () => Finding[]) {
    this.#look = look;
  }

  /** Reads the host now. */
  now(): Finding[] {
    this.#findings = this.#look();
    this.#seenAt = Date.now();
    return this.#findings;
  }

  /** What was seen last; when that is old, the host is read again as soon as there is time. */
  recent(): Finding[] {
    if (Date.now() - this.#seenAt > FRESH_MS) {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        try {
          this.now();
        } catch {
          this.#seenAt = Date.now();
        }
      }, FRESH_MS / 100);
    }
    return this.#findings;
  }

  /** Forgets a look-up that has not happened yet. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
