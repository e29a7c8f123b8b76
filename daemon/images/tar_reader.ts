/**
 * Reads the container of an image archive: a tar of few, plainly named files (ustar, PAX, GNU; plain, gzip or zstd).
 *
 * Layers are not read here: their tars are files inside this one, and the extract stage unpacks them.
 */

import { Readable } from "node:stream";
import { pipeline } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { NyxError } from "../spec/errors.ts";

/** One member of an archive. */
export interface TarMember {
  name: string;
  type: "file" | "dir" | "symlink" | "link" | "other";
  size: number;
  linkName: string;
  /** The content; what is not read is skipped. */
  body(): AsyncGenerator<Uint8Array, void, void>;
}

/** Longest extended header, bytes. */
const MAX_EXTENSION = 1024 * 1024;

function broken(why: string): NyxError {
  return new NyxError("invalid_argument", `Could not read the image archive: ${why}`);
}

/** Hands out bytes of a stream in pieces of a wanted size. */
class ByteSource {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** Up to `most` bytes; undefined at the end. */
  async some(most: number): Promise<Uint8Array | undefined> {
    while (this.#rest.byteLength === 0) {
      const { done, value } = await this.#chunks.next();
      if (done) return undefined;
      this.#rest = value;
    }
    const out = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(out.byteLength);
    return out;
  }

  /** Exactly `length` bytes, or fewer at the end. */
  async upTo(length: number): Promise<Uint8Array> {
    const out = new Uint8Array(length);
    let at = 0;
    while (at < length) {
      const part = await this.some(length - at);
      if (part === undefined) return out.subarray(0, at);
      out.set(part, at);
      at += part.byteLength;
    }
    return out;
  }

