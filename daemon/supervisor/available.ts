/** Patience with workers: one that died is replaced within moments, and every operation may be sent again. */

import { toNyxError } from "../spec/errors.ts";

/** Waits between attempts, milliseconds: longer in all than a worker takes to start several times in a row. */
const DELAYS_MS = [30, 60, 120, 250, 500, 1000, 2000];

/**
 * Runs an idempotent operation of a worker, again when the worker died meanwhile: for what must not be left half done.
 *
 * @throws what the operation throws; `unavailable` when no worker stayed up for some seconds
 */
export async function untilAvailable<T>(operation: () => Promise<T>): Promise<T> {
  for (const delayMs of DELAYS_MS) {
    try {
      return await operation();
    } catch (e) {
      if (toNyxError(e).code !== "unavailable") throw e;
    }
    await new Promise((resolve) => setTimeout(resolve, delayMs));
  }
  return await operation();
}
