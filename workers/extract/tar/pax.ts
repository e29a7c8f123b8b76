/** PAX extended headers (POSIX.1-2017 pax, "pax Extended Header"), with the vendor records that layers use. */

import type { Timespec } from "../../../ffi/file_types.ts";
import { fromBytes, toText } from "../byte_string.ts";
import { corrupt } from "./errors.ts";

/** Records of one extended header. Values are byte strings; an empty value takes an earlier one back. */
export type PaxRecords = Map<string, string>;

const SCHILY_XATTR = "SCHILY.xattr.";
const LIBARCHIVE_XATTR = "LIBARCHIVE.xattr.";

/** Keys that describe one file and make no sense, or only harm, in a global header. */
const NOT_GLOBAL = /^(path|linkpath|size|GNU\.sparse\..*)$/;

/** Keys that old GNU sparse maps repeat, so that order matters and the last must not win. */
const REPEATED = new Set(["GNU.sparse.offset", "GNU.sparse.numbytes"]);

/** A parsed extended header: records, and GNU sparse 0.0's repeated numbers joined as 0.1 writes them. */
export interface PaxHeader {
  records: PaxRecords;
  sparsePairs: string[];
}

/**
 * Parses `length SP key=value LF` records.
 *
 * @param bytes the extended header's data, without padding
 * @param offset its place in the archive, for errors
 * @throws NyxError data_loss for a record whose length or shape is wrong
 */
export function parsePax(bytes: Uint8Array, offset: number): PaxHeader {
  const records: PaxRecords = new Map();
  const sparsePairs: string[] = [];
  for (let at = 0; at < bytes.byteLength;) {
    let digits = at;
    let length = 0;
    while (digits < bytes.byteLength && digits - at < 10) {
      const digit = (bytes[digits] ?? 0) - 0x30;
      if (digit < 0 || digit > 9) break;
      length = length * 10 + digit;
      digits++;
    }
    const end = at + length;
    const whole = digits > at && bytes[digits] === 0x20 && end > digits + 2 && end <= bytes.byteLength &&
      bytes[end - 1] === 0x0a;
    if (!whole) throw corrupt("a PAX record has a wrong length", offset + at);
    const equals = bytes.indexOf(0x3d, digits + 1);
    if (equals <= digits + 1 || equals >= end) throw corrupt("a PAX record has no key", offset + at);
    const key = fromBytes(bytes, digits + 1, equals);
    const value = fromBytes(bytes, equals + 1, end - 1);
    if (REPEATED.has(key)) sparsePairs.push(value);
    else records.set(key, value);
    at = end;
  }
  return { records, sparsePairs };
}

/** Applies a global header's records to those in force. Records that name one file are left out. */
export function mergeGlobal(inForce: PaxRecords, added: PaxRecords): void {
  for (const [key, value] of added) {
    if (NOT_GLOBAL.test(key)) continue;
    if (value === "") inForce.delete(key);
    else inForce.set(key, value);
  }
}

/**
 * A whole number of a record.
 *
 * @throws NyxError data_loss when it is not one, is negative, or does not fit 53 bits
 */
export function paxInteger(key: string, value: string, offset: number): number {
  const n = /^[0-9]{1,16}$/.test(value) ? Number(value) : NaN;
  if (!Number.isSafeInteger(n)) {
    throw corrupt(`PAX record ${key}=${JSON.stringify(toText(value))} is not a whole number`, offset);
  }
  return n;
}

/** A time record: decimal seconds with an optional sign and fraction; digits past nanoseconds are cut off. */
export function paxTime(key: string, value: string, offset: number): Timespec {
  const match = /^(-?)([0-9]{1,12})(?:\.([0-9]*))?$/.exec(value);
  if (match === null) {
    throw corrupt(`PAX record ${key}=${JSON.stringify(toText(value))} is not a time`, offset);
  }
  const sec = Number(match[2]);
  const nsec = Number((match[3] ?? "").slice(0, 9).padEnd(9, "0"));
  if (match[1] !== "-") return { sec, nsec };
  return nsec === 0 ? { sec: 0 - sec, nsec: 0 } : { sec: -sec - 1, nsec: 1_000_000_000 - nsec };
}

function bytesOf(value: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(value, (c) => c.charCodeAt(0));
}

/**
 * Extended attributes among the records: SCHILY.xattr (raw value) and LIBARCHIVE.xattr (percent-coded name, base64 value).
 * When both name an attribute, SCHILY's value holds.
 */
export function paxXattrs(records: PaxRecords, offset: number): [string, Uint8Array<ArrayBuffer>][] {
  const found = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const [key, value] of records) {
    if (key.startsWith(LIBARCHIVE_XATTR)) {
      try {
        const name = decodeURIComponent(toText(key.slice(LIBARCHIVE_XATTR.length)));
        if (!found.has(name)) found.set(name, bytesOf(atob(value)));
      } catch {
        throw corrupt(`PAX record ${JSON.stringify(toText(key))} is not well encoded`, offset);
      }
    }
  }
  for (const [key, value] of records) {
    if (key.startsWith(SCHILY_XATTR)) found.set(toText(key.slice(SCHILY_XATTR.length)), bytesOf(value));
  }
  return [...found];
}
