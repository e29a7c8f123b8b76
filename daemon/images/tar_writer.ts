/** Writes the container of an image archive: a tar of plain files (POSIX ustar; GNU base-256 for sizes from 8 GiB). */

/** A file to be written. */
export interface ArchivePart {
  /** At most 100 bytes. */
  name: string;
  size: number;
  /** Exactly `size` bytes. */
  body: AsyncIterable<Uint8Array>;
}

const MAX_OCTAL = 0o77777777777;

/** Header of a regular file with mode 0644, owner root and time 0, so that the same images give the same archive. */
export function tarHeader(name: string, size: number): Uint8Array<ArrayBuffer> {
  const block = new Uint8Array(512);
  const put = (at: number, text: string) => block.set(new TextEncoder().encode(text), at);
  if (name.length > 100) throw new RangeError(`Archive member name of ${name.length} bytes exceeds 100`);
  put(0, name);
  put(100, "0000644\0");
  put(108, "0000000\0");
  put(116, "0000000\0");
  if (size <= MAX_OCTAL) put(124, `${size.toString(8).padStart(11, "0")}\0`);
  else {
    block[124] = 0x80;
    let rest = size;
    for (let at = 135; at > 124 && rest > 0; at--) {
      block[at] = rest % 256;
      rest = Math.floor(rest / 256);
    }
  }
  put(136, "00000000000\0");
  put(148, "        ");
  put(156, "0");
  put(257, "ustar\x0000");
  const sum = block.reduce((a, b) => a + b, 0);
  put(148, `${sum.toString(8).padStart(6, "0")}\0 `);
  return block;
}

/** A tar of the parts, in order. Throws when a body is shorter or longer than it says. */
export async function* writeTar(
  parts: AsyncIterable<ArchivePart>,
): AsyncGenerator<Uint8Array, void, void> {
  for await (const { name, size, body } of parts) {
    yield tarHeader(name, size);
    let written = 0;
    for await (const chunk of body) {
      written += chunk.byteLength;
      if (written > size) break;
      yield chunk;
    }
    if (written !== size) throw new RangeError(`Archive member ${name} has not the ${size} bytes it should have`);
    if (size % 512 !== 0) yield new Uint8Array(512 - size % 512);
  }
  yield new Uint8Array(1024);
}
