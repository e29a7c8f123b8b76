/** Requests whose answer takes as long as it takes. */

import type { LiveStreams } from "./context.ts";

/**
 * Runs `work` with a signal that aborts when the client is gone, or when the server closes (then with a NyxError).
 *
 * @param request the request that waits
 * @param live streams of the server
 */
export async function withClient<T>(
  request: Request,
  live: LiveStreams,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const closing = new AbortController();
  const closed = Promise.withResolvers<never>();
  closed.promise.catch(() => {});
  const forget = live.add((reason) => {
    closing.abort(reason);
    closed.reject(reason);
  });
  try {
    return await Promise.race([work(AbortSignal.any([request.signal, closing.signal])), closed.promise]);
  } finally {
    forget();
  }
}
