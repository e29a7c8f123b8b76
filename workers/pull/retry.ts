/** When and how long to wait before a request to a registry is repeated. */

import { NyxError } from "../../daemon/spec/errors.ts";

/** Bounds of repetition. */
export interface RetryPolicy {
  /** Attempts in all, without progress between them. */
  attempts: number;
  /** Delay after the first failure in milliseconds; doubles with each further one. */
  baseMs: number;
  /** Longest delay of its own choosing in milliseconds. */
  capMs: number;
  /** Longest Retry-After that is waited for in milliseconds; a longer one fails at once. */
  maxRetryAfterMs: number;
}

/** Five attempts within about six seconds; up to two minutes when the registry asks for it. */
export const DEFAULT_RETRY: RetryPolicy = { attempts: 5, baseMs: 250, capMs: 10_000, maxRetryAfterMs: 120_000 };

/**
 * Delay before the next attempt: exponential with a cap, half of it random so that clients do not return in step.
 *
 * @param failures failures in a row so far, from 1
 * @param random 0 to 1
 */
export function backoffMs(policy: RetryPolicy, failures: number, random: number = Math.random()): number {
  const full = Math.min(policy.capMs, policy.baseMs * 2 ** (failures - 1));
  return full / 2 + random * full / 2;
}

/** Statuses after which the same request may succeed. */
export function isRetryableStatus(status: number): boolean {
  return status === 408 || status === 429 || status === 500 || status === 502 || status === 503 || status === 504;
}

/**
 * Reads a Retry-After header (RFC 9110, 10.2.3): seconds or a date.
 *
 * @param now milliseconds since the epoch
 * @returns milliseconds to wait, or undefined when missing or malformed
 */
export function parseRetryAfter(value: string | null, now: number = Date.now()): number | undefined {
  if (value === null) return undefined;
  const text = value.trim();
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  if (!/^[A-Za-z]{3}, /.test(text)) return undefined;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** Error context that carries a response's Retry-After to whoever decides about repetition. */
export function retryAfterContext(response: { headers: Headers }): { retryAfterMs?: number } {
  const retryAfterMs = parseRetryAfter(response.headers.get("retry-after"));
  return retryAfterMs === undefined ? {} : { retryAfterMs };
}

/**
 * Delay before a failed attempt is repeated.
 *
 * @param e what the attempt failed with
 * @param failures failures in a row so far, this one included
 * @returns undefined when it must not be repeated
 */
export function retryDelayMs(policy: RetryPolicy, e: unknown, failures: number): number | undefined {
  if (!(e instanceof NyxError) || e.details.retryable !== true || failures >= policy.attempts) return undefined;
  const asked = e.details.context?.["retryAfterMs"];
  if (typeof asked !== "number") return backoffMs(policy, failures);
  return asked > policy.maxRetryAfterMs ? undefined : Math.max(asked, backoffMs(policy, failures) / 2);
}

/**
 * Runs something, again while its failures say that this may help.
 *
 * @throws the last failure; the signal's reason when it aborts
 */
export async function withRetry<T>(policy: RetryPolicy, signal: AbortSignal, once: () => Promise<T>): Promise<T> {
  for (let failures = 1;; failures++) {
    try {
      return await once();
    } catch (e) {
      signal.throwIfAborted();
      const delayMs = retryDelayMs(policy, e, failures);
      if (delayMs === undefined) throw e;
      await sleep(delayMs, signal);
    }
  }
}

/**
 * Waits.
 *
 * @throws the signal's reason, at once when it aborts
 */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.reject(signal.reason);
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
