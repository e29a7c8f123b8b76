/**
 * zstd decompression by libzstd's stable API (zstd.h, "Streaming decompression"). Optional: {@linkcode tryLoadZstd} gives undefined
 * where the library is missing.
 */

import type { NativeInflate } from "./inflate.ts";
import { addressOf, openLibrary, stringAt } from "./linux/libc.ts";

const TRIPLE = Deno.build.arch === "aarch64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";

/** Where the library is; a worker with scoped ffi permission must be granted these. */
export const ZSTD_PATHS: readonly string[] = [`/usr/lib/${TRIPLE}/libzstd.so.1`, "/usr/lib64/libzstd.so.1"];

const SYMBOLS = {
  ZSTD_versionNumber: { parameters: [], result: "u32" },
  ZSTD_createDStream: { parameters: [], result: "pointer" },
  ZSTD_freeDStream: { parameters: ["pointer"], result: "usize" },
  ZSTD_decompressStream: { parameters: ["pointer", "buffer", "buffer"], result: "usize" },
  decompressAsync: {
    name: "ZSTD_decompressStream",
    parameters: ["pointer", "buffer", "buffer"],
    result: "usize",
    nonblocking: true,
  },
  ZSTD_isError: { parameters: ["usize"], result: "u32" },
  ZSTD_getErrorName: { parameters: ["usize"], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Version from which the symbols used are stable. */
const MIN_VERSION = 10_400;

type Bytes = Uint8Array<ArrayBuffer>;
type Symbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** Decompresses a sequence of frames, skippable ones included. */
export class ZstdInflate implements NativeInflate {
  readonly #c: Symbols;
  #stream: Deno.PointerValue;
  /** ZSTD_inBuffer and ZSTD_outBuffer: pointer, size, position. */
  readonly #in = new BigUint64Array(3);
  readonly #out = new BigUint64Array(3);
  #input: Bytes | undefined;
  #frameDone = true;

  /** @param c loaded symbols, from {@linkcode tryLoadZstd} */
  constructor(c: Symbols) {
    this.#c = c;
    this.#stream = c.ZSTD_createDStream();
    if (this.#stream === null) throw new Error("zstd: no memory for a decompressor");
  }

  get finished(): boolean {
    return this.#frameDone;
  }

  get remaining(): number {
    return Number((this.#in[1] ?? 0n) - (this.#in[2] ?? 0n));
  }

  setInput(input: Bytes): void {
    this.#input = input;
    this.#in[0] = addressOf(input);
    this.#in[1] = BigInt(input.byteLength);
    this.#in[2] = 0n;
  }

  reset(): void {}

  inflate(output: Bytes): number {
    this.#setOutput(output);
    return this.#written(this.#c.ZSTD_decompressStream(this.#stream, this.#bytes(this.#out), this.#bytes(this.#in)));
  }

  async inflateAsync(output: Bytes): Promise<number> {
    this.#setOutput(output);
    return this.#written(
      await this.#c.decompressAsync(this.#stream, this.#bytes(this.#out), this.#bytes(this.#in)),
    );
  }

  [Symbol.dispose](): void {
    if (this.#stream !== null) this.#c.ZSTD_freeDStream(this.#stream);
    this.#stream = null;
  }

  #bytes(words: BigUint64Array<ArrayBuffer>): Bytes {
    return new Uint8Array(words.buffer);
  }

  #setOutput(output: Bytes): void {
    if (this.#stream === null) throw new Error("zstd: the decompressor was freed");
    this.#out[0] = addressOf(output);
    this.#out[1] = BigInt(output.byteLength);
    this.#out[2] = 0n;
  }

  #written(status: bigint): number {
    if (this.#c.ZSTD_isError(status) !== 0) {
      const name = this.#c.ZSTD_getErrorName(status);
      throw new Error(`zstd: ${name === null ? status : stringAt(name)}`);
    }
    this.#frameDone = status === 0n;
    if (this.remaining === 0) this.#input = undefined;
    return Number(this.#out[2] ?? 0n);
  }
}

let loaded: { symbols: Symbols } | null | undefined;

/** Maker of libzstd decompressors; undefined where the library is missing, too old, or not permitted. */
export function tryLoadZstd(): (() => ZstdInflate) | undefined {
  if (loaded === undefined) {
    loaded = null;
    try {
      const { symbols } = openLibrary(ZSTD_PATHS, SYMBOLS);
      if (symbols.ZSTD_versionNumber() >= MIN_VERSION) loaded = { symbols };
    } catch {
      // Optional: the caller has another way.
    }
  }
  const usable = loaded;
  return usable === null ? undefined : () => new ZstdInflate(usable.symbols);
}
