/**
 * Reading a container's log: tail from the end, follow across rotation, filters; records to text, frames or as they are.
 *
 * Records that the encoder of record.ts wrote are recognised by their fixed layout and decoded byte by byte; any other line is
 * parsed as JSON, and what is no record is skipped and counted as corrupt.
 */

import { Buffer } from "node:buffer";
import { FRAME } from "../../daemon/spec/frames.ts";
import { recordHead } from "./record.ts";

/** What to read. Times are in the log's own 30-character form. */
export interface RecordFilter {
  stdout: boolean;
  stderr: boolean;
  since: string | undefined;
  until: string | undefined;
  grep: string | undefined;
}

/** How to show it. */
export interface RecordFormat {
  format: "text" | "frames" | "jsonl";
  timestamps: boolean;
}

const LF = 0x0a;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const text = new TextEncoder();
const decoder = new TextDecoder();
const PARTIAL_END = text.encode(',"partial":true}');
const UNESCAPE: Readonly<Record<number, number>> = {
  0x62: 8,
  0x74: 9,
  0x6e: 10,
  0x66: 12,
  0x72: 13,
  0x22: 0x22,
  0x5c: 0x5c,
  0x2f: 0x2f,
};
const FRAME_HEADER = 8;
/** Output is handed on in pieces of about this many bytes. */
const CHUNK = 256 * 1024;

/** RFC 3339 text as the log writes times: UTC, nanoseconds. Undefined for what is no time. */
export function normaliseTime(time: string): string | undefined {
  const ms = Date.parse(time);
  if (Number.isNaN(ms)) return undefined;
  const fraction = /\.(\d+)/.exec(time)?.[1] ?? "";
  return `${new Date(ms).toISOString().slice(0, 19)}.${fraction.slice(0, 9).padEnd(9, "0")}Z`;
}

/** Decodes blocks of records and collects the output. */
export class RecordDecoder {
  /** Lines shown. */
  lines = 0;
  /** Lines of the file that were no records. */
  corrupt = 0;
  /** A record later than `until` was met. Others may still match: clocks are set back. */
  past = false;
  readonly #filter: RecordFilter;
  readonly #format: RecordFormat;
  readonly #head: Uint8Array;
  readonly #streamAt: number;
  readonly #since: Uint8Array | undefined;
  readonly #until: Uint8Array | undefined;
  readonly #grep: Buffer | undefined;
  #out = new Uint8Array(CHUNK + 64 * 1024);
  #o = 0;
  #frameAt = -1;
  #frameKind = 0;
  /** Whether the next record of a stream goes on with a line: by kind. */
  #continues = [false, false, false];
  /** With grep: the line so far, by kind. */
  #line: (number[] | undefined)[] = [];
  #kind = 1;
  #partial = false;

  /**
   * @param containerId whose log it is
   * @param filter what to show
   * @param format how
   */
  constructor(containerId: string, filter: RecordFilter, format: RecordFormat) {
    this.#filter = filter;
    this.#format = format;
    const { head, streamAt } = recordHead(containerId);
    this.#head = head;
    this.#streamAt = streamAt;
    this.#since = filter.since === undefined ? undefined : text.encode(filter.since);
    this.#until = filter.until === undefined ? undefined : text.encode(filter.until);
    this.#grep = filter.grep === undefined || filter.grep === "" ? undefined : Buffer.from(filter.grep);
  }

  /** Bytes of output waiting to be taken. */
  get pending(): number {
    return this.#o;
  }

  /** Enough output waits for a piece. */
  get full(): boolean {
    return this.#o >= CHUNK;
  }

  /** Takes the output so far. */
  take(): Uint8Array<ArrayBuffer> {
    this.#closeFrame();
    const out = this.#out.subarray(0, this.#o);
    this.#out = new Uint8Array(this.#out.length);
    this.#o = 0;
    return out;
  }

  /**
   * Decodes the whole records of `block[from, to)` until {@linkcode full}.
   *
   * @returns where it stopped: the start of a record whose end is missing, or of the next one
   */
  decode(block: Uint8Array, from: number, to: number): number {
    let at = from;
    while (at < to && !this.full) {
      const end = block.indexOf(LF, at);
      if (end < 0 || end >= to) break;
      if (end > at) this.#record(block, at, end);
      at = end + 1;
    }
    return at;
  }

