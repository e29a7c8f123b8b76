/** Reading response bodies: small ones whole and bounded, large ones into big buffers without extra copies. */

import { NyxError } from "../../daemon/spec/errors.ts";
import { DEFAULT_STALL_MS, Pace, type Stall } from "./stall.ts";
import { connectionError, type HttpResponse } from "./transport.ts";

/**
 * Reads a whole body.
 *
 * @param limit most bytes accepted
 * @param what name of the document for the error
 * @throws NyxError resource_exhausted when it is longer; the stall's reason; unavailable when the connection broke
 */
export async function readBounded(
  response: HttpResponse,
  limit: number,
  options: { stall: Stall; url: URL; what: string },
): Promise<Uint8Array<ArrayBuffer>> {
  const { stall, url, what } = options;
  const tooLong = () =>
    new NyxError("resource_exhausted", `Refused ${what} from ${url.host}: it is larger than ${limit} bytes`, {
      context: { host: url.host, limit },
    });
  if (response.body === null) return new Uint8Array();
  const announced = Number(response.headers.get("content-length") ?? "0");
  const reader = response.body.getReader();
  try {
    if (announced > limit) throw tooLong();
    const parts: Uint8Array[] = [];
    const pace = new Pace(DEFAULT_STALL_MS, url.host);
    let size = 0;
    while (true) {
      const { value, done } = await stall.wait(reader.read());
      if (done) break;
      size += value.byteLength;
      if (size > limit) throw tooLong();
      pace.took(value.byteLength);
      parts.push(value);
    }
    const whole = new Uint8Array(size);
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.byteLength;
    }
    return whole;
  } catch (e) {
    if (stall.signal.aborted) throw stall.signal.reason;
    throw connectionError(e, url);
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Bytes gathered before they are handed on, when they come fast. */
export const BUFFER_SIZE = 256 * 1024;
/** Longest time that bytes are held back to fill a buffer, in milliseconds. */
const FLUSH_MS = 100;

/** A source of buffers that are filled straight from the network. */
export interface BufferReader {
  /** The next bytes in a buffer of their own, or undefined at the end. */
  next(): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** Gives the connection up. */
  cancel(): void;
}

/**
 * Reads a body in buffers of {@linkcode BUFFER_SIZE}, or less when bytes come slowly. A byte stream is read into place, which loses the
 * buffer under way when the connection breaks. Careful reading, and any other stream, gives the chunks as they come and loses nothing.
 *
 * @param options bytes that should come, so that a small body does not cost a big buffer; whether to read carefully
 * @throws from `next` what the stream or the stall fails with
 */
export function bufferReader(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  stall: Stall,
  options: { expected: number; careful: boolean },
): BufferReader {
  const { expected, careful } = options;
  if (careful) return chunkReader(body, stall);
  let byob: ReadableStreamBYOBReader;
  try {
    byob = body.getReader({ mode: "byob" });
  } catch {
    return chunkReader(body, stall);
  }
  // One byte more than expected, so that the end, or a byte too many, shows with the last of them.
  const size = Math.min(BUFFER_SIZE, expected + 1);
  let ended = false;
  return {
    async next() {
      let buffer = new ArrayBuffer(size);
      let filled = 0;
      const began = performance.now();
      while (!ended && filled < size) {
        const { value, done } = await stall.wait(byob.read(new Uint8Array(buffer, filled, size - filled)));
        if (value !== undefined) {
          buffer = value.buffer;
          filled += value.byteLength;
        }
        if (done) ended = true;
        if (performance.now() - began > FLUSH_MS) break;
      }
      return filled === 0 ? undefined : new Uint8Array(buffer, 0, filled);
    },
    cancel: () => void byob.cancel().catch(() => {}),
  };
}

function chunkReader(body: ReadableStream<Uint8Array<ArrayBuffer>>, stall: Stall): BufferReader {
  const reader = body.getReader();
  return {
    async next() {
      const { value, done } = await stall.wait(reader.read());
      return done ? undefined : value;
    },
    cancel: () => void reader.cancel().catch(() => {}),
  };
}
