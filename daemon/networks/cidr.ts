/** Blocks of addresses in text, as far as choosing them needs; the network worker checks them in full. */

import { addressBytes, type Block, blockHas, tryBlock } from "../dns/address.ts";
import { formatIpv6 } from "../spec/parse/ip.ts";

/** Text of an address of 4 or 16 bytes. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  return formatIpv6(Array.from({ length: 8 }, (_, i) => (bytes[2 * i] ?? 0) << 8 | (bytes[2 * i + 1] ?? 0)));
}

/** The first host address of a block, which is the gateway unless somebody says otherwise; undefined for what is no block. */
export function firstHost(cidr: string): string | undefined {
  const block = tryBlock(cidr);
  if (block === undefined) return undefined;
  const bytes = block.address.slice();
  const last = bytes.length - 1;
  bytes[last] = (bytes[last] ?? 0) | 1;
  return addressText(bytes);
}

/** Whether two blocks of one family share an address. */
export function overlap(a: string, b: string): boolean {
  const [x, y] = [tryBlock(a), tryBlock(b)];
  if (x === undefined || y === undefined || x.address.length !== y.address.length) return false;
  const [wide, narrow]: [Block, Block] = x.prefix <= y.prefix ? [x, y] : [y, x];
  return blockHas(wide, narrow.address);
}

/** Family of a block or address. */
export function familyOf(text: string): 4 | 6 | undefined {
  const bytes = addressBytes(text.split("/")[0] ?? "");
  return bytes === undefined ? undefined : bytes.length === 4 ? 4 : 6;
}

/** Blocks that networks get unasked, the first free one: small, because a container host rarely has hundreds in one network. */
export function* poolBlocks(): Generator<string> {
  for (let second = 89; second <= 95; second++) {
    for (let third = 0; third < 256; third++) yield `10.${second}.${third}.0/24`;
  }
}

/** A unique local /64 at random (RFC 4193 section 3.2.2: 40 random bits, here also those of the subnet). */
export function randomUla(): string {
  const bytes = new Uint8Array(16);
  crypto.getRandomValues(bytes.subarray(1, 8));
  bytes[0] = 0xfd;
  return `${addressText(bytes)}/64`;
}
