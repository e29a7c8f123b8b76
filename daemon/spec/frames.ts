/**
 * Framing of attached streams (run, attach, exec) in both directions over one HTTP/1.1 exchange.
 *
 * Request and response bodies of type {@linkcode STREAM_TYPE} are sequences of frames: 1 byte kind, 3 zero bytes, 4 bytes
 * big-endian length, payload. The two bodies are independent: a request body may go on while the response streams
 * (full duplex), and its end, or a `stdinEnd` frame, half-closes stdin. Standard input has flow control of its own: see
 * {@linkcode STDIN_WINDOW}. A reader skips kinds that it does not know.
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
  /** Daemon to client, 4 bytes big-endian: so many more bytes of standard input may be sent; see {@linkcode STDIN_WINDOW}. */
  credit: 7,
  /** Both ways: 4 bytes big-endian number of a channel that a `channel` event opened, then its bytes; none of them is its end. */
  channel: 8,
} as const;

/** One decoded frame. */
export interface StreamFrame {
  /** One of {@linkcode FRAME}; a reader skips kinds it does not know. */
  kind: number;
  /** At most {@linkcode MAX_FRAME} bytes. */
  payload: Uint8Array;
}

/**
 * Bytes of standard input that a client may send at first; each `credit` frame adds to it. Flow control of its own is needed
 * because that of HTTP/1.1 does not hold once both bodies are under way, and because a daemon that always reads notices when
 * its client goes, and a signal behind input that nobody takes.
 */
export const STDIN_WINDOW = 1024 * 1024;

/** Longest payload accepted, bytes. */
export const MAX_FRAME = 1024 * 1024;

/**
 * Encodes one frame.
 *
 * @param kind one of {@linkcode FRAME}
 * @param payload at most {@linkcode MAX_FRAME} bytes; copied
 */
export function encodeFrame(kind: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(8 + payload.byteLength);
  out[0] = kind;
  new DataView(out.buffer).setUint32(4, payload.byteLength);
  out.set(payload, 8);
  return out;
}

/** Payload of a {@linkcode FRAME.channel} frame. No bytes are the channel's end. */
export function channelPayload(channel: number, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const payload = new Uint8Array(4 + bytes.byteLength);
  new DataView(payload.buffer).setUint32(0, channel);
  payload.set(bytes, 4);
  return payload;
}

/** Reads such a payload; its bytes are a view of it. Undefined for one that has no number. */
export function parseChannel(payload: Uint8Array): { channel: number; bytes: Uint8Array } | undefined {
  if (payload.byteLength < 4) return undefined;
  const channel = new DataView(payload.buffer, payload.byteOffset, 4).getUint32(0);
  return { channel, bytes: payload.subarray(4) };
}

const encoder = new TextEncoder();

/**
 * Encodes a frame whose payload is JSON text.
 *
 * @param kind one of {@linkcode FRAME}
 * @param value anything JSON can carry
 */
export function encodeJsonFrame(kind: number, value: unknown): Uint8Array<ArrayBuffer> {
  return encodeFrame(kind, encoder.encode(JSON.stringify(value)));
}

/** Incremental decoder: push chunks as they arrive, get whole frames. Work is linear in the bytes pushed, however they are cut. */
export class FrameDecoder {
  #held: Uint8Array = new Uint8Array(0);
  #length = 0;

  /** Bytes of an unfinished frame that are held back. */
  get pendingBytes(): number {
    return this.#length;
  }

  /**
   * Adds a chunk and returns the frames that are now whole. Payloads are views of the chunk where a frame lay within one, so
   * the caller must not reuse the chunk's buffer while it keeps a frame.
   *
   * @param chunk bytes as they came, cut anywhere
   * @throws RangeError for a frame longer than {@linkcode MAX_FRAME}
   */
  push(chunk: Uint8Array): StreamFrame[] {
    const frames: StreamFrame[] = [];
    let at = 0;
    while (this.#length > 0 && at < chunk.byteLength) {
      const wanted = this.#length < 8 ? 8 : 8 + payloadLength(this.#held, 0);
      const taken = Math.min(wanted - this.#length, chunk.byteLength - at);
      this.#hold(chunk.subarray(at, at + taken));
      at += taken;
      if (this.#length < 8 || this.#length < 8 + payloadLength(this.#held, 0)) continue;
      frames.push({ kind: this.#held[0] ?? 0, payload: this.#held.subarray(8, this.#length) });
      this.#held = new Uint8Array(0);
      this.#length = 0;
    }
    while (chunk.byteLength - at >= 8) {
      const end = at + 8 + payloadLength(chunk, at);
      if (end > chunk.byteLength) break;
      frames.push({ kind: chunk[at] ?? 0, payload: chunk.subarray(at + 8, end) });
      at = end;
    }
    if (at < chunk.byteLength) this.#hold(chunk.subarray(at));
    return frames;
  }

  #hold(bytes: Uint8Array): void {
    const needed = this.#length + bytes.byteLength;
    if (needed > this.#held.byteLength) {
      const grown = new Uint8Array(Math.max(needed, Math.min(2 * this.#held.byteLength, MAX_FRAME + 8), 64));
      grown.set(this.#held.subarray(0, this.#length));
      this.#held = grown;
    }
    this.#held.set(bytes, this.#length);
    this.#length = needed;
  }
}

function payloadLength(bytes: Uint8Array, at: number): number {
  const length = new DataView(bytes.buffer, bytes.byteOffset + at + 4, 4).getUint32(0);
  if (length > MAX_FRAME) throw new RangeError(`Stream frame of ${length} bytes exceeds the limit of ${MAX_FRAME}`);
  return length;
}
