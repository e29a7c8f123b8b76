/**
 * DNS messages (RFC 1035 section 4) with EDNS(0) (RFC 6891): read whole and checked, written with compressed names.
 *
 * Names in record data are read uncompressed for the types that may have pointers (RFC 3597 section 4), and compressed again
 * on writing only for the types of RFC 1035.
 */

import { FormatError, lower, type Name, readName } from "./name.ts";

/** Record types that the resolver knows by name. */
export const TYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  AAAA: 28,
  OPT: 41,
  IXFR: 251,
  AXFR: 252,
  ANY: 255,
} as const;

/** Class internet. */
export const CLASS_IN = 1;

/** Response codes. */
export const RCODE = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  BADVERS: 16,
} as const;

/** UDP payload that this resolver offers and never exceeds: fits every link without fragments (DNS flag day 2020). */
export const UDP_PAYLOAD = 1232;
/** UDP payload of a client without EDNS. */
export const PLAIN_UDP = 512;
/** Bytes of a message's header. */
export const HEADER_LENGTH = 12;
const DO = 0x8000;
const TC = 0x200;

/** What is asked. `name` keeps the client's letters; {@linkcode keyOf} is for comparing. */
export interface Question {
  name: Name;
  type: number;
  class: number;
}

/** A resource record; `data` is its parts in order: bytes, or names. */
export interface ResourceRecord {
  name: Name;
  type: number;
  class: number;
  /** Seconds. */
  ttl: number;
  data: (Uint8Array | Name)[];
}

/** What the sender can take (RFC 6891). */
export interface Edns {
  /** UDP payload size, bytes. */
  payload: number;
  version: number;
  /** DNSSEC records are wanted. */
  dnssecOk: boolean;
}

/** A whole message. `rcode` includes the upper bits of EDNS. */
export interface Message {
  id: number;
  response: boolean;
  opcode: number;
  authoritative: boolean;
  truncated: boolean;
  recursionDesired: boolean;
  recursionAvailable: boolean;
  authentic: boolean;
  checkingDisabled: boolean;
  rcode: number;
  questions: Question[];
  answers: ResourceRecord[];
  authority: ResourceRecord[];
  additional: ResourceRecord[];
  edns?: Edns;
}

/** A number is that many bytes, `text` a counted string, `rest` what is left. */
type DataPart = "name" | "text" | "rest" | number;
/** Layout of record data that has names. */
const NAMED_DATA: ReadonlyMap<number, readonly DataPart[]> = new Map<number, readonly DataPart[]>([
  ...[TYPE.NS, 3, 4, TYPE.CNAME, 7, 8, 9, TYPE.PTR, 39].map((type) => [type, ["name"]] as const),
  [TYPE.SOA, ["name", "name", 20]],
  ...[14, 17].map((type) => [type, ["name", "name"]] as const),
  ...[15, 18, 21, 36].map((type) => [type, [2, "name"]] as const),
  [24, [18, "name", "rest"]],
  [26, [2, "name", "name"]],
  [30, ["name", "rest"]],
  [33, [6, "name"]],
  [35, [4, "text", "text", "text", "name"]],
]);

/** Types whose names may be compressed (RFC 3597 section 4). */
const COMPRESSED = new Set<number>([TYPE.NS, 3, 4, TYPE.CNAME, TYPE.SOA, 7, 8, 9, TYPE.PTR, 14, 15]);

/** Text by which two questions are the same. */
export function keyOf(question: Question): string {
  return `${lower(question.name)}/${question.type}/${question.class}`;
}

function u16(bytes: Uint8Array, at: number): number {
  const [high, low] = [bytes[at], bytes[at + 1]];
  if (high === undefined || low === undefined) throw new FormatError("A message is cut off");
  return high << 8 | low;
}

function u32(bytes: Uint8Array, at: number): number {
  return u16(bytes, at) * 0x10000 + u16(bytes, at + 2);
}

function slice(bytes: Uint8Array, at: number, end: number): Uint8Array {
  if (end > bytes.length) throw new FormatError("Record data is cut off");
  return bytes.slice(at, end);
}

function readData(bytes: Uint8Array, type: number, at: number, end: number): (Uint8Array | Name)[] {
  const layout = NAMED_DATA.get(type);
  if (layout === undefined) return at === end ? [] : [slice(bytes, at, end)];
  const data: (Uint8Array | Name)[] = [];
  let pos = at;
  for (const part of layout) {
    if (part === "name") {
      const { name, next } = readName(bytes, pos);
      data.push(name);
      pos = next;
    } else {
      const length = part === "rest" ? Math.max(0, end - pos) : part === "text" ? 1 + (bytes[pos] ?? 0) : part;
      data.push(slice(bytes, pos, pos + length));
      pos += length;
    }
  }
  if (pos !== end) throw new FormatError("Record data does not fill its length");
  return data;
}

