/**
 * Pace of reading. A writer of many small pieces would otherwise wake the loop for each of them; left alone for a moment, it fills
 * its pipe, and one turn takes it all. The first piece after a pause is never delayed, so that an echo is immediate.
 */

/** A portion of at least this size is worth a turn of its own. */
const SMALL = 4096;
/** How long a source of small portions is left alone. */
export const REST_MS = 1;

/** Pace of one source. */
export class Pacer {
  #lastMs = 0;

  /** Takes note of a portion; true when the source should be left alone for REST_MS. */
  shouldRest(bytes: number): boolean {
    const now = performance.now();
    const rest = bytes > 0 && bytes < SMALL && now - this.#lastMs < 2 * REST_MS;
    this.#lastMs = now;
    return rest;
  }
}
