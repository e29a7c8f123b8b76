/** Tar blocks written field by field, for archives that no honest writer makes, and for formats other than PAX. */

import { concat } from "./tar_writer.ts";

/** Fields of one header and the data behind it. */
export interface RawMember {
  name: string | Uint8Array;
  /** Type flag; default "0". */
  flag?: string;
  /** Data, padded to blocks. */
  data?: string | Uint8Array;
  /** Size field; default the data's length. A string is written as it is. */
  size?: number | string | Uint8Array;
  mode?: number;
  uid?: number | Uint8Array;
  gid?: number | Uint8Array;
  mtime?: number | Uint8Array;
  link?: string | Uint8Array;
  major?: number;
  minor?: number;
  /** Default "ustar". */
  format?: "ustar" | "gnu" | "v7";
  /** More bytes by offset, before the checksum is made. */
  patch?: Record<number, string | Uint8Array>;
  /** Spoils the checksum. */
  badChecksum?: boolean;
}

const encoder = new TextEncoder();
const bytes = (v: string | Uint8Array) => typeof v === "string" ? encoder.encode(v) : v;

/** GNU's base-256 number of `width` bytes. */
export function base256(value: bigint, width: number): Uint8Array {
  const out = new Uint8Array(width);
  let rest = value < 0n ? value + (1n << BigInt(width * 8)) : value;
  for (let i = width - 1; i >= 0; i--, rest >>= 8n) out[i] = Number(rest & 0xffn);
  out[0] = (out[0] ?? 0) | 0x80;
  return out;
}

function number(block: Uint8Array, at: number, width: number, value: number | string | Uint8Array): void {
  if (typeof value === "number") block.set(encoder.encode(`${value.toString(8).padStart(width - 1, "0")}\0`), at);
  else block.set(bytes(value).subarray(0, width), at);
}

/** One header block with its data. */
export function rawMember(m: RawMember): Uint8Array {
  const block = new Uint8Array(512);
  const data = bytes(m.data ?? "");
  block.set(bytes(m.name).subarray(0, 100), 0);
  number(block, 100, 8, m.mode ?? 0o644);
  number(block, 108, 8, m.uid ?? 0);
  number(block, 116, 8, m.gid ?? 0);
  number(block, 124, 12, m.size ?? data.byteLength);
  number(block, 136, 12, m.mtime ?? 1_700_000_000);
  block.set(encoder.encode(m.flag ?? "0"), 156);
  block.set(bytes(m.link ?? "").subarray(0, 100), 157);
  if (m.format !== "v7") {
    block.set(encoder.encode(m.format === "gnu" ? "ustar  \0" : "ustar\x0000"), 257);
    number(block, 329, 8, m.major ?? 0);
    number(block, 337, 8, m.minor ?? 0);
  }
  for (const [at, value] of Object.entries(m.patch ?? {})) block.set(bytes(value), Number(at));
  block.fill(0x20, 148, 156);
  const sum = block.reduce((n, b) => n + b, m.badChecksum ? 1 : 0);
  block.set(encoder.encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
  const padding = (512 - (data.byteLength % 512)) % 512;
  return concat([block, data, new Uint8Array(padding)]);
}

/** GNU long name ("L") or long link ("K") in front of a member. */
export function gnuLong(flag: "L" | "K", name: string | Uint8Array): Uint8Array {
  return rawMember({ name: "././@LongLink", flag, format: "gnu", data: concat([bytes(name), new Uint8Array(1)]) });
}

/** A PAX extended header: local ("x") or global ("g"). Keys may repeat. */
export function paxHeader(records: [string, string | Uint8Array][], flag: "x" | "g" = "x"): Uint8Array {
  const parts = records.map(([key, value]) => {
    const body = concat([encoder.encode(` ${key}=`), bytes(value), encoder.encode("\n")]);
    let length = body.byteLength + 1;
    while (String(length).length + body.byteLength !== length) length++;
    return concat([encoder.encode(String(length)), body]);
  });
  return rawMember({ name: "PaxHeaders/x", flag, data: concat(parts) });
}

/** Members and the closing zero blocks. */
export function rawTar(...members: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return concat([...members, new Uint8Array(1024)]);
}
