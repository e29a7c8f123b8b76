/**
 * Decompression of layers: gzip (several members too) by ISA-L, else node:zlib; zstd by libzstd, else node:zlib; or none. What a layer
 * is shows in its first bytes, not in its media type, which is known to lie; the diffID judges the outcome.
 *
 * Native decompressors fill one buffer on a pool thread while the caller still works on the other.
 */

import { createGunzip, createZstdDecompress } from "node:zlib";
import type { Transform } from "node:stream";
import { NyxError } from "../../daemon/spec/errors.ts";
import type { NativeInflate } from "../../ffi/inflate.ts";
import { tryLoadIsal } from "../../ffi/isal.ts";
import { tryLoadZstd } from "../../ffi/zstd.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Compression of a layer. */
export type Compression = "gzip" | "zstd" | "none";

/**
 * Turns compressed chunks into slices. Protocol: `setInput`, then `next` until it gives undefined, for each chunk; at the end of the
 * input `end`, then `next` until undefined again, which throws data_loss when the stream is cut short. A slice is valid until
 * the `next` after the next one; calls must not overlap.
 */
export interface Decompressor extends Disposable {
  setInput(chunk: Bytes): void;
  next(): Bytes | undefined | Promise<Bytes | undefined>;
  end(): void;
}

/** Which implementations to use; each is the best available unless told otherwise. */
export interface DecompressorOptions {
  /** `node`: the runtime's own even where a native one is there. Default `best`. */
  library?: "best" | "node";
}

/** Bytes of output for each slice: large enough for the call to cost nothing, small enough to stay in the cache. */
const SLICE = 512 * 1024;
/** Inputs below this are not worth a trip to another thread. */
const SYNC_BELOW = 8 * 1024;

/** Bytes that {@linkcode detect} needs. */
export const MAGIC_LENGTH = 6;

/**
 * What the first bytes of a layer say.
 *
 * @throws NyxError unimplemented for bzip2 and xz, which no container tool writes any more
 */
export function detect(head: Uint8Array): Compression {
  const starts = (...magic: number[]) => magic.every((byte, i) => head[i] === byte);
  if (starts(0x1f, 0x8b)) return "gzip";
  if (starts(0x28, 0xb5, 0x2f, 0xfd)) return "zstd";
  if (((head[0] ?? 0) & 0xf0) === 0x50 && head[1] === 0x2a && head[2] === 0x4d && head[3] === 0x18) return "zstd";
  const other = starts(0x42, 0x5a, 0x68) ? "bzip2" : starts(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00) ? "xz" : undefined;
  if (other !== undefined) {
    throw new NyxError("unimplemented", `Could not unpack the layer: it is compressed with ${other}; use gzip or zstd`);
  }
  return "none";
}

/** A decompressor for a layer. */
export function decompressor(compression: Compression, options: DecompressorOptions = {}): Decompressor {
  const native = options.library !== "node";
  if (compression === "none") return new Identity();
  if (compression === "gzip") {
    const make = native ? tryLoadIsal() : undefined;
    return make === undefined ? new Portable("gzip", createGunzip({ chunkSize: SLICE })) : new NativeGzip(make());
  }
  const make = native ? tryLoadZstd() : undefined;
  return make === undefined
    ? new Portable("zstd", createZstdDecompress({ chunkSize: SLICE }))
    : new Native("zstd", make());
}

function damaged(kind: string, why: unknown): NyxError {
  const reason = why instanceof Error ? why.message : String(why);
  return new NyxError("data_loss", `Could not decompress the layer: its ${kind} data is damaged (${reason})`);
}

function truncated(kind: string): NyxError {
  return new NyxError("data_loss", `Could not decompress the layer: its ${kind} data ends too early`);
}

/** Passes chunks through. */
class Identity implements Decompressor {
  #chunk: Bytes | undefined;

  setInput(chunk: Bytes): void {
    this.#chunk = chunk;
  }

  next(): Bytes | undefined {
    const chunk = this.#chunk;
    this.#chunk = undefined;
    return chunk;
  }

  end(): void {}

  [Symbol.dispose](): void {}
}

/** A native library with two output buffers in turn. */
class Native implements Decompressor {
  #buffers: [Bytes, Bytes] | undefined;
  #turn = 0;
  #inputSize = 0;
  #ended = false;
  #full = false;

  constructor(protected readonly kind: string, protected readonly inflate: NativeInflate) {}

