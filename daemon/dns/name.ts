/**
 * Domain names (RFC 1035 section 3.1).
 *
 * Inside the resolver a name is its wire form as a string of one character per byte, without the root's zero:
 * `"\x03web\x05nyxd…"`. Nothing has to be escaped, a suffix is a substring, and strings are hashed by the engine.
 */

/** A name in wire form, one character per byte, without the terminating zero. The root is the empty string. */
export type Name = string;

/** Longest name on the wire, its terminating zero included. */
const MAX_NAME = 255;
const MAX_LABEL = 63;
/** Two high bits of a length byte that is half a pointer (RFC 1035 section 4.1.4). */
const POINTER = 0xc0;

/** A message that breaks the format. Caught by whoever reads messages; never reaches a user. */
export class FormatError extends Error {
  override name = "FormatError";
}

/** ASCII letters in lower case, other bytes as they are: names are compared this way (RFC 4343). */
export function lower(name: Name): Name {
  return /[A-Z]/.test(name) ? name.replace(/[A-Z]+/g, (letters) => letters.toLowerCase()) : name;
}

/**
 * Reads a name, following pointers. A pointer must lead to before the part that it ends, so that reading always ends.
 *
 * @param bytes the whole message
 * @param at where the name begins
 * @returns the name, and where the bytes after it begin
 * @throws FormatError when it is cut off, too long, or its pointers do not lead backwards
 */
export function readName(bytes: Uint8Array, at: number): { name: Name; next: number } {
  let name = "";
  let next = -1;
  let part = at;
  let pos = at;
  while (true) {
    const length = bytes[pos];
    if (length === undefined) throw new FormatError("A name is cut off");
    if (length === 0) return { name, next: next < 0 ? pos + 1 : next };
    if (length > MAX_LABEL) {
      const low = bytes[pos + 1];
      if ((length & POINTER) !== POINTER || low === undefined) throw new FormatError("A name has a bad label");
      if (next < 0) next = pos + 2;
      const target = (length & 0x3f) << 8 | low;
      if (target >= part) throw new FormatError("A name points forward");
      part = pos = target;
      continue;
    }
    const end = pos + 1 + length;
    if (end > bytes.length) throw new FormatError("A name is cut off");
    if (name.length + 1 + length >= MAX_NAME) throw new FormatError("A name is too long");
    for (; pos < end; pos++) name += String.fromCharCode(bytes[pos] ?? 0);
  }
}

/** Wire form of a host name as people write it, or undefined when it is none. A final dot is accepted; no escapes. */
export function tryName(text: string): Name | undefined {
  const labels = text.replace(/\.$/, "").split(".");
  if (text === "" || text === ".") return "";
  const valid = labels.every((l) => l.length > 0 && l.length <= MAX_LABEL && /^[\x21-\x7e]+$/.test(l));
  const name = labels.map((l) => String.fromCharCode(l.length) + l).join("");
  return valid && name.length < MAX_NAME ? name : undefined;
}

/** Text of a name for logs; bytes that are no printable ASCII are escaped as \DDD. */
export function nameText(name: Name): string {
  const labels = labelsOf(name).map((label) =>
    label.replace(/[^\x21-\x7e]|[.\\]/g, (c) => `\\${String(c.charCodeAt(0)).padStart(3, "0")}`)
  );
  return `${labels.join(".")}.`;
}

/** Labels of a name, leftmost first. */
export function labelsOf(name: Name): string[] {
  const labels: string[] = [];
  for (let at = 0; at < name.length;) {
    const end = at + 1 + name.charCodeAt(at);
    labels.push(name.slice(at + 1, end));
    at = end;
  }
  return labels;
}

/** Whether a name is `zone` or below it. Both in lower case. */
export function isWithin(name: Name, zone: Name): boolean {
  if (!name.endsWith(zone)) return false;
  const cut = name.length - zone.length;
  let at = 0;
  while (at < cut) at += 1 + name.charCodeAt(at);
  return at === cut;
}

/** The name whose PTR record tells who has an address (RFC 1035 section 3.5, RFC 3596 section 2.5). */
export function reverseName(address: Uint8Array): Name {
  const labels = address.length === 4
    ? [...address].reverse().map(String)
    : [...address].reverse().flatMap((b) => [(b & 15).toString(16), (b >> 4).toString(16)]);
  const name = tryName([...labels, address.length === 4 ? "in-addr" : "ip6", "arpa"].join("."));
  return name ?? "";
}
