/**
 * gzip decompression by ISA-L (libisal), about twice as fast as zlib. Optional: {@linkcode tryLoadIsal} gives undefined where the
 * library is missing or is not one whose structure layout is known.
 *
 * The library has no version call and its state structure has grown over time, so three checks stand before its use: the soname, the
 * file's full version, and a test stream that must come out right.
 */

import type { NativeInflate } from "./inflate.ts";
import { addressOf, openLibrary } from "./linux/libc.ts";

const TRIPLE = Deno.build.arch === "aarch64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";

/** Files with a known layout (ISA-L 2.30 and 2.31); a worker with scoped ffi permission must be granted these. */
export const ISAL_PATHS: readonly string[] = ["30", "31"].flatMap((minor) => [
  `/usr/lib/${TRIPLE}/libisal.so.2.0.${minor}`,
  `/usr/lib64/libisal.so.2.0.${minor}`,
]);

const SYMBOLS = {
  isal_inflate_init: { parameters: ["buffer"], result: "void" },
  isal_inflate_reset: { parameters: ["buffer"], result: "void" },
  isal_inflate: { parameters: ["buffer"], result: "i32" },
  inflateAsync: { name: "isal_inflate", parameters: ["buffer"], result: "i32", nonblocking: true },
} as const satisfies Deno.ForeignLibraryInterface;

/** Offsets in struct inflate_state (igzip_lib.h 2.30), and room to spare behind its 87,368 bytes. */
const STATE_SIZE = 96 * 1024;
const NEXT_OUT = 0;
const AVAIL_OUT = 8;
const NEXT_IN = 16;
const AVAIL_IN = 32;
const BLOCK_STATE = 21_160;
const CRC_FLAG = 21_172;

/** enum isal_block_state: the member's end, checksum included. */
const FINISHED = 5;
/** crc_flag: parse the gzip header and check the trailer. */
const GZIP = 1;

const ERRORS: Readonly<Record<number, string>> = {
  [-1]: "invalid block",
  [-2]: "invalid symbol",
  [-3]: "invalid look-back distance",
  [-4]: "invalid gzip header",
  [-5]: "unsupported method",
  [-6]: "wrong checksum",
};

type Bytes = Uint8Array<ArrayBuffer>;
type Symbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** Decompresses gzip members. */
export class IsalInflate implements NativeInflate {
  readonly #c: Symbols;
  readonly #state: Bytes = new Uint8Array(STATE_SIZE);
  readonly #view = new DataView(this.#state.buffer);
  #input: Bytes | undefined;

  /** @param c loaded symbols, from {@linkcode tryLoadIsal} */
  constructor(c: Symbols) {
    this.#c = c;
    c.isal_inflate_init(this.#state);
    this.#view.setUint32(CRC_FLAG, GZIP, true);
  }

  get finished(): boolean {
    return this.#view.getUint32(BLOCK_STATE, true) === FINISHED;
  }

  get remaining(): number {
    return this.#view.getUint32(AVAIL_IN, true);
  }

  reset(): void {
    const input = this.#view.getBigUint64(NEXT_IN, true);
    const available = this.remaining;
    this.#c.isal_inflate_reset(this.#state);
    this.#view.setUint32(CRC_FLAG, GZIP, true);
    this.#view.setBigUint64(NEXT_IN, input, true);
    this.#view.setUint32(AVAIL_IN, available, true);
  }

  setInput(input: Bytes): void {
    this.#input = input;
    this.#view.setBigUint64(NEXT_IN, addressOf(input), true);
    this.#view.setUint32(AVAIL_IN, input.byteLength, true);
  }

  inflate(output: Bytes): number {
    this.#setOutput(output);
    return this.#written(output, this.#c.isal_inflate(this.#state));
  }

  async inflateAsync(output: Bytes): Promise<number> {
    this.#setOutput(output);
    return this.#written(output, await this.#c.inflateAsync(this.#state));
  }

  [Symbol.dispose](): void {}

  #setOutput(output: Bytes): void {
    this.#view.setBigUint64(NEXT_OUT, addressOf(output), true);
    this.#view.setUint32(AVAIL_OUT, output.byteLength, true);
  }

  #written(output: Bytes, status: number): number {
    if (status < 0) throw new Error(`gzip: ${ERRORS[status] ?? `error ${status}`}`);
    if (this.remaining === 0) this.#input = undefined;
    return output.byteLength - this.#view.getUint32(AVAIL_OUT, true);
  }
}

/** gzip of "nyx nyx nyx nyx\n" (a literal run and a match), made with level 9 and no name. */
const PROBE = new Uint8Array([
  ...[31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 203, 171, 172, 80, 200, 67],
  ...[96, 46, 0, 69, 193, 182, 209, 16, 0, 0, 0],
]);
const PROBE_TEXT = "nyx nyx nyx nyx\n";

let loaded: { symbols: Symbols } | null | undefined;

/** Maker of ISA-L decompressors; undefined where the library is missing, of unknown layout, or not permitted. */
export function tryLoadIsal(): (() => IsalInflate) | undefined {
  if (loaded === undefined) {
    loaded = null;
    try {
      const { symbols } = openLibrary(ISAL_PATHS, SYMBOLS);
      if (probe(symbols)) loaded = { symbols };
    } catch {
      // Optional: the caller has another way.
    }
  }
  const usable = loaded;
  return usable === null ? undefined : () => new IsalInflate(usable.symbols);
}

function probe(symbols: Symbols): boolean {
  const inflate = new IsalInflate(symbols);
  const out = new Uint8Array(64);
  inflate.setInput(PROBE);
  const length = inflate.inflate(out);
  return inflate.finished && inflate.remaining === 0 &&
    new TextDecoder().decode(out.subarray(0, length)) === PROBE_TEXT;
}
