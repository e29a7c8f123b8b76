/**
 * grpc.health.v1.Health/Check over HTTP/2 without TLS, as far as one unary call needs it (RFC 9113, RFC 7541, the gRPC HTTP/2
 * protocol and health checking documents).
 */

import { NyxError } from "../../daemon/spec/errors.ts";
import type { NetnsConnection } from "./connection.ts";

const FRAME_HEADER = 9;
const MAX_FRAME = 16384;
/**
 * Most bytes that are read for one answer, which takes some hundred. A server that floods would otherwise keep this thread busy past
 * any time-out: bytes that are there already are read without a turn of the event loop.
 */
const MAX_ANSWER = 65536;
const DATA = 0;
const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const PING = 6;
const GOAWAY = 7;
const END_STREAM = 1;
const ACK = 1;
const END_HEADERS = 4;
const PADDED = 8;
const STATUS_NAMES = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

const encoder = new TextEncoder();

function frame(type: number, flags: number, stream: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(FRAME_HEADER + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, payload.length >> 8);
  bytes[2] = payload.length & 255;
  bytes[3] = type;
  bytes[4] = flags;
  view.setUint32(5, stream);
  bytes.set(payload, FRAME_HEADER);
  return bytes;
}

/** A header string without Huffman coding; all of ours are shorter than 127 bytes. */
function text(value: string): number[] {
  const bytes = encoder.encode(value.slice(0, 126));
  return [bytes.length, ...bytes];
}

/** Request headers: static-table entries and literals that are never indexed (RFC 7541, appendix A and section 6). */
function requestHeaders(authority: string): Uint8Array {
  const method = 0x83;
  const scheme = 0x86;
  const path = [0x04, ...text("/grpc.health.v1.Health/Check")];
  const host = [0x01, ...text(authority)];
  const contentType = [0x0f, 31 - 15, ...text("application/grpc")];
  const te = [0x00, ...text("te"), ...text("trailers")];
  return Uint8Array.of(method, scheme, ...path, ...host, ...contentType, ...te);
}

function concat(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Serving status in a length-prefixed HealthCheckResponse; undefined when there is none yet. */
export function servingStatus(body: Uint8Array): string | undefined {
  if (body.length < 5) return undefined;
  const length = new DataView(body.buffer, body.byteOffset).getUint32(1);
  if (body[0] !== 0 || body.length < 5 + length) return undefined;
  if (length === 0) return STATUS_NAMES[0];
  return body[5] === 0x08 ? STATUS_NAMES[body[6] ?? 0] ?? `status ${body[6]}` : undefined;
}

interface Frame {
  type: number;
  flags: number;
  stream: number;
  payload: Uint8Array;
}

async function* frames(connection: NetnsConnection): AsyncGenerator<Frame> {
  let buffered: Uint8Array = new Uint8Array();
  for (let received = 0; received <= MAX_ANSWER;) {
    while (buffered.length >= FRAME_HEADER) {
      const view = new DataView(buffered.buffer, buffered.byteOffset);
      const length = view.getUint16(0) << 8 | (buffered[2] ?? 0);
      if (length > MAX_FRAME) {
        throw new NyxError("unavailable", "The server does not speak HTTP/2 (a frame is too long)");
      }
      if (buffered.length < FRAME_HEADER + length) break;
      yield {
        type: buffered[3] ?? 0,
        flags: buffered[4] ?? 0,
        stream: view.getUint32(5) & 0x7fffffff,
        payload: buffered.subarray(FRAME_HEADER, FRAME_HEADER + length),
      };
      buffered = buffered.subarray(FRAME_HEADER + length);
    }
    const more = await connection.read();
    if (more.length === 0) throw new NyxError("unavailable", "The server closed the connection before it answered");
    received += more.length;
    buffered = concat(buffered, more);
  }
  throw new NyxError("unavailable", `The server sent more than ${MAX_ANSWER} bytes and no health`);
}

function dataOf({ flags, payload }: Frame): Uint8Array {
  return flags & PADDED ? payload.subarray(1, payload.length - (payload[0] ?? 0)) : payload;
}

/**
 * Asks for the health of the whole server.
 *
 * @returns serving status, such as SERVING
 * @throws NyxError unavailable when the server gives none
 */
export async function grpcHealth(connection: NetnsConnection, authority: string): Promise<string> {
  await connection.write(concat(
    encoder.encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    frame(SETTINGS, 0, 0, new Uint8Array()),
    frame(HEADERS, END_HEADERS, 1, requestHeaders(authority)),
    frame(DATA, END_STREAM, 1, new Uint8Array(5)),
  ));
  let body: Uint8Array = new Uint8Array();
  for await (const f of frames(connection)) {
    if (f.type === SETTINGS && !(f.flags & ACK)) await connection.write(frame(SETTINGS, ACK, 0, new Uint8Array()));
    else if (f.type === PING && !(f.flags & ACK)) await connection.write(frame(PING, ACK, 0, f.payload));
    else if (f.type === GOAWAY || (f.type === RST_STREAM && f.stream === 1)) break;
    if (f.stream !== 1) continue;
    if (f.type === DATA) body = concat(body, dataOf(f));
    const status = servingStatus(body);
    if (status !== undefined) return status;
    if ((f.type === DATA || f.type === HEADERS) && f.flags & END_STREAM) break;
  }
  throw new NyxError("unavailable", "The server refused the call; does it offer grpc.health.v1.Health?");
}
