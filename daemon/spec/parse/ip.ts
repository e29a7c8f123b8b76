/** IP and MAC addresses in text: RFC 4291 section 2.2, RFC 5952 for output; no zone ids, no octal or short IPv4 forms. */

const OCTET = /^(0|[1-9]\d{0,2})$/;

/** The four octets of a dotted quad, or undefined. */
export function tryIpv4(text: string): [number, number, number, number] | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  const octets = parts.map((part) => OCTET.test(part) ? Number(part) : 256);
  const [a = 256, b = 256, c = 256, d = 256] = octets;
  return octets.every((octet) => octet <= 255) ? [a, b, c, d] : undefined;
}

/** The eight 16-bit groups of an IPv6 address, or undefined. A trailing dotted quad is accepted. */
export function tryIpv6(text: string): number[] | undefined {
  let source = text;
  const quadAt = source.lastIndexOf(":") + 1;
  if (quadAt > 0 && source.includes(".")) {
    const quad = tryIpv4(source.slice(quadAt));
    if (quad === undefined) return undefined;
    const hex = (high: number, low: number) => (high * 256 + low).toString(16);
    source = `${source.slice(0, quadAt)}${hex(quad[0], quad[1])}:${hex(quad[2], quad[3])}`;
  }
  const halves = source.split("::");
  if (halves.length > 2) return undefined;
  const groups = halves.map((half) => half === "" ? [] : half.split(":"));
  const [head = [], tail = []] = groups;
  if (![...head, ...tail].every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  return [...head, ...Array<string>(missing).fill("0"), ...tail].map((group) => Number.parseInt(group, 16));
}

/** 4 or 6 for an address, undefined for anything else. Brackets are not part of an address. */
export function ipVersion(text: string): 4 | 6 | undefined {
  if (tryIpv4(text) !== undefined) return 4;
  return tryIpv6(text) === undefined ? undefined : 6;
}

/** RFC 5952 text of eight groups: lower case, the longest run of zeros (two or more) shortened. */
export function formatIpv6(groups: readonly number[]): string {
  let bestAt = -1;
  let bestLength = 1;
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (at + length < 8 && groups[at + length] === 0) length++;
    if (length > bestLength) [bestAt, bestLength] = [at, length];
  }
  const hex = groups.map((group) => group.toString(16));
  if (bestAt < 0) return hex.join(":");
  return `${hex.slice(0, bestAt).join(":")}::${hex.slice(bestAt + bestLength).join(":")}`;
}

/** One spelling for each address (IPv6 by RFC 5952), or undefined when it is none. */
export function tryNormalizeIp(text: string): string | undefined {
  if (tryIpv4(text) !== undefined) return text;
  const groups = tryIpv6(text);
  return groups === undefined ? undefined : formatIpv6(groups);
}

/** Six octets joined by colons, lower case; undefined for anything else and for multicast addresses. */
export function tryMac(text: string): string | undefined {
  if (!/^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$/.test(text)) return undefined;
  const mac = text.toLowerCase().replaceAll("-", ":");
  return Number.parseInt(mac.slice(0, 2), 16) % 2 === 1 ? undefined : mac;
}
