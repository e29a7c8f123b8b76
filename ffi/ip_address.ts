/** IP addresses between text and bytes: dotted quads, RFC 4291 text read in full and written as RFC 5952 says, CIDR, MAC. */

/** Bytes of an IPv4 (4) or IPv6 (16) address. */
export type IpBytes = Uint8Array<ArrayBuffer>;

/** An address block. `address` is as written, host bits included. */
export interface Cidr {
  address: IpBytes;
  /** Prefix length in bits. */
  prefix: number;
}

function parseV4(text: string): IpBytes | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(4);
  for (const [i, part] of parts.entries()) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined;
    bytes[i] = Number(part);
  }
  return bytes;
}

function parseGroups(text: string): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [i, part] of parts.entries()) {
    if (part.includes(".") && i === parts.length - 1) {
      const tail = parseV4(part);
      if (tail === undefined) return undefined;
      groups.push((tail[0] ?? 0) << 8 | (tail[1] ?? 0), (tail[2] ?? 0) << 8 | (tail[3] ?? 0));
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(parseInt(part, 16));
    else return undefined;
  }
  return groups;
}

function parseV6(text: string): IpBytes | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] ?? "");
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? "") : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  [...head, ...new Array<number>(missing).fill(0), ...tail].forEach((g, i) => view.setUint16(i * 2, g));
  return bytes;
}

/** Address bytes; undefined when the text is none. Octets with leading zeros, zones and ports are refused. */
export function tryParseIp(text: string): IpBytes | undefined {
  return text.includes(":") ? parseV6(text) : parseV4(text);
}

/** Text of an address: dotted quad, or RFC 5952 (lower case, longest run of zeros shortened). */
export function formatIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[i * 2] ?? 0) << 8 | (bytes[i * 2 + 1] ?? 0));
  let best = { at: -1, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (at + length < 8 && groups[at + length] === 0) length++;
    if (length > best.length) best = { at, length };
  }
  const hex = groups.map((g) => g.toString(16));
  if (best.at < 0) return hex.join(":");
  return `${hex.slice(0, best.at).join(":")}::${hex.slice(best.at + best.length).join(":")}`;
}

/** `address/prefix`; undefined when the text is none. */
export function tryParseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf("/");
  const length = text.slice(slash + 1);
  const address = slash < 0 ? undefined : tryParseIp(text.slice(0, slash));
  if (address === undefined || !/^(0|[1-9][0-9]{0,2})$/.test(length)) return undefined;
  const prefix = Number(length);
  return prefix > address.length * 8 ? undefined : { address, prefix };
}

/** The address as a number. */
export function ipToNumber(bytes: Uint8Array): bigint {
  return bytes.reduce((n, b) => n << 8n | BigInt(b), 0n);
}

/** Address bytes of a number; `length` is 4 or 16. */
export function numberToIp(value: bigint, length: number): IpBytes {
  const bytes = new Uint8Array(length);
  for (let i = length - 1; i >= 0; i--, value >>= 8n) bytes[i] = Number(value & 255n);
  return bytes;
}

/** First and last address of a block, as numbers. */
export function cidrBounds({ address, prefix }: Cidr): { first: bigint; last: bigint } {
  const size = 1n << BigInt(address.length * 8 - prefix);
  const first = ipToNumber(address) / size * size;
  return { first, last: first + size - 1n };
}

/** Whether a block holds an address of the same family. */
export function cidrContains(block: Cidr, address: Uint8Array): boolean {
  if (block.address.length !== address.length) return false;
  const { first, last } = cidrBounds(block);
  const n = ipToNumber(address);
  return n >= first && n <= last;
}

/** Whether two blocks of one family share an address. */
export function cidrOverlaps(a: Cidr, b: Cidr): boolean {
  if (a.address.length !== b.address.length) return false;
  const x = cidrBounds(a);
  const y = cidrBounds(b);
  return x.first <= y.last && y.first <= x.last;
}

/** The block with host bits cleared, as text. */
export function formatCidr(block: Cidr): string {
  return `${formatIp(numberToIp(cidrBounds(block).first, block.address.length))}/${block.prefix}`;
}

/** Six bytes of a hardware address; undefined when the text is none. */
export function tryParseMac(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (!/^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$/.test(text)) return undefined;
  return Uint8Array.from(text.split(/[:-]/), (p) => parseInt(p, 16));
}

/** Lower-case text of a hardware address. */
export function formatMac(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join(":");
}
