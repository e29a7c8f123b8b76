/**
 * Log records: container output to JSON lines, bytes to bytes.
 *
 * A record is `{"time":…,"container_id":…,"stream":…,"log":…}`. `"partial":true` says that the line goes on in the
 * stream's next record. Output that is not UTF-8 has its exact bytes in `"b64"`, and `log` then is only an approximation.
 * A record holds at most {@linkcode MAX_LINE} bytes of output, so any line has records of bounded size.
 */

import { Buffer } from "node:buffer";

/** Output streams by their frame kind (daemon/spec/frames.ts). */
export type StreamKind = 1 | 2;

/** Most bytes of output in one record. */
export const MAX_LINE = 16 * 1024;
/** Bytes that any one record may need: six for each byte of output, plus base64, plus the fields. */
export const RECORD_ROOM = MAX_LINE * 12 + 1024;

const text = new TextEncoder();
const lossy = new TextDecoder();
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const LF = 0x0a;

/** 1 for bytes that stand for themselves in a JSON string: printable ASCII but quote and backslash. */
const PLAIN = new Uint8Array(256).map((_, c) => (c >= 0x20 && c < 0x7f && c !== QUOTE && c !== BACKSLASH ? 1 : 0));
const SHORT_ESCAPE: Readonly<Record<number, number>> = {
  8: 0x62,
  9: 0x74,
  10: 0x6e,
  12: 0x66,
  13: 0x72,
  [QUOTE]: QUOTE,
  [BACKSLASH]: BACKSLASH,
};
const HEX = text.encode("0123456789abcdef");
const END = text.encode('"}\n');
const END_PARTIAL = text.encode('","partial":true}\n');

/** RFC 3339 with nanoseconds, UTC: always 30 characters, so that text order is time order. */
export function formatTimeNs(ns: bigint): string {
  const ms = ns / 1_000_000n;
  const rest = (ns % 1_000_000n).toString().padStart(6, "0");
  return `${new Date(Number(ms)).toISOString().slice(0, 23)}${rest}Z`;
}

/** The bytes of a record before its `log` content; time and stream are patched in place. */
export function recordHead(containerId: string): { head: Uint8Array<ArrayBuffer>; timeAt: number; streamAt: number } {
  const before = `{"time":"`;
  const id = JSON.stringify(containerId);
  const middle = `${before}${"0".repeat(30)}","container_id":${id},"stream":"`;
  return {
    head: text.encode(`${middle}stdout","log":"`),
    timeAt: before.length,
    streamAt: text.encode(middle).length,
  };
}

const STREAM_NAME: Readonly<Record<StreamKind, Uint8Array>> = { 1: text.encode("stdout"), 2: text.encode("stderr") };

/** Length of the longest prefix of `src[from, to)` that does not end inside a UTF-8 sequence (at most 3 bytes less). */
function cutAtCharacter(src: Uint8Array, from: number, to: number): number {
  for (let back = 1; back <= 3 && to - back >= from; back++) {
    const c = src[to - back] ?? 0;
    if (c < 0x80) return to;
    if (c >= 0xc0) {
      const need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
      return need > back ? to - back : to;
    }
  }
  return to;
}

/** Bytes of the UTF-8 sequence that starts at `at`; 0 when it is not well-formed (RFC 3629, table 3-7 of Unicode). */
function sequenceLength(src: Uint8Array, at: number, end: number): number {
  const a = src[at] ?? 0;
  if (a < 0xc2 || a > 0xf4) return 0;
  const need = a >= 0xf0 ? 4 : a >= 0xe0 ? 3 : 2;
  if (at + need > end) return 0;
  const b = src[at + 1] ?? 0;
  const low = a === 0xe0 ? 0xa0 : a === 0xf0 ? 0x90 : 0x80;
  const high = a === 0xed ? 0x9f : a === 0xf4 ? 0x8f : 0xbf;
  if (b < low || b > high) return 0;
  for (let i = 2; i < need; i++) {
    const c = src[at + i] ?? 0;
    if (c < 0x80 || c > 0xbf) return 0;
  }
  return need;
}

/** Turns one container's output into records in a buffer of its own. */
export class RecordEncoder {
  /** Records made by the last {@linkcode encode}: `out[0, length)`. */
  readonly out: Uint8Array<ArrayBuffer>;
  /** Bytes of `out` in use. */
  length = 0;
  /** Records in `out`. */
  records = 0;
  readonly #head: Uint8Array<ArrayBuffer>;
  readonly #timeAt: number;
  readonly #streamAt: number;

