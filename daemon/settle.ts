/** Side by side, but never half-done. */

import { toNyxError } from "./spec/errors.ts";

/** Waits for all, then throws the first error: nothing is still under way when what was begun is taken down. */
export async function settleAll<T extends readonly unknown[]>(
  promises: readonly [...{ [K in keyof T]: Promise<T[K]> }],
): Promise<T> {
  const settled = await Promise.allSettled(promises);
  for (const s of settled) if (s.status === "rejected") throw toNyxError(s.reason);
  return settled.map((s) => (s as PromiseFulfilledResult<unknown>).value) as unknown as T;
}