function readRecord(bytes: Uint8Array, at: number): { record: ResourceRecord; next: number } {
  const { name, next: fixed } = readName(bytes, at);
  const type = u16(bytes, fixed);
  const ttl = u32(bytes, fixed + 4);
  const start = fixed + 10;
  const end = start + u16(bytes, fixed + 8);
  if (end > bytes.length) throw new FormatError("A record is cut off");
  const data = readData(bytes, type, start, end);
  // A time to live with its highest bit set means zero (RFC 2181 section 8).
  return {
    record: {
      name,
      type,
      class: u16(bytes, fixed + 2),
      ttl: type !== TYPE.OPT && ttl > 0x7fffffff ? 0 : ttl,
      data,
    },
    next: end,
  };
}

/**
 * Reads a message.
 *
 * @param bytes the message and nothing else
 * @throws FormatError when it breaks the format anywhere, has bytes behind its end, or two OPT records
 */
export function decode(bytes: Uint8Array): Message {
  if (bytes.length < HEADER_LENGTH) throw new FormatError("A message is shorter than its header");
  const flags = u16(bytes, 2);
  const message: Message = {
    id: u16(bytes, 0),
    response: (flags & 0x8000) !== 0,
    opcode: flags >> 11 & 15,
    authoritative: (flags & 0x400) !== 0,
    truncated: (flags & 0x200) !== 0,
    recursionDesired: (flags & 0x100) !== 0,
    recursionAvailable: (flags & 0x80) !== 0,
    authentic: (flags & 0x20) !== 0,
    checkingDisabled: (flags & 0x10) !== 0,
    rcode: flags & 15,
    questions: [],
    answers: [],
    authority: [],
    additional: [],
  };
  let at = HEADER_LENGTH;
  for (let n = u16(bytes, 4); n > 0; n--) {
    const { name, next } = readName(bytes, at);
    message.questions.push({ name, type: u16(bytes, next), class: u16(bytes, next + 2) });
    at = next + 4;
  }
  for (const [i, section] of [message.answers, message.authority, message.additional].entries()) {
    for (let n = u16(bytes, 6 + 2 * i); n > 0; n--) {
      const { record, next } = readRecord(bytes, at);
      at = next;
      if (record.type === TYPE.OPT) takeOpt(message, record, section);
      else section.push(record);
    }
  }
  if (at !== bytes.length) throw new FormatError("Bytes follow a message");
  return message;
}

function takeOpt(message: Message, record: ResourceRecord, section: ResourceRecord[]): void {
  if (section !== message.additional || record.name !== "" || message.edns !== undefined) {
    throw new FormatError("An OPT record is out of place");
  }
  message.edns = {
    payload: record.class,
    version: record.ttl >>> 16 & 0xff,
    dnssecOk: (record.ttl & DO) !== 0,
  };
  message.rcode |= (record.ttl >>> 24) << 4;
}

/** Writes messages into one buffer that grows. Not to be used twice at once. */
class Writer {
  bytes = new Uint8Array(2048);
  at = 0;
  readonly #suffixes = new Map<Name, number>();

  reset(): void {
    this.at = 0;
    this.#suffixes.clear();
  }

  #room(length: number): void {
    if (this.at + length <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.at + length));
    larger.set(this.bytes.subarray(0, this.at));
    this.bytes = larger;
  }

  u16(value: number): void {
    this.#room(2);
    this.bytes[this.at++] = value >> 8;
    this.bytes[this.at++] = value;
  }

  /** Replaces 16 bits that were written. */
  patch(at: number, value: number): void {
    this.bytes[at] = value >> 8;
    this.bytes[at + 1] = value;
  }

  peek(at: number): number {
    return (this.bytes[at] ?? 0) << 8 | (this.bytes[at + 1] ?? 0);
  }

  u32(value: number): void {
    this.u16(value >>> 16);
    this.u16(value & 0xffff);
  }

  raw(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.bytes.set(bytes, this.at);
    this.at += bytes.length;
  }

  #string(text: string): void {
    this.#room(text.length + 1);
    for (let i = 0; i < text.length; i++) this.bytes[this.at++] = text.charCodeAt(i);
  }

  name(name: Name, compress: boolean): void {
    for (let cut = 0; cut < name.length; cut += 1 + name.charCodeAt(cut)) {
      const suffix = lower(name.slice(cut));
      const seen = this.#suffixes.get(suffix);
      if (compress && seen !== undefined) return this.u16(POINTER | seen);
      if (seen === undefined && this.at < 0x4000) this.#suffixes.set(suffix, this.at);
      this.#string(name.slice(cut, cut + 1 + name.charCodeAt(cut)));
    }
    this.#string("\0");
  }

  record({ name, type, class: klass, ttl, data }: ResourceRecord): void {
    this.name(name, true);
    this.u16(type);
    this.u16(klass);
    this.u32(ttl);
    this.u16(0);
    const start = this.at;
    for (const part of data) {
      if (typeof part === "string") this.name(part, COMPRESSED.has(type));
      else this.raw(part);
    }
    this.patch(start - 2, this.at - start);
  }
}

