/** Times as people read them, in Docker's words. */

/** "Less than a second", "5 seconds", "About a minute", "3 minutes", "2 days", … of a span. */
export function humanDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 1) return "Less than a second";
  if (seconds === 1) return "1 second";
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.floor(seconds / 60);
  if (minutes === 1) return "About a minute";
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.round(ms / 3_600_000);
  if (hours === 1) return "About an hour";
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 7 * 2) return `${Math.floor(hours / 24)} days`;
  if (hours < 24 * 30 * 2) return `${Math.floor(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.floor(hours / 24 / 30)} months`;
  return `${Math.floor(hours / 24 / 365)} years`;
}

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