  #record(block: Uint8Array, at: number, end: number): void {
    this.#reserve((end - at) + 128);
    const start = this.#o;
    if (!this.#known(block, at, end)) {
      this.#slow(block, at, end);
      return;
    }
    if (!this.#wanted(block, at)) return;
    if (this.#format.format === "jsonl" && this.#grep === undefined) {
      this.#copyRecord(block, at, end);
      return;
    }
    if (this.#grep !== undefined || !this.#fast(block, at, end)) {
      this.#dropTo(start);
      this.#slow(block, at, end);
    }
  }

  /** Whether a record has the encoder's layout up to its content; sets the kind. */
  #known(block: Uint8Array, at: number, end: number): boolean {
    const head = this.#head;
    const length = head.length;
    const streamAt = this.#streamAt;
    if (end - at < length + 2 || block[at] !== 0x7b || block[at + 8] !== QUOTE) return false;
    for (let i = 39; i < streamAt; i += 8) if (block[at + i] !== head[i]) return false;
    for (let i = streamAt + 6; i < length; i++) if (block[at + i] !== head[i]) return false;
    const c = block[at + streamAt + 3];
    if (block[at + streamAt] !== 0x73 || (c !== 0x6f && c !== 0x65)) return false;
    this.#kind = c === 0x6f ? 1 : 2;
    return true;
  }

  #wanted(block: Uint8Array, at: number): boolean {
    if (this.#kind === 1 ? !this.#filter.stdout : !this.#filter.stderr) return false;
    if (this.#since !== undefined && compare(block, at + 9, this.#since) < 0) return false;
    if (this.#until !== undefined && compare(block, at + 9, this.#until) > 0) {
      this.past = true;
      return false;
    }
    return true;
  }

  #copyRecord(block: Uint8Array, at: number, end: number): void {
    this.#out.set(block.subarray(at, end + 1), this.#o);
    this.#o += end + 1 - at;
    this.lines++;
  }

  /** Decodes a record of the encoder's; false when it needs the slow way (output is then to be dropped). */
  #fast(block: Uint8Array, at: number, end: number): boolean {
    const kind = this.#kind;
    const frames = this.#format.format === "frames";
    if (frames && this.#frameKind !== kind) this.#openFrame(kind);
    const out = this.#out;
    let o = this.#o;
    if (this.#format.timestamps && !this.#continues[kind]) {
      for (let i = at + 9; i < at + 39; i++) out[o++] = block[i] as number;
      out[o++] = 0x20;
    }
    let i = at + this.#head.length;
    let c = 0;
    while (true) {
      while (i < end && (c = block[i] as number) !== QUOTE && c !== BACKSLASH) {
        out[o++] = c;
        i++;
      }
      if (i >= end) return false;
      if (c === QUOTE) break;
      const plain = UNESCAPE[block[i + 1] as number];
      if (plain !== undefined) {
        out[o++] = plain;
        i += 2;
      } else if (block[i + 1] === 0x75 && block[i + 2] === 0x30 && block[i + 3] === 0x30) {
        out[o++] = Number.parseInt(String.fromCharCode(block[i + 4] as number, block[i + 5] as number), 16);
        i += 6;
      } else return false;
    }
    const partial = end - i - 1 === PARTIAL_END.length;
    if (partial) {
      for (let k = 0; k < PARTIAL_END.length; k++) if (block[i + 1 + k] !== PARTIAL_END[k]) return false;
    } else if (i !== end - 2 || block[end - 1] !== 0x7d) return false;
    if (!partial) {
      out[o++] = LF;
      this.lines++;
    }
    this.#continues[kind] = partial;
    this.#o = o;
    return true;
  }

  /** Any other line: JSON, or corrupt. */
  #slow(block: Uint8Array, at: number, end: number): void {
    const record = parseRecord(block.subarray(at, end));
    if (record === undefined) {
      this.corrupt++;
      return;
    }
    const { kind, time, bytes, partial } = record;
    if (kind === 1 ? !this.#filter.stdout : !this.#filter.stderr) return;
    const { since, until } = this.#filter;
    if (since !== undefined && time < since) return;
    if (until !== undefined && time > until) {
      this.past = true;
      return;
    }
    this.#kind = kind;
    this.#partial = partial;
    if (this.#grep === undefined) this.#emit(block.subarray(at, end + 1), time, bytes);
    else this.#grepLine(block.subarray(at, end + 1), time, bytes);
  }

  /** Collects the parts of a line, and shows it when it is whole and matches. */
  #grepLine(raw: Uint8Array, time: string, bytes: Uint8Array): void {
    const kind = this.#kind;
    const line = this.#line[kind] ??= [];
    const jsonl = this.#format.format === "jsonl";
    const parts = this.#parts[kind] ??= { time, raw: [] };
    for (const b of bytes) line.push(b);
    parts.raw.push(jsonl ? raw.slice() : new Uint8Array(0));
    if (this.#partial) return;
    this.#line[kind] = undefined;
    this.#parts[kind] = undefined;
    const whole = Buffer.from(line);
    if (this.#grep === undefined || !whole.includes(this.#grep)) return;
    if (jsonl) { for (const r of parts.raw) this.#emit(r, parts.time, r); }
    else this.#emit(raw, parts.time, whole);
  }

  #parts: ({ time: string; raw: Uint8Array[] } | undefined)[] = [];

  #emit(raw: Uint8Array, time: string, bytes: Uint8Array): void {
    const kind = this.#kind;
    if (this.#format.format === "jsonl") {
      this.#reserve(raw.length);
      this.#out.set(raw, this.#o);
      this.#o += raw.length;
      this.lines++;
      return;
    }
    this.#reserve(bytes.length + 128);
    if (this.#format.format === "frames" && this.#frameKind !== kind) this.#openFrame(kind);
    if (this.#format.timestamps && !this.#continues[kind]) {
      this.#o += text.encodeInto(`${time} `, this.#out.subarray(this.#o)).written;
    }
    this.#out.set(bytes, this.#o);
    this.#o += bytes.length;
    this.#continues[kind] = this.#partial;
    if (this.#partial) return;
    this.#out[this.#o++] = LF;
    this.lines++;
  }

  #openFrame(kind: number): void {
    this.#closeFrame();
    this.#frameAt = this.#o;
    this.#frameKind = kind;
    this.#out.fill(0, this.#o, this.#o + FRAME_HEADER);
    this.#out[this.#o] = kind === 1 ? FRAME.stdout : FRAME.stderr;
    this.#o += FRAME_HEADER;
  }

  #closeFrame(): void {
    if (this.#frameAt >= 0) {
      new DataView(this.#out.buffer).setUint32(this.#frameAt + 4, this.#o - this.#frameAt - FRAME_HEADER);
    }
    this.#frameAt = -1;
    this.#frameKind = 0;
  }

  /** Takes back output of the record at hand; a frame that it opened goes too. */
  #dropTo(o: number): void {
    this.#o = o;
    if (this.#frameAt >= o) {
      this.#frameAt = -1;
      this.#frameKind = 0;
    }
  }

  #reserve(bytes: number): void {
    if (this.#o + bytes <= this.#out.length) return;
    const larger = new Uint8Array(Math.max(this.#out.length * 2, this.#o + bytes));
    larger.set(this.#out.subarray(0, this.#o));
    this.#out = larger;
  }
}

function compare(block: Uint8Array, at: number, time: Uint8Array): number {
  for (let i = 0; i < time.length; i++) {
    const d = (block[at + i] as number) - (time[i] as number);
    if (d !== 0) return d;
  }
  return 0;
}

/** A record of any layout. */
export interface ParsedRecord {
  kind: 1 | 2;
  time: string;
  bytes: Uint8Array;
  partial: boolean;
}

/** Parses one line; undefined when it is no record. */
export function parseRecord(line: Uint8Array): ParsedRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(line));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { time, stream, log, b64, partial } = value as Record<string, unknown>;
  if (typeof time !== "string" || typeof log !== "string") return undefined;
  if (stream !== "stdout" && stream !== "stderr") return undefined;
  return {
    kind: stream === "stdout" ? 1 : 2,
    time,
    bytes: typeof b64 === "string" ? Buffer.from(b64, "base64") : text.encode(log),
    partial: partial === true,
  };
}