const POINTER = 0xc000;
const shared = new Writer();

function flagsOf(m: Message): number {
  return (m.response ? 0x8000 : 0) | (m.opcode & 15) << 11 | (m.authoritative ? 0x400 : 0) | (m.truncated ? TC : 0) |
    (m.recursionDesired ? 0x100 : 0) | (m.recursionAvailable ? 0x80 : 0) | (m.authentic ? 0x20 : 0) |
    (m.checkingDisabled ? 0x10 : 0) | (m.rcode & 15);
}

function writeOpt(w: Writer, { payload, version, dnssecOk }: Edns, rcode: number): void {
  w.record({
    name: "",
    type: TYPE.OPT,
    class: payload,
    ttl: (rcode >> 4 << 24 | version << 16 | (dnssecOk ? DO : 0)) >>> 0,
    data: [],
  });
}

const OPT_LENGTH = 11;

/** Writes as many records as `limit` allows, and counts them into the header; false when some were left out. */
function writeSections(w: Writer, m: Message, limit: number): boolean {
  for (const [i, section] of [m.answers, m.authority, m.additional].entries()) {
    for (const [written, record] of section.entries()) {
      const before = w.at;
      w.record(record);
      if (w.at <= limit) continue;
      w.at = before;
      w.patch(6 + 2 * i, written);
      return false;
    }
    w.patch(6 + 2 * i, section.length);
  }
  return true;
}

/**
 * Writes a message.
 *
 * @param message what to write; its `truncated` is kept
 * @param limit largest size in bytes; a message that does not fit is marked as truncated and has the records that do: old
 * resolvers without TCP use those, others ask again
 */
export function encode(message: Message, limit = 65535): Uint8Array<ArrayBuffer> {
  const w = shared;
  w.reset();
  w.u16(message.id);
  w.u16(flagsOf(message));
  w.u16(message.questions.length);
  for (let section = 0; section < 3; section++) w.u16(0);
  for (const q of message.questions) {
    w.name(q.name, true);
    w.u16(q.type);
    w.u16(q.class);
  }
  const { edns } = message;
  if (!writeSections(w, message, limit - (edns === undefined ? 0 : OPT_LENGTH))) w.patch(2, flagsOf(message) | TC);
  if (edns !== undefined) {
    w.patch(10, w.peek(10) + 1);
    writeOpt(w, edns, message.rcode);
  }
  return w.bytes.slice(0, w.at);
}

/** A query with everything at its default. */
export function query(id: number, question: Question, edns?: Edns): Message {
  return {
    id,
    response: false,
    opcode: 0,
    authoritative: false,
    truncated: false,
    recursionDesired: true,
    recursionAvailable: false,
    authentic: false,
    checkingDisabled: false,
    rcode: RCODE.NOERROR,
    questions: [question],
    answers: [],
    authority: [],
    additional: [],
    ...(edns === undefined ? {} : { edns }),
  };
}

/** A reply, and the largest datagram its client takes. */
export interface Reply extends Message {
  /** Bytes. */
  udpLimit: number;
}

/** The reply to `asked` with nothing in it yet. */
export function replyTo(asked: Message, rcode: number): Reply {
  return {
    udpLimit: Math.min(UDP_PAYLOAD, Math.max(PLAIN_UDP, asked.edns?.payload ?? 0)),
    ...asked,
    response: true,
    authoritative: false,
    truncated: false,
    recursionAvailable: true,
    authentic: false,
    rcode,
    answers: [],
    authority: [],
    additional: [],
    ...(asked.edns === undefined ? {} : { edns: { payload: UDP_PAYLOAD, version: 0, dnssecOk: asked.edns.dnssecOk } }),
  };
}
