/** Walks the files of one log: all of it or the last N lines, then follows the writer across rotations. */

import { gunzipSync } from "node:zlib";
import { AT_FDCWD, type FileKernel, O } from "../../ffi/file.ts";
import { isErrno } from "../../ffi/errno.ts";
import { listParts, type LogFile } from "./log_file.ts";
import { parseRecord, RecordDecoder, type RecordFilter, type RecordFormat } from "./log_read.ts";

const LF = 0x0a;
const BLOCK = 256 * 1024;
/** How a record begins, and the length of the time that follows. */
const FIRST_TIME = '{"time":"';
const TIME_LENGTH = 30;
/** Longest run of decoding before other work of the worker gets its turn. */
const SLICE_MS = 4;

/** What to read and how. */
export interface LogReadOptions {
  id: string;
  path: string;
  filter: RecordFilter;
  format: RecordFormat;
  tail: number | undefined;
  /** The writer, when the container runs. */
  writer: LogFile | undefined;
  /** Go on until the writer closes. */
  follow: boolean;
  /** Read no further than this. */
  stopAt: Position | undefined;
  signal: AbortSignal;
  /** Takes a piece of output; resolves when there is room for more. */
  send: (bytes: Uint8Array<ArrayBuffer>) => Promise<void>;
}

/** A place in a log: file by number (the current one has the highest) and offset of a record. */
export interface Position {
  number: number;
  offset: number;
}

/** Reads one log to its end, or follows it until its writer closes. */
export class LogReader {
  readonly #files: FileKernel;
  readonly #options: LogReadOptions;
  readonly #decoder: RecordDecoder;
  #buffer = new Uint8Array(BLOCK);
  #length = 0;
  #sliceEnd = 0;
  #changed = Promise.withResolvers<void>();

  /**
   * @param files reads plain parts
   * @param options what to read
   */
  constructor(files: FileKernel, options: LogReadOptions) {
    this.#files = files;
    this.#options = options;
    this.#decoder = new RecordDecoder(options.id, options.filter, options.format);
  }

