/** Headers of a tar that is written: ustar, with a PAX header before it for what ustar cannot say (POSIX.1-2017, pax). */

import { toPath } from "../extract/byte_string.ts";

const BLOCK = 512;
const MAX_OCTAL_SIZE = 0o77777777777;
const MAX_OCTAL_ID = 0o7777777;
const NAME_BYTES = 100;

type Bytes = Uint8Array<ArrayBuffer>;

/** One member. Names are byte strings (extract/byte_string.ts). */
export interface TarMember {
  /** Directories end in a slash. */
  name: string;
  /** Type flag: 0 file, 1 hard link, 2 symbolic link, 3 and 4 devices, 5 directory, 6 FIFO. */
  flag: "0" | "1" | "2" | "3" | "4" | "5" | "6";
  linkName: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  /** Seconds. */
  mtime: number;
  major: number;
  minor: number;
  xattrs: [string, Bytes][];
}

function bytesOf(text: string): Bytes {
  return toPath(text).slice(0, -1);
}

function latin(bytes: Uint8Array): string {
  let out = "";
  for (const b of bytes) out += String.fromCharCode(b);
  return out;
}

/** `length SP key=value LF`, where the length counts its own digits. */
function paxRecord(key: string, value: string): string {
  const body = ` ${key}=${value}\n`;
  let length = body.length + 1;
  while (String(length).length + body.length !== length) length = String(length).length + body.length;
  return `${length}${body}`;
}

function paxOf(m: TarMember): string {
  let text = "";
  if (m.name.length > NAME_BYTES) text += paxRecord("path", m.name);
  if (m.linkName.length > NAME_BYTES) text += paxRecord("linkpath", m.linkName);
  if (m.size > MAX_OCTAL_SIZE) text += paxRecord("size", String(m.size));
  if (m.uid > MAX_OCTAL_ID) text += paxRecord("uid", String(m.uid));
  if (m.gid > MAX_OCTAL_ID) text += paxRecord("gid", String(m.gid));
  if (m.mtime < 0 || m.mtime > MAX_OCTAL_SIZE) text += paxRecord("mtime", String(m.mtime));
  for (const [name, value] of m.xattrs) {
    text += paxRecord(`SCHILY.xattr.${latin(new TextEncoder().encode(name))}`, latin(value));
  }
  return text;
}

function octal(n: number, digits: number): string {
  return `${Math.max(0, n).toString(8).padStart(digits, "0")}\0`;
}

function ustar(m: TarMember, flag: string): Bytes {
  const block = new Uint8Array(BLOCK);
  const put = (at: number, text: string) => block.set(bytesOf(text), at);
  put(0, m.name.slice(0, NAME_BYTES));
  put(100, octal(m.mode & 0o7777, 7));
  put(108, octal(m.uid > MAX_OCTAL_ID ? 0 : m.uid, 7));
  put(116, octal(m.gid > MAX_OCTAL_ID ? 0 : m.gid, 7));
  put(124, octal(m.size > MAX_OCTAL_SIZE ? 0 : m.size, 11));
  put(136, octal(m.mtime > MAX_OCTAL_SIZE ? 0 : m.mtime, 11));
  put(148, "        ");
  put(156, flag);
  put(157, m.linkName.slice(0, NAME_BYTES));
  put(257, "ustar\x0000");
  put(329, octal(m.major, 7));
  put(337, octal(m.minor, 7));
  const sum = block.reduce((a, b) => a + b, 0);
  put(148, `${sum.toString(8).padStart(6, "0")}\0 `);
  return block;
}

/** The blocks that stand before a member's data. */
export function memberHeader(m: TarMember): Bytes {
  const pax = bytesOf(paxOf(m));
  const own = ustar(m, m.flag);
  if (pax.byteLength === 0) return own;
  const padded = pax.byteLength + padding(pax.byteLength);
  const out = new Uint8Array(BLOCK + padded + BLOCK);
  out.set(ustar({ ...m, name: "././@PaxHeader", linkName: "", size: pax.byteLength, mode: 0o644 }, "x"), 0);
  out.set(pax, BLOCK);
  out.set(own, BLOCK + padded);
  return out;
}

/** Zeros that follow `size` bytes of data. */
export function padding(size: number): number {
  return (BLOCK - size % BLOCK) % BLOCK;
}

/** What ends an archive. */
export const TAR_END_BYTES = 2 * BLOCK;
