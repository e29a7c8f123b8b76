/**
 * Names from archives, kept as byte strings: one character (U+0000..U+00FF) for each byte. Tar names need not be UTF-8, yet
 * string operations and Map keys are wanted; a byte string loses nothing, and turns into the kernel's bytes at the last moment.
 */

const CHUNK = 4096;

/** Byte string of `bytes[start..end)`. */
export function fromBytes(bytes: Uint8Array, start = 0, end: number = bytes.byteLength): string {
  let out = "";
  for (let at = start; at < end; at += CHUNK) {
    out += String.fromCharCode(...bytes.subarray(at, Math.min(at + CHUNK, end)));
  }
  return out;
}

/** Byte string of `bytes[start..end)` up to its first NUL. */
export function fromCString(bytes: Uint8Array, start: number, end: number): string {
  let stop = start;
  while (stop < end && bytes[stop] !== 0) stop++;
  return fromBytes(bytes, start, stop);
}

/** The bytes with a NUL behind them, as the kernel takes paths. */
export function toPath(s: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(s.length + 1);
  for (let i = 0; i < s.length; i++) bytes[i] = s.charCodeAt(i);
  return bytes;
}

/** Readable text for messages: UTF-8 where it is, shortened in the middle when long. */
export function toText(s: string): string {
  const text = new TextDecoder().decode(toPath(s).subarray(0, -1));
  return text.length > 300 ? `${text.slice(0, 140)}…${text.slice(-140)}` : text;
}
