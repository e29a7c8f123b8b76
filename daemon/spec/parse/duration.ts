/** Durations in Go's notation (`1m30s`, `1.5h`, `250ms`), as Docker's flags and compose files use them. */

import { invalid } from "../errors.ts";

const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  "µs": 1e-3, // U+00B5
  "μs": 1e-3, // U+03BC
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};
const PART = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/y;
const FIX = "give a duration such as 30s, 1m30s or 250ms (a bare number means seconds)";

/**
 * Milliseconds of a duration. A bare number means seconds. Fractions of a millisecond are kept.
 *
 * @param field flag or key for the error
 * @throws NyxError invalid_argument for bad syntax, negative values, and beyond 2^53-1 ms
 */
export function parseDuration(text: string, field = "duration"): number {
  const trimmed = text.trim();
  if (trimmed.startsWith("-")) throw invalid(field, text, "a duration cannot be negative");
  const body = trimmed.startsWith("+") ? trimmed.slice(1) : trimmed;
  if (/^(\d+(\.\d*)?|\.\d+)$/.test(body)) return bounded(Number(body) * 1000, text, field);
  let total = 0;
  let at = 0;
  while (at < body.length) {
    PART.lastIndex = at;
    const match = PART.exec(body);
    if (match === null) throw invalid(field, text, FIX);
    total += Number(match[1]) * (UNIT_MS[match[2] ?? ""] ?? Number.NaN);
    at = PART.lastIndex;
  }
  if (at === 0) throw invalid(field, text, FIX);
  return bounded(total, text, field);
}

function bounded(ms: number, text: string, field: string): number {
  if (!(ms <= Number.MAX_SAFE_INTEGER)) throw invalid(field, text, "the duration is too long; give less");
  // Sums of decimal parts carry binary noise: a nanosecond is the finest step there is.
  return Math.round(ms * 1e6) / 1e6;
}

/** A duration as Go prints it: `1m30s`, `1h0m0s`, `250ms`, `0s`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0s";
  if (ms < 0) return `-${formatDuration(-ms)}`;
  if (ms < 0.001) return `${Math.round(ms * 1e6)}ns`;
  if (ms < 1) return `${Number((ms * 1e3).toFixed(3))}µs`;
  if (ms < 1000) return `${Number(ms.toFixed(6))}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor(ms % 3_600_000 / 60_000);
  const seconds = Number((ms % 60_000 / 1000).toFixed(9));
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`;
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
}
