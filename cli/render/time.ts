/** Times as people read them, in Docker's words. */

import { humanDuration } from "../../daemon/spec/time.ts";

/** "3 minutes ago"; an unreadable or missing time gives "N/A". */
export function timeAgo(rfc3339: string | undefined, nowMs: number): string {
  const then = rfc3339 === undefined ? Number.NaN : Date.parse(rfc3339);
  // Reproducible builds carry the epoch or year 1 in place of a time.
  if (Number.isNaN(then) || then <= 0) return "N/A";
  return `${humanDuration(Math.max(0, nowMs - then))} ago`;
}

/** `mm:ss` or `h:mm:ss` of what remains. */
export function clockDuration(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  const two = (value: number) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole % 3600 / 60)];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${two(minutes)}:${two(whole % 60)}`;
}

/**
 * What `--since` and `--until` take, as RFC 3339: a time, a date, seconds since the epoch, or a span back from now (`10m`).
 *
 * @returns undefined when it is none of them
 */
export function resolveTime(
  text: string,
  nowMs: number,
  spanMs: (text: string) => number | undefined,
): string | undefined {
  if (/^\d{9,}(\.\d+)?$/.test(text)) return new Date(Number(text) * 1000).toISOString();
  if (/^\d{4}-\d{2}-\d{2}/.test(text)) {
    const at = Date.parse(text);
    if (Number.isNaN(at)) return undefined;
    // Nanoseconds would be lost in a Date: what is whole already goes through as it is.
    return /T.*(Z|[+-]\d{2}:\d{2})$/.test(text) ? text : new Date(at).toISOString();
  }
  const span = spanMs(text);
  return span === undefined ? undefined : new Date(nowMs - span).toISOString();
}
