/**
 * Requests to nyxd: connections kept alive and reused, answers decoded, error bodies thrown as {@linkcode NyxError}.
 */

import type { ErrorBody } from "../spec/api.ts";
import { fromErrorData, NyxError } from "../spec/errors.ts";
import { encodeJsonFrame, FRAME, STREAM_TYPE } from "../spec/frames.ts";
import { AttachedStream } from "./stream.ts";
import { type ResponseHead, Wire } from "./wire.ts";

const encoder = new TextEncoder();

/** Where nyxd listens unless told otherwise. */
export const DEFAULT_SOCKET = "/run/nyxd/nyxd.sock";

/** Values of a query string; undefined ones are left out, arrays repeat the key. */
export type QueryValues = Record<string, string | number | boolean | readonly string[] | undefined>;

/** Options of one request. */
export interface CallOptions {
  /** Query parameters. */
  query?: QueryValues;
  /** Sent as JSON. */
  body?: unknown;
  /** Aborts the request by closing its connection; the call then rejects with `canceled`. */
  signal?: AbortSignal | undefined;
}

/** A body to send as it comes, with its media type. */
export interface Upload {
  /** Media type of the body. */
  type: string;
  /** The bytes. */
  bytes: AsyncIterable<Uint8Array>;
}

/** An answer whose body is still to be read. */
interface Answer {
  wire: Wire;
  head: ResponseHead;
  release: (reusable: boolean) => void;
}

function target(path: string, query: QueryValues = {}): string {
  const parts: string[] = [];
  for (const [key, value] of Object.entries(query)) {
    if (value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) {
      parts.push(`${encodeURIComponent(key)}=${encodeURIComponent(String(one))}`);
    }
  }
  return parts.length === 0 ? path : `${path}?${parts.join("&")}`;
}

/** Why the socket could not be reached, and what to do about it. */
function unreachable(path: string, e: unknown): NyxError {
  const start = `Start it with "systemctl start nyxd", or run "nyxd --socket ${path}"`;
  if (e instanceof Deno.errors.NotFound) {
    return new NyxError("unavailable", `Cannot reach nyxd at ${path}: there is no such socket. ${start}`, { cause: e });
  }
  if (e instanceof Deno.errors.ConnectionRefused) {
    return new NyxError("unavailable", `Cannot reach nyxd at ${path}: nobody listens on the socket. ${start}`, {
      cause: e,
    });
  }
  if (e instanceof Deno.errors.PermissionDenied) {
    return new NyxError(
      "permission_denied",
      `Cannot reach nyxd at ${path}: permission denied. Run as root, or as a member of the socket's group`,
      { cause: e },
    );
  }
  const reason = e instanceof Error ? e.message : String(e);
  return new NyxError("unavailable", `Cannot reach nyxd at ${path}: ${reason}`, { cause: e });
}

/** The client's side of the Control API's transport. */
export class Transport {
  /** Socket of the daemon. */
  readonly socketPath: string;
  readonly #idle: Wire[] = [];

  /** @param socketPath unix socket of nyxd */
  constructor(socketPath: string) {
    this.socketPath = socketPath;
  }

