/**
 * One question to one resolver: over UDP from a port of its own, and over TCP when the answer does not fit.
 *
 * An answer counts only when it comes from the address and port that were asked, bears the question's random id, and repeats
 * the question (RFC 5452). Forged ones are waited out; when they come in numbers the question is asked over TCP.
 */

import type { Upstream } from "./host_resolvers.ts";
import { decode, encode, keyOf, type Message, query, type Question, RCODE, UDP_PAYLOAD } from "./message.ts";

/** What is asked for. */
export interface Ask {
  question: Question;
  dnssecOk: boolean;
  checkingDisabled: boolean;
  /** Without EDNS, for resolvers from before it. */
  plain?: boolean;
}

/** Answers that do not match after which UDP is not trusted any more. */
const MAX_MISMATCHES = 8;
/** A datagram that is lost is sent again after this time, ms, then after twice that. */
const RESEND_MS = 1000;
const DNS_TCP_LIMIT = 65535;

function randomId(): number {
  return crypto.getRandomValues(new Uint16Array(1))[0] ?? 0;
}

function request(ask: Ask, id: number): Uint8Array<ArrayBuffer> {
  const edns = { payload: UDP_PAYLOAD, version: 0, dnssecOk: ask.dnssecOk };
  const asked = query(id, ask.question, ask.plain === true ? undefined : edns);
  return encode({ ...asked, checkingDisabled: ask.checkingDisabled });
}

/** The message, when it answers the question that was asked under `id`; else undefined. */
export function tryAnswer(bytes: Uint8Array, ask: Ask, id: number): Message | undefined {
  try {
    const message = decode(bytes);
    const [question] = message.questions;
    const matches = message.response && message.id === id && message.opcode === 0 && message.questions.length === 1 &&
      question !== undefined && keyOf(question) === keyOf(ask.question);
    return matches ? message : undefined;
  } catch {
    return undefined;
  }
}

async function askUdp(ask: Ask, { address, port }: Upstream, signal: AbortSignal): Promise<Message | "distrusted"> {
  const id = randomId();
  const bytes = request(ask, id);
  const hostname = address.includes(":") ? "::" : "0.0.0.0";
  const socket = Deno.listenDatagram({ transport: "udp", hostname, port: 0 });
  const timers: ReturnType<typeof setTimeout>[] = [];
  let open = true;
  const close = () => {
    if (!open) return;
    open = false;
    socket.close();
  };
  signal.addEventListener("abort", close, { once: true });
  try {
    signal.throwIfAborted();
    const send = () => open ? socket.send(bytes, { transport: "udp", hostname: address, port }) : Promise.resolve(0);
    await send();
    for (const after of [RESEND_MS, RESEND_MS * 3]) timers.push(setTimeout(() => void send().catch(() => {}), after));
    for (let mismatches = 0; mismatches < MAX_MISMATCHES;) {
      const [answer, from] = await socket.receive(new Uint8Array(4096));
      if (from.transport !== "udp" || from.port !== port || !sameAddress(from.hostname, address)) continue;
      const message = tryAnswer(answer, ask, id);
      if (message !== undefined) return message;
      mismatches++;
    }
    return "distrusted";
  } finally {
    signal.removeEventListener("abort", close);
    for (const timer of timers) clearTimeout(timer);
    close();
  }
}

function sameAddress(a: string, b: string): boolean {
  return a === b ||
    (a.includes(":") && b.includes(":") && new URL(`http://[${a}]`).host === new URL(`http://[${b}]`).host);
}

/** Reads exactly `length` bytes; undefined when the stream ends before the first. */
export async function readFull(conn: Deno.Conn, length: number): Promise<Uint8Array | undefined> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const n = await conn.read(bytes.subarray(at));
    if (n === null) {
      if (at === 0) return undefined;
      throw new Deno.errors.UnexpectedEof("The connection ended within a message");
    }
    at += n;
  }
  return bytes;
}

/** A message as TCP carries it: behind its length (RFC 1035 section 4.2.2), in one piece. */
export function framed(message: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(2 + message.length);
  bytes.set([message.length >> 8, message.length & 255]);
  bytes.set(message, 2);
  return bytes;
}

/** Writes all of `bytes`. */
export async function writeFull(conn: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

async function askTcp(ask: Ask, { address, port }: Upstream, signal: AbortSignal): Promise<Message> {
  const id = randomId();
  const conn = await Deno.connect({ hostname: address, port, signal });
  let open = true;
  const close = () => {
    if (open) conn.close();
    open = false;
  };
  signal.addEventListener("abort", close, { once: true });
  try {
    signal.throwIfAborted();
    await writeFull(conn, framed(request(ask, id)));
    const head = await readFull(conn, 2);
    const length = head === undefined ? 0 : (head[0] ?? 0) << 8 | (head[1] ?? 0);
    const bytes = length === 0 || length > DNS_TCP_LIMIT ? undefined : await readFull(conn, length);
    const message = bytes === undefined ? undefined : tryAnswer(bytes, ask, id);
    if (message === undefined) throw new Error(`The answer of ${address} over TCP is not to what was asked`);
    return message;
  } finally {
    signal.removeEventListener("abort", close);
    close();
  }
}

/**
 * Asks one resolver.
 *
 * @param signal ends the waiting
 * @throws when no matching answer came; the reason is of interest to a log alone
 */
export async function askUpstream(ask: Ask, upstream: Upstream, signal: AbortSignal): Promise<Message> {
  const first = await askUdp(ask, upstream, signal);
  // A resolver that does not know EDNS says so this way (RFC 6891 section 7).
  if (first !== "distrusted" && first.rcode === RCODE.FORMERR && ask.plain !== true) {
    return await askUpstream({ ...ask, plain: true }, upstream, signal);
  }
  if (first !== "distrusted" && !first.truncated) return first;
  try {
    return await askTcp(ask, upstream, signal);
  } catch (e) {
    // What was cut off is better than nothing; the client is told that it was.
    if (first !== "distrusted" && !signal.aborted) return first;
    throw e;
  }
}
