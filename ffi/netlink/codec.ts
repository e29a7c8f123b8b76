/**
 * Netlink messages as bytes: header, family header, attributes (netlink(7), linux/netlink.h). Everything is host order
 * and aligned to four bytes, unless an attribute says network order.
 */

/** Message types of every protocol. */
export const NLMSG_ERROR = 2;
/** End of a dump. */
export const NLMSG_DONE = 3;

/** Header flags. */
export const NLM_F_REQUEST = 0x1;
/** Part of several. */
export const NLM_F_MULTI = 0x2;
/** Ask for an acknowledgement. */
export const NLM_F_ACK = 0x4;
/** The dump changed under the reader. */
export const NLM_F_DUMP_INTR = 0x10;
/** Ask for all objects. */
export const NLM_F_DUMP = 0x300;
/** Replace an object that exists. */
export const NLM_F_REPLACE = 0x100;
/** Fail when the object exists. */
export const NLM_F_EXCL = 0x200;
/** Make the object. */
export const NLM_F_CREATE = 0x400;
/** In an acknowledgement: the request's payload is left out. */
export const NLM_F_CAPPED = 0x100;
/** In an acknowledgement: attributes follow. */
export const NLM_F_ACK_TLVS = 0x200;

/** Attribute type bits that are no part of the type. */
export const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;

/** struct nlmsghdr. */
export const NLMSG_HEADER = 16;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function align(n: number): number {
  return (n + 3) & ~3;
}

/** Writes messages one behind the other into one growing buffer. */
export class NetlinkWriter {
  #bytes = new Uint8Array(2048);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  #message = -1;

  /** Begins a message; the one before is closed. */
  begin(type: number, flags: number, seq: number): this {
    this.end();
    this.#message = this.#reserve(NLMSG_HEADER);
    this.#view.setUint16(this.#message + 4, type, true);
    this.#view.setUint16(this.#message + 6, flags, true);
    this.#view.setUint32(this.#message + 8, seq, true);
    return this;
  }

  /** Family header: bytes as they are. */
  header(bytes: Uint8Array): this {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }

  /** An attribute of raw bytes. */
  bytes(type: number, value: Uint8Array): this {
    const at = this.#attribute(type, value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** An attribute without value. */
  flag(type: number): this {
    this.#attribute(type, 0);
    return this;
  }

  /** One byte. */
  u8(type: number, value: number): this {
    const at = this.#attribute(type, 1);
    this.#view.setUint8(at, value);
    return this;
  }

  /** Sixteen bits, host order. */
  u16(type: number, value: number): this {
    const at = this.#attribute(type, 2);
    this.#view.setUint16(at, value, true);
    return this;
  }

  /** Thirty-two bits, host order. */
  u32(type: number, value: number): this {
    const at = this.#attribute(type, 4);
    this.#view.setUint32(at, value, true);
    return this;
  }

  /** Sixteen bits, network order. */
  be16(type: number, value: number): this {
    const at = this.#attribute(type, 2);
    this.#view.setUint16(at, value);
    return this;
  }

  /** Thirty-two bits, network order. */
  be32(type: number, value: number): this {
    const at = this.#attribute(type, 4);
    this.#view.setUint32(at, value);
    return this;
  }

  /** NUL-terminated text. */
  string(type: number, value: string): this {
    return this.bytes(type, encoder.encode(`${value}\0`));
  }

  /** An attribute that holds what `content` writes. */
  nest(type: number, content: () => void): this {
    const at = this.#attribute(type | NLA_F_NESTED, 0) - 4;
    content();
    this.#view.setUint16(at, this.#length - at, true);
    return this;
  }

  /** Closes the message under way. */
  end(): this {
    if (this.#message >= 0) this.#view.setUint32(this.#message, this.#length - this.#message, true);
    this.#message = -1;
    return this;
  }

  /** All messages; the view is valid until the next write. */
  finish(): Uint8Array<ArrayBuffer> {
    this.end();
    return this.#bytes.subarray(0, this.#length);
  }

  /** Forgets everything written, keeps the memory. */
  reset(): this {
    this.#length = 0;
    this.#message = -1;
    return this;
  }

  #attribute(type: number, size: number): number {
    const at = this.#reserve(4 + size);
    this.#view.setUint16(at, 4 + size, true);
    this.#view.setUint16(at + 2, type, true);
    return at + 4;
  }

  #reserve(size: number): number {
    const at = this.#length;
    const end = at + align(size);
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(end, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#bytes.fill(0, at, end);
    this.#length = end;
    return at;
  }
}

/** One received message; `payload` is a copy. */
export interface NetlinkMessage {
  type: number;
  flags: number;
  seq: number;
  payload: Uint8Array<ArrayBuffer>;
}

/** Splits a datagram into messages; what is cut short is left out. */
export function parseMessages(datagram: Uint8Array): NetlinkMessage[] {
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.length);
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at + NLMSG_HEADER <= datagram.length;) {
    const length = view.getUint32(at, true);
    if (length < NLMSG_HEADER || at + length > datagram.length) break;
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      seq: view.getUint32(at + 8, true),
      payload: datagram.slice(at + NLMSG_HEADER, at + length),
    });
    at += align(length);
  }
  return messages;
}

/** Attributes by type. Of a type that comes twice, the last one counts. */
export class Attributes {
  readonly #byType = new Map<number, Uint8Array<ArrayBuffer>>();

  /**
   * @param bytes message payload or the value of a nested attribute
   * @param offset where the attributes begin, behind the family header
   */
  constructor(bytes: Uint8Array<ArrayBuffer>, offset = 0) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = offset; at + 4 <= bytes.length;) {
      const length = view.getUint16(at, true);
      if (length < 4 || at + length > bytes.length) break;
      this.#byType.set(view.getUint16(at + 2, true) & NLA_TYPE_MASK, bytes.subarray(at + 4, at + length));
      at += align(length);
    }
  }

  /** Raw value. */
  bytes(type: number): Uint8Array<ArrayBuffer> | undefined {
    return this.#byType.get(type);
  }

  /** One byte. */
  u8(type: number): number | undefined {
    return this.#byType.get(type)?.[0];
  }

  /** Thirty-two bits, host order. */
  u32(type: number): number | undefined {
    const v = this.#byType.get(type);
    return v === undefined || v.length < 4 ? undefined : new DataView(v.buffer, v.byteOffset).getUint32(0, true);
  }

  /** Sixteen bits, network order. */
  be16(type: number): number | undefined {
    const v = this.#byType.get(type);
    return v === undefined || v.length < 2 ? undefined : new DataView(v.buffer, v.byteOffset).getUint16(0);
  }

  /** Thirty-two bits, network order. */
  be32(type: number): number | undefined {
    const v = this.#byType.get(type);
    return v === undefined || v.length < 4 ? undefined : new DataView(v.buffer, v.byteOffset).getUint32(0);
  }

  /** Text up to its NUL. */
  string(type: number): string | undefined {
    const v = this.#byType.get(type);
    if (v === undefined) return undefined;
    const nul = v.indexOf(0);
    return decoder.decode(nul < 0 ? v : v.subarray(0, nul));
  }

  /** Attributes inside an attribute; empty when it is missing. */
  nested(type: number): Attributes {
    return new Attributes(this.#byType.get(type) ?? new Uint8Array());
  }
}
