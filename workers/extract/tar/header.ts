/** The 512-byte tar header (POSIX.1-2017 ustar, GNU tar, star, and V7). */

import { fromCString } from "../byte_string.ts";
import { corrupt } from "./errors.ts";

/** Bytes in a tar block. */
export const BLOCK = 512;

/** A header's own fields; long names, PAX records and sparse maps come on top. */
export interface Header {
  name: string;
  linkName: string;
  /** Character of the type flag; "0" for V7's NUL. */
  flag: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: number;
  major: number;
  minor: number;
  format: "ustar" | "gnu" | "v7";
}

const ZERO = 0x30;
const SPACE = 0x20;

/** Whether the block at `at` holds only zeros. */
export function isZeroBlock(b: Uint8Array, at: number): boolean {
  for (let i = at; i < at + BLOCK; i++) if (b[i] !== 0) return false;
  return true;
}

function base256(b: Uint8Array, at: number, length: number): number {
  const first = b[at] ?? 0;
  const negative = (first & 0x40) !== 0;
  let value = negative ? (first & 0x7f) - 0x80 : first & 0x7f;
  for (let i = 1; i < length; i++) value = value * 256 + (b[at + i] ?? 0);
  return value;
}

/**
 * A numeric field: octal text between blanks and NULs, or GNU's base-256 with the top bit set.
 *
 * @throws NyxError data_loss when it is neither, or not a safe integer
 */
export function parseNumber(b: Uint8Array, at: number, length: number, field: string, offset: number): number {
  if (((b[at] ?? 0) & 0x80) !== 0) {
    const value = base256(b, at, length);
    if (!Number.isSafeInteger(value)) throw corrupt(`${field} does not fit 53 bits`, offset);
    return value;
  }
  let i = at;
  let end = at + length;
  while (i < end && (b[i] === SPACE || b[i] === 0)) i++;
  while (end > i && (b[end - 1] === SPACE || b[end - 1] === 0)) end--;
  let value = 0;
  for (; i < end; i++) {
    if (b[i] === 0) break;
    const digit = (b[i] ?? 0) - ZERO;
    if (digit < 0 || digit > 7) throw corrupt(`${field} is not an octal number`, offset);
    value = value * 8 + digit;
  }
  return value;
}

/** The checksum counts its own field as blanks; old programs summed signed bytes. */
function checksumHolds(b: Uint8Array, at: number, stored: number): boolean {
  let unsigned = 0;
  let high = 0;
  for (let i = at; i < at + BLOCK; i++) {
    const byte = b[i] ?? 0;
    unsigned += byte;
    if (byte > 127) high++;
  }
  for (let i = at + 148; i < at + 156; i++) {
    const byte = b[i] ?? 0;
    unsigned += SPACE - byte;
    if (byte > 127) high--;
  }
  return stored === unsigned || stored === unsigned - 256 * high;
}

function formatOf(b: Uint8Array, at: number): Header["format"] {
  const m = at + 257;
  const ustar = b[m] === 0x75 && b[m + 1] === 0x73 && b[m + 2] === 0x74 && b[m + 3] === 0x61 && b[m + 4] === 0x72;
  if (!ustar) return "v7";
  if (b[m + 5] === 0) return "ustar";
  return b[m + 5] === SPACE && b[m + 6] === SPACE ? "gnu" : "v7";
}

/** ustar's prefix field; star ("tar\0" at the very end) keeps times in its last 24 bytes. */
function prefixOf(b: Uint8Array, at: number): string {
  const star = b[at + 508] === 0x74 && b[at + 509] === 0x61 && b[at + 510] === 0x72 && b[at + 511] === 0;
  return fromCString(b, at + 345, at + (star ? 476 : 500));
}

/**
 * Decodes the header block at `at`, which must not be all zeros.
 *
 * @param b bytes that hold the whole block
 * @param at where it starts
 * @param offset its place in the archive, for errors
 * @throws NyxError data_loss for a wrong checksum or a malformed field
 */
export function parseHeader(b: Uint8Array, at: number, offset: number): Header {
  const stored = parseNumber(b, at + 148, 8, "the checksum", offset);
  if (!checksumHolds(b, at, stored)) throw corrupt("the header's checksum is wrong, so this is no tar header", offset);
  const format = formatOf(b, at);
  const flagByte = b[at + 156] ?? 0;
  let name = fromCString(b, at, at + 100);
  if (format === "ustar") {
    const prefix = prefixOf(b, at);
    if (prefix !== "") name = `${prefix}/${name}`;
  }
  const flag = flagByte === 0 ? "0" : String.fromCharCode(flagByte);
  const device = format !== "v7" && (flag === "3" || flag === "4");
  return {
    name,
    linkName: fromCString(b, at + 157, at + 257),
    flag,
    mode: parseNumber(b, at + 100, 8, "mode", offset),
    uid: parseNumber(b, at + 108, 8, "uid", offset),
    gid: parseNumber(b, at + 116, 8, "gid", offset),
    size: parseNumber(b, at + 124, 12, "size", offset),
    mtime: parseNumber(b, at + 136, 12, "mtime", offset),
    major: device ? parseNumber(b, at + 329, 8, "devmajor", offset) : 0,
    minor: device ? parseNumber(b, at + 337, 8, "devminor", offset) : 0,
    format,
  };
}
