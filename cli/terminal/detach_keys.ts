/** The key sequence that leaves an attached terminal, such as `ctrl-p,ctrl-q`. */

import { invalid } from "../../mod.ts";

/** What detaches unless told otherwise. */
export const DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q";

function keyByte(key: string, whole: string): number {
  const control = /^ctrl-(.)$/i.exec(key)?.[1]?.toLowerCase();
  if (control !== undefined) {
    const at = "@abcdefghijklmnopqrstuvwxyz[\\]^_".indexOf(control);
    if (at >= 0) return at;
  } else if (/^[\x21-\x7e]$/.test(key)) return key.charCodeAt(0);
  throw invalid("detach-keys", whole, "write single characters or ctrl-LETTER joined by commas, such as ctrl-p,ctrl-q");
}

/** Bytes of a sequence; the empty text gives none, which turns detaching off. */
export function parseDetachKeys(text: string): Uint8Array {
  if (text === "") return new Uint8Array(0);
  return Uint8Array.from(text.split(","), (key) => keyByte(key.trim(), text));
}

/** Watches input for the sequence. Bytes that may begin it are held back until it is certain that they do not. */
export class DetachWatch {
  readonly #keys: Uint8Array;
  #matched = 0;

  /** @param keys the sequence; empty never matches */
  constructor(keys: Uint8Array) {
    this.#keys = keys;
  }

  /** Bytes to pass on, and whether the sequence was completed (what follows it is dropped). */
  push(bytes: Uint8Array): { forward: Uint8Array; detached: boolean } {
    if (this.#keys.byteLength === 0) return { forward: bytes, detached: false };
    const out: number[] = [];
    for (const byte of bytes) {
      // A failed match may still end with the sequence's own beginning (a a b in "a a a b").
      while (this.#matched > 0 && byte !== this.#keys[this.#matched]) {
        const before = this.#matched;
        this.#matched = this.#border(before);
        out.push(...this.#keys.subarray(0, before - this.#matched));
      }
      if (byte !== this.#keys[this.#matched]) out.push(byte);
      else if (++this.#matched === this.#keys.byteLength) return { forward: Uint8Array.from(out), detached: true };
    }
    return { forward: Uint8Array.from(out), detached: false };
  }

  /** Length of the longest proper beginning of the sequence that also ends its first `length` bytes. */
  #border(length: number): number {
    for (let size = length - 1; size > 0; size--) {
      const tail = this.#keys.subarray(length - size, length);
      if (tail.every((byte, index) => byte === this.#keys[index])) return size;
    }
    return 0;
  }
}