  /** Puts bytes back in front. */
  unread(bytes: Uint8Array): void {
    const joined = new Uint8Array(bytes.byteLength + this.#rest.byteLength);
    joined.set(bytes);
    joined.set(this.#rest, bytes.byteLength);
    this.#rest = joined;
  }

  /** All that is left. */
  async *all(): AsyncGenerator<Uint8Array, void, void> {
    for (let part = await this.some(Infinity); part !== undefined; part = await this.some(Infinity)) yield part;
  }

  /** Stops the stream beneath. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }
}

/** Compression of a file, by its first bytes. */
export function sniffCompression(head: Uint8Array): "gzip" | "zstd" | "none" | "unknown" {
  const starts = (...bytes: number[]) => bytes.every((b, i) => head[i] === b);
  if (starts(0x1f, 0x8b)) return "gzip";
  if (starts(0x28, 0xb5, 0x2f, 0xfd)) return "zstd";
  if (starts(0x42, 0x5a, 0x68) || starts(0xfd, 0x37, 0x7a, 0x58, 0x5a)) return "unknown";
  return "none";
}

/** The bytes with gzip or zstd taken off. */
export function decompress(
  chunks: AsyncIterable<Uint8Array>,
  compression: "gzip" | "zstd" | "none",
): AsyncIterable<Uint8Array> {
  if (compression === "none") return chunks;
  const inflate = compression === "gzip" ? createGunzip() : createZstdDecompress();
  // Errors arrive through the iteration of `inflate`, which the pipeline destroys with them.
  pipeline(Readable.from(chunks), inflate, () => {});
  return inflate;
}

function octal(block: Uint8Array, at: number, length: number): number {
  if (((block[at] ?? 0) & 0x80) !== 0) {
    // GNU base-256: big-endian, the first byte's high bit marks it.
    let value = (block[at] ?? 0) & 0x7f;
    for (let i = at + 1; i < at + length; i++) value = value * 256 + (block[i] ?? 0);
    return value;
  }
  const text = latin1(block.subarray(at, at + length)).replaceAll("\0", " ").trim();
  return text === "" ? 0 : /^[0-7]+$/.test(text) ? parseInt(text, 8) : NaN;
}

function latin1(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => String.fromCharCode(b)).join("");
}

function text(block: Uint8Array, at: number, length: number): string {
  const field = block.subarray(at, at + length);
  const end = field.indexOf(0);
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
}

function checksumHolds(block: Uint8Array): boolean {
  let sum = 8 * 32;
  for (let i = 0; i < 512; i++) if (i < 148 || i >= 156) sum += block[i] ?? 0;
  return sum === octal(block, 148, 8);
}

function parsePax(bytes: Uint8Array): Map<string, string> {
  const records = new Map<string, string>();
  let at = 0;
  while (at < bytes.byteLength) {
    const space = bytes.indexOf(32, at);
    const length = space < 0 ? NaN : Number(latin1(bytes.subarray(at, space)));
    if (!Number.isInteger(length) || length <= space - at || at + length > bytes.byteLength) {
      throw broken("an extended header is malformed");
    }
    const record = new TextDecoder().decode(bytes.subarray(space + 1, at + length - 1));
    const equals = record.indexOf("=");
    if (equals > 0) records.set(record.slice(0, equals), record.slice(equals + 1));
    at += length;
  }
  return records;
}

const TYPES: Readonly<Record<string, TarMember["type"]>> = {
  "0": "file",
  "\0": "file",
  "7": "file",
  "1": "link",
  "2": "symlink",
  "5": "dir",
};

interface Overrides {
  path?: string;
  linkpath?: string;
  size?: number;
}

/** Takes an extended header in; true when the block was one. */
async function extend(source: ByteSource, flag: string, size: number, next: Overrides): Promise<boolean> {
  if (!"xgLK".includes(flag)) return false;
  if (!(size <= MAX_EXTENSION)) throw broken(`an extended header has ${size} bytes`);
  const padded = await source.upTo(Math.ceil(size / 512) * 512);
  if (padded.byteLength < size) throw broken("it ends within an extended header");
  const data = padded.subarray(0, size);
  if (flag === "L") next.path = text(data, 0, size);
  else if (flag === "K") next.linkpath = text(data, 0, size);
  else if (flag === "x") {
    const records = parsePax(data);
    const path = records.get("path"), linkpath = records.get("linkpath"), length = records.get("size");
    if (path !== undefined) next.path = path;
    if (linkpath !== undefined) next.linkpath = linkpath;
    if (length !== undefined) next.size = Number(length);
  }
  return true;
}

/**
 * Members of an archive in order. The stream is cancelled when the iteration ends early.
 *
 * @throws NyxError invalid_argument for anything that is no sound tar
 */
export async function* readTar(stream: AsyncIterable<Uint8Array>): AsyncGenerator<TarMember, void, void> {
  const raw = new ByteSource(stream);
  let inner: ByteSource | undefined;
  try {
    const head = await raw.upTo(6);
    const compression = sniffCompression(head);
    if (compression === "unknown") throw broken("it is compressed with bzip2 or xz; recompress it with gzip or zstd");
    raw.unread(head);
    inner = new ByteSource(decompress(raw.all(), compression));
    yield* members(inner);
  } catch (e) {
    if (e instanceof NyxError || !(e instanceof Error) || !("code" in e) || !/^(Z_|ZSTD_|ERR_)/.test(String(e.code))) {
      throw e;
    }
    throw broken(`its compressed data is corrupt (${e.message})`);
  } finally {
    await inner?.close();
    await raw.close();
  }
}

async function* members(source: ByteSource): AsyncGenerator<TarMember, void, void> {
  let next: Overrides = {};
  for (let first = true;; first = false) {
    const block = await source.upTo(512);
    if (block.byteLength === 0 || block.every((b) => b === 0)) {
      if (first && block.byteLength === 0) throw broken("it is empty");
      break;
    }
    if (block.byteLength < 512) throw broken("it ends within a header");
    if (!checksumHolds(block)) throw broken("a header's checksum is wrong, so it is no tar archive");
    const flag = String.fromCharCode(block[156] ?? 0);
    const size = octal(block, 124, 12);
    if (!Number.isSafeInteger(size)) throw broken("a member's size is malformed");
    if (await extend(source, flag, size, next)) continue;
    const prefix = text(block, 257, 5) === "ustar" && block[262] === 0 ? text(block, 345, 155) : "";
    const name = next.path ?? (prefix === "" ? text(block, 0, 100) : `${prefix}/${text(block, 0, 100)}`);
    const type = TYPES[flag] ?? "other";
    const length = type === "file" || type === "other" ? next.size ?? size : 0;
    if (!Number.isSafeInteger(length) || length < 0) throw broken("a member's size is malformed");
    const linkName = next.linkpath ?? text(block, 157, 100);
    next = {};
    yield* member(source, { name, type, size: length, linkName });
  }
  for await (const _ of source.all()) {
    // What follows the end marker is padding; a compressed stream is read to its end so that its checksum is verified.
  }
}

async function* member(
  source: ByteSource,
  header: Omit<TarMember, "body">,
): AsyncGenerator<TarMember, void, void> {
  let left = header.size;
  async function* body(): AsyncGenerator<Uint8Array, void, void> {
    while (left > 0) {
      const part = await source.some(left);
      if (part === undefined) throw broken(`it ends within ${JSON.stringify(header.name)}`);
      left -= part.byteLength;
      yield part;
    }
  }
  yield { ...header, body };
  for await (const _ of body()) {
    // Skips what the consumer left.
  }
  const padding = (512 - header.size % 512) % 512;
  if ((await source.upTo(padding)).byteLength < padding) throw broken(`it ends after ${JSON.stringify(header.name)}`);
}