  /** Closes idle connections; requests under way go on. */
  close(): void {
    for (const wire of this.#idle.splice(0)) wire.close();
  }

  /** A request whose answer is one JSON document. */
  async json<T>(method: string, path: string, options: CallOptions = {}): Promise<T> {
    const answer = await this.#send(method, path, options);
    return await this.#document<T>(answer, options.signal);
  }

  /** A request with a streamed body whose answer is one JSON document. */
  async upload<T>(method: string, path: string, upload: Upload, options: CallOptions = {}): Promise<T> {
    const wire = await this.#dial();
    const stop = closeOnAbort(wire, options.signal);
    let broken: { cause: unknown } | undefined;
    try {
      await wire.write(head(method, target(path, options.query), upload.type, undefined));
      const answered = wire.readHead();
      // A source that fails breaks the request off, so that nobody takes what was sent for the whole.
      pump(wire, upload.bytes).catch((cause) => {
        broken = { cause };
        wire.close();
      });
      const received = await answered;
      if (received === undefined) throw closedEarly();
      return await this.#document<T>({ wire, head: received, release: () => wire.close() }, options.signal);
    } catch (e) {
      throw broken === undefined ? asFailure(e, options.signal) : broken.cause;
    } finally {
      stop();
      wire.close();
    }
  }

  /** A request whose answer is JSON lines, each yielded as it comes. Leaving the loop early closes the connection. */
  async *lines<T>(method: string, path: string, options: CallOptions = {}): AsyncGenerator<T, void, void> {
    const decoder = new TextDecoder();
    let held = "";
    for await (const bytes of this.bytes(method, path, options)) {
      const lines = (held + decoder.decode(bytes, { stream: true })).split("\n");
      held = lines.pop() ?? "";
      for (const line of lines) if (line !== "") yield JSON.parse(line) as T;
    }
    if (held !== "") yield JSON.parse(held) as T;
  }

  /** A request whose answer is bytes, each piece yielded as it comes. Leaving the loop early closes the connection. */
  async *bytes(method: string, path: string, options: CallOptions = {}): AsyncGenerator<Uint8Array, void, void> {
    const answer = await this.#send(method, path, options);
    if (answer.head.status >= 400) await this.#document(answer, options.signal);
    const stop = closeOnAbort(answer.wire, options.signal);
    let whole = false;
    try {
      yield* answer.wire.body(answer.head);
      whole = true;
    } catch (e) {
      throw asFailure(e, options.signal);
    } finally {
      stop();
      answer.release(whole);
    }
  }

  /** Opens an attached stream: `first` is the request's first frame. */
  async attach(path: string, first: unknown, options: CallOptions = {}): Promise<AttachedStream> {
    const wire = await this.#dial();
    const stop = closeOnAbort(wire, options.signal);
    try {
      const opening = head("POST", target(path, options.query), STREAM_TYPE, undefined);
      const request = encodeJsonFrame(FRAME.json, first);
      // One write: the daemon then sees head and request in one segment.
      const size = encoder.encode(`${request.byteLength.toString(16)}\r\n`);
      await wire.write(concat([opening, size, request, encoder.encode("\r\n")]));
      const received = await wire.readHead();
      if (received === undefined) throw closedEarly();
      if (received.status >= 400) {
        await this.#document({ wire, head: received, release: () => wire.close() }, options.signal);
      }
      return new AttachedStream(wire, received, stop);
    } catch (e) {
      stop();
      wire.close();
      throw asFailure(e, options.signal);
    }
  }

  async #send(method: string, path: string, options: CallOptions): Promise<Answer> {
    const body = options.body === undefined ? undefined : encoder.encode(JSON.stringify(options.body));
    const opening = head(method, target(path, options.query), "application/json", body?.byteLength ?? 0);
    const message = body === undefined ? opening : concat([opening, body]);
    while (true) {
      const reused = this.#idle.pop();
      const wire = reused ?? await this.#dial();
      const stop = closeOnAbort(wire, options.signal);
      try {
        await wire.write(message);
        const received = await wire.readHead();
        if (received === undefined) throw closedEarly();
        return { wire, head: received, release: (reusable) => this.#release(wire, received, reusable) };
      } catch (e) {
        wire.close();
        // A kept connection may have ended with an earlier daemon. What was asked by GET can be asked again.
        if (reused !== undefined && method === "GET" && options.signal?.aborted !== true) continue;
        throw asFailure(e, options.signal);
      } finally {
        stop();
      }
    }
  }

  #release(wire: Wire, received: ResponseHead, reusable: boolean): void {
    const keep = reusable && received.headers.get("connection")?.toLowerCase() !== "close" && !wire.closed;
    if (keep && this.#idle.length < 8) this.#idle.push(wire);
    else wire.close();
  }

  async #document<T>(answer: Answer, signal: AbortSignal | undefined): Promise<T> {
    const stop = closeOnAbort(answer.wire, signal);
    const pieces: Uint8Array[] = [];
    let whole = false;
    try {
      for await (const piece of answer.wire.body(answer.head)) pieces.push(piece);
      whole = true;
    } catch (e) {
      throw asFailure(e, signal);
    } finally {
      stop();
      answer.release(whole);
    }
    const text = new TextDecoder().decode(pieces.length === 1 ? pieces[0] : concat(pieces));
    let document: unknown;
    try {
      document = JSON.parse(text);
    } catch (cause) {
      throw new NyxError(
        "internal",
        `nyxd answered ${answer.head.status} with what is not JSON: ${text.slice(0, 200)}`,
        {
          cause,
        },
      );
    }
    if (answer.head.status < 400) return document as T;
    const error = (document as Partial<ErrorBody>).error;
    throw error === undefined
      ? new NyxError("internal", `nyxd answered ${answer.head.status} without saying why`)
      : fromErrorData(error);
  }

  async #dial(): Promise<Wire> {
    try {
      return new Wire(await Deno.connect({ transport: "unix", path: this.socketPath }));
    } catch (e) {
      throw unreachable(this.socketPath, e);
    }
  }
}

function head(method: string, path: string, type: string, length: number | undefined): Uint8Array {
  let text = `${method} ${path} HTTP/1.1\r\nHost: nyxd\r\n`;
  if (length === undefined) text += `Content-Type: ${type}\r\nTransfer-Encoding: chunked\r\n`;
  else if (length > 0) text += `Content-Type: ${type}\r\nContent-Length: ${length}\r\n`;
  else if (method !== "GET") text += "Content-Length: 0\r\n";
  return encoder.encode(`${text}\r\n`);
}

function concat(pieces: Uint8Array[]): Uint8Array {
  const out = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.byteLength, 0));
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.byteLength;
  }
  return out;
}

/**
 * Sends a body. A connection that takes no more is the reader's to explain, as a refusal may have come; what is thrown is the
 * source's own failure.
 */
async function pump(wire: Wire, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const piece of bytes) {
    const taken = await wire.writeChunk(piece).then(() => true, () => false);
    if (!taken) return;
  }
  await wire.endChunks().catch(() => {});
}

function closedEarly(): NyxError {
  return new NyxError("unavailable", "nyxd closed the connection without an answer; its log tells why", {
    retryable: true,
  });
}

/** Closes the wire when the signal aborts; returns what undoes that. */
function closeOnAbort(wire: Wire, signal: AbortSignal | undefined): () => void {
  if (signal === undefined) return () => {};
  const close = () => wire.close();
  if (signal.aborted) close();
  signal.addEventListener("abort", close, { once: true });
  return () => signal.removeEventListener("abort", close);
}

/** The NyxError for a failure of transport. */
function asFailure(e: unknown, signal: AbortSignal | undefined): NyxError {
  if (signal?.aborted) return new NyxError("canceled", "The request was canceled", { cause: signal.reason });
  if (e instanceof NyxError) return e;
  const reason = e instanceof Error ? e.message : String(e);
  return new NyxError("unavailable", `The connection to nyxd broke: ${reason}`, { retryable: true, cause: e });
}