  /** Lines sent and lines that were no records. */
  get counts(): { lines: number; corrupt: number } {
    return { lines: this.#decoder.lines, corrupt: this.#decoder.corrupt };
  }

  /** Does it. Ends early, without an error, when the signal aborts. */
  async run(): Promise<void> {
    const { writer, path, tail, stopAt, signal } = this.#options;
    const stop = writer?.listen(() => this.#changed.resolve());
    const onAbort = () => this.#changed.resolve();
    signal.addEventListener("abort", onAbort);
    try {
      const parts = listParts(path);
      const current = stopAt?.number ?? writer?.number ?? (parts.at(-1)?.number ?? 0) + 1;
      const from = tail === undefined ? { number: 0, offset: 0 } : this.#tailStart(tail, current);
      for (const { number } of parts) {
        if (number >= from.number && number < current) await this.#readNumber(number, current, from);
      }
      await this.#readCurrent(current, from);
      await this.#flush();
    } finally {
      stop?.();
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** The current file, and while following the ones that come after it. */
  async #readCurrent(current: number, from: Position): Promise<void> {
    const { writer, follow } = this.#options;
    let number = current;
    while (!this.#stopped) {
      const fd = this.#openNumber(number, current);
      if (fd !== undefined) {
        try {
          if (from.number === number) this.#files.lseek(fd, from.offset, 0);
          await this.#readFollowing(fd, number);
        } finally {
          this.#files.close(fd);
        }
      }
      if (!follow || writer === undefined || number >= writer.number || this.#decoder.past) return;
      number++;
    }
  }

  /** Reads one file until it is complete: at once without a writer to follow, else when the writer rotates or closes. */
  async #readFollowing(fd: number, number: number): Promise<void> {
    const { writer, follow, stopAt } = this.#options;
    while (true) {
      this.#changed = Promise.withResolvers<void>();
      // Looked at before reading: what was there then is read whole afterwards.
      const complete = writer === undefined || !follow || writer.closed || writer.number > number;
      await this.#readToEnd(fd, stopAt?.number === number ? stopAt.offset : undefined);
      if (complete || this.#stopped || this.#decoder.past) return;
      await this.#flush();
      await this.#changed.promise;
    }
  }

  /** One rotated part; a missing one has expired. */
  async #readNumber(number: number, current: number, from: Position): Promise<void> {
    if (this.#stopped) return;
    const offset = number === from.number ? from.offset : 0;
    const { path, filter } = this.#options;
    const fd = this.#openNumber(number, current);
    if (fd === undefined) {
      const packed = `${path}.${number}.gz`;
      if (isFile(packed)) await this.#readCompressed(packed, offset);
      return;
    }
    try {
      if (filter.since !== undefined && this.#isBefore(fd, filter.since)) return;
      this.#files.lseek(fd, offset, 0);
      await this.#readToEnd(fd, undefined);
    } finally {
      this.#files.close(fd);
    }
  }

  /** Whether a part begins, and was last written, before a time: nothing in it is younger. */
  #isBefore(fd: number, time: string): boolean {
    const lastMs = Number(this.#files.fstat(fd).mtime.sec) * 1000 + 1000;
    if (lastMs >= Date.parse(time)) return false;
    // The clock may have been set back meanwhile.
    const head = new Uint8Array(FIRST_TIME.length + TIME_LENGTH);
    this.#files.pread(fd, head, 0);
    const text = new TextDecoder().decode(head);
    return text.startsWith(FIRST_TIME) && text.slice(FIRST_TIME.length) < time;
  }

  /** Opens file `number` under the name it has now. */
  #openNumber(number: number, current: number): number | undefined {
    const { path, writer } = this.#options;
    return this.#open(number === (writer?.number ?? current) ? path : `${path}.${number}`);
  }

  get #stopped(): boolean {
    return this.#options.signal.aborted;
  }

  #open(path: string): number | undefined {
    try {
      return this.#files.openat(AT_FDCWD, path, O.RDONLY | O.NOFOLLOW | O.CLOEXEC);
    } catch (e) {
      if (isErrno(e, "ENOENT")) return undefined;
      throw e;
    }
  }

  /** Reads from the file's position to its end, or to offset `limit`. */
  async #readToEnd(fd: number, limit: number | undefined): Promise<void> {
    let position = limit === undefined ? 0 : this.#files.lseek(fd, 0, 1);
    while (!this.#stopped) {
      this.#makeRoom();
      const room = this.#buffer.length - this.#length;
      const want = limit === undefined ? room : Math.min(room, limit - position);
      if (want <= 0) return;
      const n = this.#files.read(fd, this.#buffer.subarray(this.#length, this.#length + want));
      if (n === 0) return;
      position += n;
      this.#length += n;
      await this.#decodeBuffer();
    }
  }

  async #readCompressed(path: string, skip: number): Promise<void> {
    let left = skip;
    using file = await Deno.open(path);
    for await (const piece of file.readable.pipeThrough(new DecompressionStream("gzip"))) {
      let bytes = piece;
      if (left > 0) {
        const n = Math.min(left, bytes.byteLength);
        left -= n;
        bytes = bytes.subarray(n);
      }
      for (let at = 0; at < bytes.byteLength && !this.#stopped;) {
        this.#makeRoom();
        const n = Math.min(bytes.byteLength - at, this.#buffer.length - this.#length);
        this.#buffer.set(bytes.subarray(at, at + n), this.#length);
        this.#length += n;
        at += n;
        await this.#decodeBuffer();
      }
      if (this.#stopped) return;
    }
  }

  /** A record longer than the buffer can only be another program's, or corrupt; it is kept whole all the same, to 16 MiB. */
  #makeRoom(): void {
    if (this.#length < this.#buffer.length) return;
    if (this.#buffer.length >= 16 * 1024 * 1024) {
      this.#decoder.corrupt++;
      this.#length = 0;
      return;
    }
    const larger = new Uint8Array(this.#buffer.length * 2);
    larger.set(this.#buffer);
    this.#buffer = larger;
  }

  async #decodeBuffer(): Promise<void> {
    let at = 0;
    while (true) {
      const next = this.#decoder.decode(this.#buffer, at, this.#length);
      if (this.#decoder.full) await this.#options.send(this.#decoder.take());
      if (next === at || this.#stopped) break;
      at = next;
      await this.#breathe();
    }
    this.#buffer.copyWithin(0, at, this.#length);
    this.#length -= at;
  }

  async #flush(): Promise<void> {
    if (this.#decoder.pending > 0) await this.#options.send(this.#decoder.take());
  }

  async #breathe(): Promise<void> {
    const now = performance.now();
    if (this.#sliceEnd === 0) this.#sliceEnd = now + SLICE_MS;
    if (now < this.#sliceEnd) return;
    await new Promise((r) => setTimeout(r, 0));
    this.#sliceEnd = performance.now() + SLICE_MS;
  }

  /** Start of the last `tail` lines that pass the filters, looking backwards from the end block by block. */
  #tailStart(tail: number, current: number): Position {
    if (tail <= 0) return { number: current, offset: this.#sizeOf(this.#options.path) };
    let left = tail;
    const parts = [...listParts(this.#options.path).filter((p) => p.number < current).reverse()];
    const all = [{ number: current, path: this.#options.path, compressed: false }, ...parts];
    for (const part of all) {
      const found = part.compressed ? this.#scanBackCompressed(part.path, left) : this.#scanBackFile(part.path, left);
      if (found.offset !== undefined) return { number: part.number, offset: found.offset };
      left -= found.lines;
    }
    return { number: 0, offset: 0 };
  }

  #sizeOf(path: string): number {
    const fd = this.#open(path);
    if (fd === undefined) return 0;
    try {
      return this.#files.fstat(fd).size;
    } finally {
      this.#files.close(fd);
    }
  }

  /** As {@linkcode LogReader.#scanBack} for a compressed part, unpacked whole: it is as long as a log file may be. */
  #scanBackCompressed(path: string, lines: number): { lines: number; offset?: number } {
    const bytes = gunzipSync(Deno.readFileSync(path));
    let seen = 0;
    for (let end = bytes.length; end > 0;) {
      const start = end < 2 ? 0 : bytes.lastIndexOf(LF, end - 2) + 1;
      if (this.#counts(bytes.subarray(start, end - 1)) && ++seen > lines) return { lines, offset: end };
      end = start;
    }
    return seen === lines ? { lines, offset: 0 } : { lines: seen };
  }

  #scanBackFile(path: string, lines: number): { lines: number; offset?: number } {
    const fd = this.#open(path);
    if (fd === undefined) return { lines: 0 };
    try {
      return this.#scanBack(fd, lines);
    } finally {
      this.#files.close(fd);
    }
  }

  /** Walks back over whole lines; `offset` is set once `lines` lines lie after it. */
  #scanBack(fd: number, lines: number): { lines: number; offset?: number } {
    let position = this.#files.fstat(fd).size;
    let carry = new Uint8Array(0);
    let seen = 0;
    while (position > 0) {
      const size = Math.min(BLOCK, position);
      position -= size;
      const block = new Uint8Array(size + carry.length);
      this.#files.pread(fd, block.subarray(0, size), position);
      block.set(carry, size);
      let end = block.lastIndexOf(LF);
      if (end < 0) {
        carry = block;
        continue;
      }
      // block[.., end] ends a line; what follows it is a record that is being written.
      while (end >= 0) {
        const start = end === 0 ? -1 : block.lastIndexOf(LF, end - 1);
        if (start < 0 && position > 0) break;
        if (this.#counts(block.subarray(start + 1, end)) && ++seen > lines) {
          return { lines: seen - 1, offset: position + end + 1 };
        }
        end = start;
      }
      carry = block.slice(0, Math.max(0, end + 1));
    }
    return seen === lines ? { lines: seen, offset: 0 } : { lines: seen };
  }

  /** Whether a record ends a line that will be shown. */
  #counts(record: Uint8Array): boolean {
    const { stdout, stderr, since, until, grep } = this.#options.filter;
    const all = stdout && stderr && since === undefined && until === undefined && grep === undefined;
    if (all) return !endsPartial(record) && record[0] === 0x7b;
    const parsed = parseRecord(record);
    if (parsed === undefined || parsed.partial) return false;
    if (parsed.kind === 1 ? !stdout : !stderr) return false;
    if (since !== undefined && parsed.time < since) return false;
    if (until !== undefined && parsed.time > until) return false;
    return grep === undefined || new TextDecoder().decode(parsed.bytes).includes(grep);
  }
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch (e) {
    if (e instanceof Deno.errors.NotFound) return false;
    throw e;
  }
}

const PARTIAL = new TextEncoder().encode(',"partial":true}');

function endsPartial(record: Uint8Array): boolean {
  const at = record.length - PARTIAL.length;
  if (at < 0 || record[at] !== PARTIAL[0]) return false;
  for (let i = 1; i < PARTIAL.length; i++) if (record[at + i] !== PARTIAL[i]) return false;
  return true;
}