  /**
   * @param containerId goes into every record
   * @param out buffer to fill, at least RECORD_ROOM; may be shared between encoders that are used in turn
   */
  constructor(containerId: string, out: Uint8Array<ArrayBuffer>) {
    this.out = out;
    const { head, timeAt, streamAt } = recordHead(containerId);
    this.#head = head;
    this.#timeAt = timeAt;
    this.#streamAt = streamAt;
  }

  /**
   * Encodes from `src[from, to)` as many whole lines as fit, and parts of lines longer than MAX_LINE.
   *
   * @param time 30 characters ({@linkcode formatTimeNs})
   * @param options `flush`: also make a partial record of an unfinished last line; `limit`: most bytes of records, exceeded
   * only by a single record that is longer
   * @returns where it stopped: the start of an unfinished line, or of what did not fit
   */
  encode(
    src: Uint8Array,
    from: number,
    to: number,
    kind: StreamKind,
    time: string,
    options: { flush: boolean; limit?: number },
  ): number {
    const out = this.out;
    const head = this.#head;
    text.encodeInto(time, head.subarray(this.#timeAt, this.#timeAt + 30));
    head.set(STREAM_NAME[kind], this.#streamAt);
    const headLength = head.length;
    const room = out.length - RECORD_ROOM;
    const limit = options.limit ?? out.length;
    let o = 0;
    let at = from;
    this.records = 0;
    while (at < to && o <= room) {
      const start = o;
      out.set(head, o);
      o += headLength;
      const max = at + MAX_LINE < to ? at + MAX_LINE : to;
      let i = at;
      let c = 0;
      while (i < max && PLAIN[c = src[i] as number] === 1) {
        out[o++] = c;
        i++;
      }
      if (i < to && src[i] === LF) {
        out[o] = QUOTE;
        out[o + 1] = 0x7d;
        out[o + 2] = LF;
        o += 3;
        if (o > limit && this.records > 0) {
          o = start;
          break;
        }
        at = i + 1;
        this.records++;
        continue;
      }
      const newline = i < max ? indexOfLf(src, i, Math.min(to, at + MAX_LINE + 1)) : -1;
      let end = newline;
      if (newline < 0) {
        if (to - at > MAX_LINE) end = cutAtCharacter(src, at, at + MAX_LINE);
        else if (options.flush) end = to;
        else {
          o = start;
          break;
        }
      }
      o = this.#content(src, at, end, start + headLength, newline < 0);
      if (o > limit && this.records > 0) {
        o = start;
        break;
      }
      at = newline < 0 ? end : end + 1;
      this.records++;
    }
    this.length = o;
    return at;
  }

  /** Writes content and end of a record that has bytes to escape or is partial; returns the new end of `out`. */
  #content(src: Uint8Array, from: number, end: number, start: number, partial: boolean): number {
    const out = this.out;
    let o = start;
    for (let i = from; i < end;) {
      const c = src[i] as number;
      if (PLAIN[c] === 1 || c === 0x7f) {
        out[o++] = c;
        i++;
      } else if (c < 0x80) {
        o = escapeAscii(out, o, c);
        i++;
      } else {
        const n = sequenceLength(src, i, end);
        if (n === 0) return this.#binary(src.subarray(from, end), start, partial);
        for (let k = 0; k < n; k++) out[o++] = src[i++] as number;
      }
    }
    const tail = partial ? END_PARTIAL : END;
    out.set(tail, o);
    return o + tail.length;
  }

  #binary(bytes: Uint8Array, start: number, partial: boolean): number {
    const log = JSON.stringify(lossy.decode(bytes)).slice(1, -1);
    const rest = `${log}","b64":"${Buffer.from(bytes).toString("base64")}"${partial ? ',"partial":true' : ""}}\n`;
    return start + text.encodeInto(rest, this.out.subarray(start)).written;
  }
}

function indexOfLf(src: Uint8Array, from: number, to: number): number {
  const at = src.indexOf(LF, from);
  return at >= 0 && at < to ? at : -1;
}

function escapeAscii(out: Uint8Array, at: number, c: number): number {
  let o = at;
  out[o++] = BACKSLASH;
  const short = SHORT_ESCAPE[c];
  if (short !== undefined) {
    out[o++] = short;
    return o;
  }
  out[o++] = 0x75;
  out[o++] = 0x30;
  out[o++] = 0x30;
  out[o++] = HEX[c >> 4] as number;
  out[o++] = HEX[c & 15] as number;
  return o;
}
