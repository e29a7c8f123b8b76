/** Sizes such as `64m` or `1.5GiB`, as Docker reads them for memory, shm and tmpfs: every suffix is a power of 1024. */

import { invalid } from "../errors.ts";

const SIZE = /^(\d+(?:\.\d+)?|\.\d+) ?([kmgtp])?(i)?(b)?$/i;
const POWERS: Readonly<Record<string, number>> = { k: 1, m: 2, g: 3, t: 4, p: 5 };

/**
 * Bytes of a size with an optional suffix b, k, m, g, t or p (`kb` and `KiB` mean the same), rounded down.
 *
 * @param field flag or key for the error
 * @throws NyxError invalid_argument for anything else, and beyond 2^53-1
 */
export function parseSize(text: string, field = "size"): number {
  const match = SIZE.exec(text.trim());
  const unit = match?.[2]?.toLowerCase();
  if (match === null || (match[3] !== undefined && unit === undefined)) {
    throw invalid(field, text, "give bytes, or a number with a suffix b, k, m, g, t or p, such as 512m");
  }
  const bytes = Math.floor(Number(match[1]) * 1024 ** (unit === undefined ? 0 : POWERS[unit] ?? 0));
  if (!Number.isSafeInteger(bytes)) throw invalid(field, text, "the size is beyond what can be counted; give less");
  return bytes;
}

/** Smallest memory limit that a container can start with, as Docker enforces it. */
export const MIN_MEMORY_BYTES = 6 * 1024 * 1024;

/** Bytes of a memory limit (`-m`); 0 means none. Below 6 MiB is refused. */
export function parseMemory(text: string, field = "memory"): number {
  const bytes = parseSize(text, field);
  if (bytes !== 0 && bytes < MIN_MEMORY_BYTES) {
    throw invalid(field, text, "the least that a container can start with is 6m");
  }
  return bytes;
}

/** Bytes of `--memory-swap`: a size, or -1 for unlimited. */
export function parseMemorySwap(text: string, field = "memory-swap"): number {
  return text.trim() === "-1" ? -1 : parseSize(text, field);
}

const DECIMAL_UNITS = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
const BINARY_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/** `%.<digits>g` of C for 0 <= value < 10000: significant digits without trailing zeros. */
function significant(value: number, digits: number): string {
  return String(Number(value.toPrecision(digits)));
}

/** A size in units of 1000 with up to `digits` significant digits, as Docker prints it: `4.26MB`. */
export function formatSize(bytes: number, digits = 4): string {
  return scaled(bytes, 1000, DECIMAL_UNITS, digits);
}

/** A size in units of 1024 with up to 4 significant digits, as Docker prints memory: `1.953GiB`. */
export function formatBinarySize(bytes: number, digits = 4): string {
  return scaled(bytes, 1024, BINARY_UNITS, digits);
}

function scaled(bytes: number, base: number, units: readonly string[], digits: number): string {
  let value = Math.abs(bytes);
  let unit = 0;
  while (value >= base && unit < units.length - 1) {
    value /= base;
    unit++;
  }
  return `${bytes < 0 ? "-" : ""}${significant(value, digits)}${units[unit]}`;
}