  setInput(chunk: Bytes): void {
    this.#inputSize = chunk.byteLength;
    if (chunk.byteLength > 0) this.inflate.setInput(chunk);
  }

  next(): Bytes | undefined | Promise<Bytes | undefined> {
    if (this.#ended) {
      if (!this.complete()) throw truncated(this.kind);
      return undefined;
    }
    if (this.inflate.remaining === 0 && !this.#full) return undefined;
    if (!this.prepare()) return undefined;
    const buffers = this.#buffers ??= [new Uint8Array(SLICE), new Uint8Array(SLICE)];
    const buffer = buffers[this.#turn ^= 1] ?? buffers[0];
    if (this.#inputSize >= SYNC_BELOW) return this.#nextAsync(buffer);
    try {
      return this.#slice(buffer, this.inflate.inflate(buffer));
    } catch (e) {
      throw damaged(this.kind, e);
    }
  }

  end(): void {
    this.#ended = true;
  }

  [Symbol.dispose](): void {
    this.inflate[Symbol.dispose]();
  }

  /** Gets over what stands between members or frames; false when the rest of the input is to be ignored. */
  protected prepare(): boolean {
    return true;
  }

  /** Whether the input may end here. */
  protected complete(): boolean {
    return this.inflate.finished;
  }

  async #nextAsync(buffer: Bytes): Promise<Bytes | undefined> {
    let length: number;
    try {
      length = await this.inflate.inflateAsync(buffer);
    } catch (e) {
      throw damaged(this.kind, e);
    }
    return this.#slice(buffer, length);
  }

  #slice(buffer: Bytes, length: number): Bytes | undefined | Promise<Bytes | undefined> {
    this.#full = length === buffer.byteLength;
    if (length > 0) return this.#full ? buffer : buffer.subarray(0, length);
    return this.next();
  }
}

/** gzip: members may follow each other; zeros behind the last are padding, and end it; anything else is damage. */
class NativeGzip extends Native {
  #chunk: Bytes = new Uint8Array(0);
  #padding = false;

  constructor(inflate: NativeInflate) {
    super("gzip", inflate);
  }

  override setInput(chunk: Bytes): void {
    this.#chunk = chunk;
    super.setInput(chunk);
  }

  protected override prepare(): boolean {
    if (this.#padding) return false;
    if (!this.inflate.finished) return true;
    const following = this.#chunk[this.#chunk.byteLength - this.inflate.remaining];
    if (this.inflate.remaining === 0) return false;
    if (following === 0x1f) this.inflate.reset();
    else if (following === 0) this.#padding = true;
    else throw damaged("gzip", "something that is no gzip follows the data");
    return !this.#padding;
  }

  protected override complete(): boolean {
    return this.#padding || super.complete();
  }
}

/**
 * node:zlib, pulled slice by slice so that a bomb cannot fill the memory. Deno's zstd (2.9) refuses a second frame whose header lies
 * across two chunks, and does not tell of a cut stream: the first is an error where libzstd would do, the second shows in the diffID.
 */
class Portable implements Decompressor {
  #error: Error | undefined;
  #busy = false;
  #ended = false;
  /** The stream took all it will take: padding may follow. */
  #over = false;
  #wake: PromiseWithResolvers<void> | undefined;

  constructor(private readonly kind: string, private readonly stream: Transform) {
    const wake = () => this.#wake?.resolve();
    stream.on("readable", wake);
    stream.on("end", () => {
      this.#over = true;
      this.#busy = false;
      wake();
    });
    stream.on("error", (e: Error) => {
      this.#error = e;
      wake();
    });
  }

  setInput(chunk: Bytes): void {
    if (this.#over) return;
    this.#busy = true;
    this.stream.write(chunk, () => {
      this.#busy = this.#ended;
      this.#wake?.resolve();
    });
  }

  async next(): Promise<Bytes | undefined> {
    while (true) {
      this.#wake = Promise.withResolvers<void>();
      if (this.#error !== undefined) {
        throw /unexpected end/.test(this.#error.message) ? truncated(this.kind) : damaged(this.kind, this.#error);
      }
      const slice: Bytes | null = this.stream.read();
      if (slice !== null) return slice;
      if (!this.#busy) return undefined;
      await this.#wake.promise;
    }
  }

  end(): void {
    this.#ended = true;
    if (this.#over) return;
    this.#busy = true;
    this.stream.end();
  }

  [Symbol.dispose](): void {
    this.stream.destroy();
  }
}
