/** Time as nyx writes it. */

/** Now, RFC 3339 in UTC with nine fractional digits (the clock gives microseconds or better). */
export function nowRfc3339(): string {
  const ns = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n;
  return rfc3339FromNs(ns);
}

/** RFC 3339 in UTC with nine fractional digits. */
export function rfc3339FromNs(epochNs: bigint): string {
  const seconds = epochNs / 1_000_000_000n;
  const fraction = epochNs % 1_000_000_000n;
  const iso = new Date(Number(seconds) * 1000).toISOString();
  return `${iso.slice(0, 19)}.${fraction.toString().padStart(9, "0")}Z`;
}

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
