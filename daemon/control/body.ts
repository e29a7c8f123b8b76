/** Request bodies read with limits: size, depth, encoding and keys are checked before any schema sees them. */

import { invalid, NyxError } from "../spec/errors.ts";
import { STREAM_TYPE } from "../spec/frames.ts";

/** Longest JSON body, bytes. */
export const MAX_JSON_BYTES = 1024 * 1024;
/** Deepest nesting of a JSON body. */
export const MAX_JSON_DEPTH = 32;

/** Media types read as JSON: JSON itself, and what command-line tools send unless told otherwise. */
const JSON_TYPES = ["", "application/json", "text/plain", "application/x-www-form-urlencoded"];

/** Media type of a request without its parameters, in lower case. */
export function mediaType(request: Request): string {
  return (request.headers.get("content-type") ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
}

/** Whether a request speaks frames. */
export function isFramed(request: Request): boolean {
  return mediaType(request) === STREAM_TYPE;
}

/**
 * JSON document of a request; an empty body is an empty object.
 *
 * @throws NyxError invalid_argument: not JSON, not UTF-8, too long, too deep, a key that no object may have
 */
export async function readJson(request: Request, maxBytes = MAX_JSON_BYTES): Promise<unknown> {
  const type = mediaType(request);
  if (!JSON_TYPES.includes(type)) {
    throw invalid(
      "Content-Type",
      type,
      `this route takes application/json${type === STREAM_TYPE ? ", no frames" : ""}`,
    );
  }
  const announced = Number(request.headers.get("content-length") ?? 0);
  if (announced > maxBytes) throw tooLong(maxBytes);
  return parseJson(await readAll(request, maxBytes), "request body");
}

async function readAll(request: Request, maxBytes: number): Promise<Uint8Array> {
  if (request.body === null) return new Uint8Array(0);
  const pieces: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const piece of request.body) {
      size += piece.byteLength;
      if (size > maxBytes) throw tooLong(maxBytes);
      pieces.push(piece);
    }
  } catch (e) {
    if (e instanceof NyxError) throw e;
    throw new NyxError("invalid_argument", "The request body ended before it was complete", { cause: e });
  }
  const only = pieces[0];
  if (pieces.length === 1 && only !== undefined) return only;
  const whole = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.byteLength;
  }
  return whole;
}

/** Parses JSON text under the limits. @throws NyxError invalid_argument */
export function parseJson(bytes: Uint8Array, where: string): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new NyxError("invalid_argument", `Cannot read the ${where}: it is not valid UTF-8; send JSON in UTF-8`, {
      context: { field: where },
    });
  }
  if (text.trim() === "") return {};
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (e) {
    const reason = e instanceof Error ? e.message.slice(0, 120) : "";
    throw new NyxError("invalid_argument", `Cannot read the ${where} as JSON: ${reason}`, {
      context: { field: where },
    });
  }
  checkTree(document, where, 1);
  return document;
}

function checkTree(node: unknown, where: string, depth: number): void {
  if (typeof node !== "object" || node === null) return;
  if (depth > MAX_JSON_DEPTH) {
    throw new NyxError(
      "invalid_argument",
      `Cannot read the ${where}: it is nested deeper than ${MAX_JSON_DEPTH} levels; nothing in the API is`,
      { context: { field: where } },
    );
  }
  for (const key of Object.keys(node)) {
    if (key === "__proto__") throw invalid(where, key, "no field or label may have this name");
    checkTree((node as Record<string, unknown>)[key], where, depth + 1);
  }
}

function tooLong(maxBytes: number): NyxError {
  return new NyxError(
    "invalid_argument",
    `Cannot read the request body: it is longer than ${maxBytes} bytes; a JSON request never needs that much`,
    { context: { field: "request body", limit: maxBytes } },
  );
}
