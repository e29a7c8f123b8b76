/** Sparse files in tar: GNU's old header map, and PAX versions 0.0, 0.1 and 1.0 (GNU tar manual, "Sparse Formats"). */

import { fromBytes } from "../byte_string.ts";
import type { Extent } from "./entry.ts";
import { corrupt } from "./errors.ts";
import { parseNumber } from "./header.ts";

/** Most extents of one file: a map is held in memory. */
const MAX_EXTENTS = 1_000_000;

/** Appends the extents of a header-style map of `count` slots; an empty slot ends it. */
export function readHeaderMap(b: Uint8Array, at: number, count: number, out: Extent[], offset: number): void {
  for (let i = 0; i < count; i++, at += 24) {
    if (b[at] === 0 && b[at + 12] === 0) return;
    out.push({
      offset: parseNumber(b, at, 12, "a sparse offset", offset),
      length: parseNumber(b, at + 12, 12, "a sparse length", offset),
    });
    if (out.length > MAX_EXTENTS) throw corrupt(`a sparse file has more than ${MAX_EXTENTS} extents`, offset);
  }
}

/** Extents from alternating offsets and lengths, as PAX 0.0 repeats them and 0.1 lists them. */
export function pairsToExtents(numbers: string[], offset: number): Extent[] {
  if (numbers.length % 2 !== 0 || numbers.length / 2 > MAX_EXTENTS) {
    throw corrupt(`a sparse map has ${numbers.length} numbers`, offset);
  }
  const extents: Extent[] = [];
  for (let i = 0; i < numbers.length; i += 2) {
    extents.push({ offset: mapNumber(numbers[i], offset), length: mapNumber(numbers[i + 1], offset) });
  }
  return extents;
}

function mapNumber(text: string | undefined, offset: number): number {
  const n = text !== undefined && /^[0-9]{1,16}$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(n)) throw corrupt("a sparse map holds something that is no number", offset);
  return n;
}

/** Reads PAX 1.0's map, which leads the file's data: a count, then pairs, one number a line, padded to whole blocks. */
export class LeadingMap {
  readonly #numbers: string[] = [];
  #partial = "";
  #expected = -1;

  /**
   * Takes one block.
   *
   * @returns the extents when the map is complete
   */
  push(block: Uint8Array, offset: number): Extent[] | undefined {
    const lines = (this.#partial + fromBytes(block)).split("\n");
    this.#partial = lines.pop() ?? "";
    if (this.#partial.length > 2 * block.byteLength) throw corrupt("a sparse map has no line ends", offset);
    for (const line of lines) {
      if (this.#expected < 0) {
        this.#expected = mapNumber(line, offset) * 2;
        if (this.#expected > 2 * MAX_EXTENTS) {
          throw corrupt(`a sparse file has more than ${MAX_EXTENTS} extents`, offset);
        }
      } else if (this.#numbers.length < this.#expected) this.#numbers.push(line);
    }
    if (this.#expected < 0 || this.#numbers.length < this.#expected) return undefined;
    return pairsToExtents(this.#numbers, offset);
  }
}

/**
 * Checks a map against the file: in order, without overlap, within the size, and storing exactly what the archive holds.
 *
 * @throws NyxError data_loss when it does not
 */
export function checkExtents(extents: Extent[], size: number, stored: number, offset: number): void {
  let end = 0;
  let sum = 0;
  for (const e of extents) {
    if (e.offset < end || e.length < 0 || !Number.isSafeInteger(e.offset + e.length) || e.offset + e.length > size) {
      throw corrupt("a sparse map overlaps itself or leaves the file", offset);
    }
    end = e.offset + e.length;
    sum += e.length;
  }
  if (sum !== stored) throw corrupt(`a sparse map speaks of ${sum} bytes, the archive stores ${stored}`, offset);
}
