/**
 * Framing of attached streams (run, attach, exec) in both directions over one HTTP/1.1 exchange.
 *
 * Request and response bodies of type {@linkcode STREAM_TYPE} are sequences of frames: 1 byte kind, 3 zero bytes, 4 bytes
 * big-endian length, payload. The two bodies are independent: a request body may go on while the response streams
 * (full duplex), and its end, or a `stdinEnd` frame, half-closes stdin.
 */

/** Media type of framed bodies. */
export const STREAM_TYPE = "application/vnd.nyx.stream";

/** Kinds of frame. */
export const FRAME = {
  /** Client to daemon: bytes for the process's standard input. */
  stdin: 0,
  /** Daemon to client: bytes of standard output, or of the terminal. */
  stdout: 1,
  /** Daemon to client: bytes of standard error. */
  stderr: 2,
  /** JSON, one object: the request itself (first frame from the client) or an event (from the daemon). */
  json: 3,
  /** Client to daemon, JSON `{rows, cols}`. */
  resize: 4,
  /** Client to daemon, JSON `{signal}`. */
  signal: 5,
  /** Client to daemon: end of standard input, no payload. */
  stdinEnd: 6,
} as const;

/** One decoded frame. */
export interface StreamFrame {
  kind: number;
  payload: Uint8Array;
}

/** Longest payload accepted, bytes. */
export const MAX_FRAME = 1024 * 1024;

/** Encodes one frame. */
export function encodeFrame(kind: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(8 + payload.byteLength);
  out[0] = kind;
  new DataView(out.buffer).setUint32(4, payload.byteLength);
  out.set(payload, 8);
  return out;
}

const encoder = new TextEncoder();

/** Encodes a JSON frame. */
export function encodeJsonFrame(kind: number, value: unknown): Uint8Array<ArrayBuffer> {
  return encodeFrame(kind, encoder.encode(JSON.stringify(value)));
}

/** Incremental decoder: push chunks as they arrive, get whole frames. */
export class FrameDecoder {
  #buffer = new Uint8Array(0);

  /** Bytes of an unfinished frame that are held back. */
  get pendingBytes(): number {
    return this.#buffer.byteLength;
  }

  /**
   * Adds a chunk and returns the frames that are now whole.
   *
   * @throws RangeError for a frame longer than {@linkcode MAX_FRAME}
   */
  push(chunk: Uint8Array): StreamFrame[] {
    let data: Uint8Array = chunk;
    if (this.#buffer.byteLength > 0) {
      data = new Uint8Array(this.#buffer.byteLength + chunk.byteLength);
      data.set(this.#buffer);
      data.set(chunk, this.#buffer.byteLength);
    }
    const frames: StreamFrame[] = [];
    let at = 0;
    while (data.byteLength - at >= 8) {
      const length = new DataView(data.buffer, data.byteOffset + at + 4, 4).getUint32(0);
      if (length > MAX_FRAME) {
        throw new RangeError(`Stream frame of ${length} bytes exceeds the limit of ${MAX_FRAME}`);
      }
      if (data.byteLength - at - 8 < length) break;
      frames.push({ kind: data[at] ?? 0, payload: data.subarray(at + 8, at + 8 + length) });
      at += 8 + length;
    }
    this.#buffer = data.slice(at);
    return frames;
  }
}
