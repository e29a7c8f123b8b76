/** sockaddr codecs: ip(7), ipv6(7), unix(7), netlink(7). Numbers are host order unless the structure says network order. */

import { AF_INET, AF_INET6, AF_NETLINK, AF_UNIX } from "./socket.ts";

/** sockaddr_in of four address bytes and a port. */
export function sockaddrIn(address: Uint8Array, port: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_INET, true);
  view.setUint16(2, port);
  bytes.set(address.subarray(0, 4), 4);
  return bytes;
}

/** sockaddr_in6 of sixteen address bytes, a port and a scope (interface index for link-local addresses). */
export function sockaddrIn6(address: Uint8Array, port: number, scopeId = 0): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_INET6, true);
  view.setUint16(2, port);
  bytes.set(address.subarray(0, 16), 8);
  view.setUint32(24, scopeId, true);
  return bytes;
}

/**
 * sockaddr_un of a path; a leading NUL makes an abstract name.
 *
 * @throws RangeError when the path does not fit the 108 bytes of sun_path
 */
export function sockaddrUn(path: string): Uint8Array<ArrayBuffer> {
  const name = new TextEncoder().encode(path);
  const abstract = name[0] === 0;
  const length = abstract ? name.length : name.length + 1;
  if (length > 108) {
    throw new RangeError(`Socket path ${JSON.stringify(path)} has ${name.length} bytes; at most 107 fit`);
  }
  const bytes = new Uint8Array(2 + length);
  new DataView(bytes.buffer).setUint16(0, AF_UNIX, true);
  bytes.set(name, 2);
  return bytes;
}

/** sockaddr_nl; port id 0 lets the kernel choose, `groups` is the legacy multicast mask. */
export function sockaddrNl(portId = 0, groups = 0): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_NETLINK, true);
  view.setUint32(4, portId, true);
  view.setUint32(8, groups, true);
  return bytes;
}

/** Port of a sockaddr_in or sockaddr_in6. */
export function sockaddrPort(address: Uint8Array<ArrayBuffer>): number {
  return new DataView(address.buffer, address.byteOffset).getUint16(2);
}
