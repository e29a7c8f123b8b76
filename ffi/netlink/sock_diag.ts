/** Which local ports sockets have, by one dump instead of many probes (sock_diag(7), linux/inet_diag.h). */

import { AF_INET, AF_INET6, IPPROTO_TCP, type IPPROTO_UDP, type SocketKernel } from "../socket.ts";
import { type NetlinkRequest, NetlinkSocket } from "./socket.ts";

const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;
/** struct inet_diag_req_v2. */
const REQUEST_SIZE = 56;
const TCP_LISTEN = 1 << 10;
const ALL_STATES = 0xffffffff;

function dumpOf(family: number, protocol: number): NetlinkRequest {
  const bytes = new Uint8Array(REQUEST_SIZE);
  bytes[0] = family;
  bytes[1] = protocol;
  new DataView(bytes.buffer).setUint32(4, protocol === IPPROTO_TCP ? TCP_LISTEN : ALL_STATES, true);
  return { name: "SOCK_DIAG_BY_FAMILY", type: SOCK_DIAG_BY_FAMILY, flags: 0, write: (w) => w.header(bytes) };
}

function dumps(kernel: SocketKernel, protocol: number): Uint8Array[] {
  using socket = new NetlinkSocket(kernel, NETLINK_SOCK_DIAG);
  return [AF_INET, AF_INET6].flatMap((family) =>
    [...socket.dump(dumpOf(family, protocol))].map((message) => message.payload)
  );
}

/** struct inet_diag_sockid within struct inet_diag_msg: port at 4, local address at 8. */
const SOURCE_AT = 8;

/**
 * Local ports of TCP listeners or UDP sockets in the calling thread's network namespace, on whatever address and of both
 * families.
 *
 * @throws SyscallError ENOENT or EOPNOTSUPP when the kernel was built without it
 */
export function localPorts(kernel: SocketKernel, protocol: typeof IPPROTO_TCP | typeof IPPROTO_UDP): Set<number> {
  const ports = new Set<number>();
  for (const payload of dumps(kernel, protocol)) if (payload.length >= 6) ports.add(portOf(payload));
  return ports;
}

/**
 * Local addresses, 4 or 16 bytes, on which TCP listeners or UDP sockets have a port.
 *
 * @throws SyscallError as {@linkcode localPorts}
 */
export function addressesOfPort(
  kernel: SocketKernel,
  protocol: typeof IPPROTO_TCP | typeof IPPROTO_UDP,
  port: number,
): Uint8Array[] {
  return dumps(kernel, protocol).filter((p) => p.length >= SOURCE_AT + 16 && portOf(p) === port).map((p) =>
    p.slice(SOURCE_AT, SOURCE_AT + (p[0] === AF_INET ? 4 : 16))
  );
}

function portOf(payload: Uint8Array): number {
  return new DataView(payload.buffer, payload.byteOffset).getUint16(4);
}
