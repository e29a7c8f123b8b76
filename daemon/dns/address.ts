/** Addresses as the resolver compares them: bytes. */

import { tryIpv4, tryIpv6 } from "../spec/parse/ip.ts";

/** Bytes of an address, 4 or 16, or undefined when the text is none. */
export function addressBytes(text: string): Uint8Array | undefined {
  const four = tryIpv4(text);
  if (four !== undefined) return Uint8Array.from(four);
  const six = tryIpv6(text);
  return six === undefined ? undefined : Uint8Array.from(six.flatMap((group) => [group >> 8, group & 255]));
}

/** A block of addresses. */
export interface Block {
  address: Uint8Array;
  prefix: number;
}

/** A block in CIDR notation, or undefined when the text is none. */
export function tryBlock(text: string): Block | undefined {
  const [, ip = "", length = ""] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  const address = addressBytes(ip);
  const prefix = Number(length);
  return address === undefined || prefix > address.length * 8 ? undefined : { address, prefix };
}

/** Whether an address lies in a block; one of the other family does not. */
export function blockHas({ address, prefix }: Block, candidate: Uint8Array): boolean {
  if (address.length !== candidate.length) return false;
  for (let bit = 0, i = 0; bit < prefix; bit += 8, i++) {
    const mask = prefix - bit >= 8 ? 0xff : 0xff00 >> (prefix - bit) & 0xff;
    if (((address[i] ?? 0) & mask) !== ((candidate[i] ?? 0) & mask)) return false;
  }
  return true;
}
