/**
 * HTTP/1.1 over one unix-socket connection (RFC 9112), as little of it as the client needs: a new CLI process pays for
 * every module, so there is no fetch and no node: import here.
 */

import { NyxError } from "../spec/errors.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
/** Begins no chunk of RFC 9112, section 7.1. */
const NO_CHUNK = encoder.encode("x\r\n");
/** Longest wait for room to say so. */
const BREAK_OFF_MS = 20;
const CRLF = encoder.encode("\r\n");
/** A response head longer than this is not nyxd's. */
const MAX_HEAD = 64 * 1024;
const SMALL_BUFFER = 16 * 1024;
const LARGE_BUFFER = 128 * 1024;

/** Status line and header fields of a response; names in lower case. */
export interface ResponseHead {
  /** HTTP status. */
  status: number;
  /** Header fields; of a repeated one the last counts. */
  headers: Map<string, string>;
}

/** The peer closed the connection before, or in the middle of, a response. */
function truncated(): NyxError {
  return new NyxError("unavailable", "nyxd closed the connection before its answer was complete", { retryable: true });
}

/** One connection. Reads and writes may be under way at the same time; writes are queued in order. */
export class Wire {
  readonly #conn: Deno.UnixConn;
  #buffer: Uint8Array<ArrayBuffer> = new Uint8Array(SMALL_BUFFER);
  #start = 0;
  #end = 0;
  /** Part of the buffer was handed out, so it must not be written over. */
  #lent = false;
  #writes: Promise<void> = Promise.resolve();
  #closed = false;

  /** @param conn an open connection, owned from now on */
  constructor(conn: Deno.UnixConn) {
    this.#conn = conn;
  }

  /** Whether {@linkcode close} was called. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Closes the connection; pending reads and writes fail. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#conn.close();
  }

  /**
   * Closes in the middle of a chunked request body. What is no chunk goes first: nyxd's HTTP server does not notice that a connection
   * ended while a body is under way, and would keep it for good. Idempotent.
   */
  breakOff(): void {
    if (this.#closed) return;
    this.#closed = true;
    const conn = this.#conn;
    // Tried at once; where the kernel takes no more bytes, nobody waits for it.
    const told = conn.write(NO_CHUNK).then(() => {}, () => {});
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, BREAK_OFF_MS));
    void Promise.race([told, late]).then(() => {
      clearTimeout(timer);
      conn.close();
    });
  }

  /** Writes all of `bytes` after what was queued before; resolves when the kernel took them (back-pressure). */
  write(bytes: Uint8Array): Promise<void> {
    const written = this.#writes.then(async () => {
      for (let at = 0; at < bytes.byteLength;) at += await this.#conn.write(bytes.subarray(at));
    });
    this.#writes = written.catch(() => {});
    return written;
  }

  /** Writes one chunk of a chunked body (RFC 9112 section 7.1); empty input writes nothing, as it would end the body. */
  writeChunk(...parts: Uint8Array[]): Promise<void> {
    const size = parts.reduce((sum, part) => sum + part.byteLength, 0);
    if (size === 0) return Promise.resolve();
    const head = encoder.encode(`${size.toString(16)}\r\n`);
    const out = new Uint8Array(head.byteLength + size + 2);
    out.set(head);
    let at = head.byteLength;
    for (const part of parts) {
      out.set(part, at);
      at += part.byteLength;
    }
    out.set(CRLF, at);
    return this.write(out);
  }

  /** Ends a chunked body. */
  endChunks(): Promise<void> {
    return this.write(encoder.encode("0\r\n\r\n"));
  }

  /**
   * Reads a response head, skipping interim (1xx) ones.
   *
   * @returns undefined when the peer closed before the first byte
   */
  async readHead(): Promise<ResponseHead | undefined> {
    if (this.#start === this.#end && !await this.#fill()) return undefined;
    while (true) {
      const lines: string[] = [];
      let total = 0;
      while (true) {
        const line = await this.#line();
        if (line === "") break;
        total += line.length;
        if (total > MAX_HEAD) throw new NyxError("internal", `Response head exceeds ${MAX_HEAD} bytes`);
        lines.push(line);
      }
      const status = /^HTTP\/1\.1 (\d{3})(?: |$)/.exec(lines[0] ?? "")?.[1];
      if (status === undefined) {
        throw new NyxError("unavailable", `What answers on the socket does not speak HTTP/1.1: ${lines[0] ?? ""}`);
      }
      if (status.startsWith("1")) continue;
      const headers = new Map<string, string>();
      for (const line of lines.slice(1)) {
        const colon = line.indexOf(":");
        if (colon > 0) headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
      }
      return { status: Number(status), headers };
    }
  }

  /** The body that follows `head`, piece by piece; pieces are the caller's to keep. */
  async *body(head: ResponseHead): AsyncGenerator<Uint8Array, void, void> {
    if (head.status === 204 || head.status === 304) return;
    if (/(^|,)\s*chunked$/i.test(head.headers.get("transfer-encoding") ?? "")) {
      while (true) {
        const size = parseInt(await this.#line(), 16);
        if (!Number.isSafeInteger(size) || size < 0) throw new NyxError("internal", "Malformed chunk in nyxd's answer");
        if (size === 0) {
          while (await this.#line() !== "");
          return;
        }
        yield* this.#take(size);
        await this.#line();
      }
    }
    const length = head.headers.get("content-length");
    if (length !== undefined) yield* this.#take(Number(length));
    else while (this.#start < this.#end || await this.#fill()) yield this.#lend(this.#end - this.#start);
  }

  async *#take(length: number): AsyncGenerator<Uint8Array, void, void> {
    for (let left = length; left > 0;) {
      if (this.#start === this.#end && !await this.#fill()) throw truncated();
      const piece = this.#lend(Math.min(left, this.#end - this.#start));
      left -= piece.byteLength;
      yield piece;
    }
  }

  #lend(length: number): Uint8Array {
    const piece = this.#buffer.subarray(this.#start, this.#start + length);
    this.#start += length;
    this.#lent = true;
    return piece;
  }

  async #line(): Promise<string> {
    let from = this.#start;
    while (true) {
      const at = this.#buffer.subarray(0, this.#end).indexOf(10, from);
      if (at >= 0) {
        const end = at > this.#start && this.#buffer[at - 1] === 13 ? at - 1 : at;
        const line = decoder.decode(this.#buffer.subarray(this.#start, end));
        this.#start = at + 1;
        return line;
      }
      if (this.#end - this.#start > MAX_HEAD) throw new NyxError("internal", "Overlong line in nyxd's answer");
      const held = this.#end - this.#start;
      if (!await this.#fill()) throw truncated();
      from = this.#start + held;
    }
  }

  /** Reads more bytes behind those that are held; false at the end of the stream. */
  async #fill(): Promise<boolean> {
    const held = this.#end - this.#start;
    if (this.#lent || this.#end === this.#buffer.byteLength) {
      const full = this.#end === this.#buffer.byteLength;
      const size = Math.max(full ? LARGE_BUFFER : this.#buffer.byteLength, 2 * held);
      const fresh = new Uint8Array(size);
      fresh.set(this.#buffer.subarray(this.#start, this.#end));
      this.#buffer = fresh;
      this.#lent = false;
      this.#start = 0;
      this.#end = held;
    } else if (held === 0) this.#start = this.#end = 0;
    const count = await this.#conn.read(this.#buffer.subarray(this.#end));
    if (count === null) return false;
    this.#end += count;
    return true;
  }
}
