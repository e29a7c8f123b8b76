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
