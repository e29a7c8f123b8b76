/**
 * Sockets that keep published ports from programs on the host. The kernel translates packets to a published port before any
 * socket is looked up, so a program that bound the port later would wait for connections that never come. A socket that is
 * bound, and never listens, makes its bind fail instead: `address already in use`, as beside any other server.
 *
 * One costs a descriptor and about 2 KiB of kernel memory. A long range is not held: a thousand sockets would cost more than the
 * range itself. Nor is the DNS port, which nyx's own resolvers need on the gateways of networks that come later.
 */

import { isErrno } from "../../ffi/errno.ts";
import { tryParseIp } from "../../ffi/ip_address.ts";
import {
  AF_INET,
  AF_INET6,
  IPPROTO_IPV6,
  IPPROTO_SCTP,
  IPV6_V6ONLY,
  SO_RCVBUF,
  SO_REUSEADDR,
  SOCK_DGRAM,
  SOCK_STREAM,
  type SocketKernel,
  SOL_SOCKET,
} from "../../ffi/socket.ts";
import { sockaddrIn, sockaddrIn6 } from "../../ffi/socket_address.ts";
import type { PublishedPort } from "./ruleset.ts";

/** Longest range whose ports are held. */
export const MOST_HELD = 16;
/** Port of nyx's own resolvers. */
const DNS_PORT = 53;

/** What a try to bind came to. */
export type Bound = { fd: number } | "taken" | "no-address" | "no-protocol";

/** Binds one port in the calling thread's namespace, over what is left of connections (TIME_WAIT); the caller closes it. */
export function bindPort(kernel: SocketKernel, { hostIp, protocol }: PublishedPort, n: number): Bound {
  const address = tryParseIp(hostIp) ?? new Uint8Array(4);
  const six = address.length === 16;
  let fd: number;
  try {
    fd = kernel.socket(
      six ? AF_INET6 : AF_INET,
      protocol === "udp" ? SOCK_DGRAM : SOCK_STREAM,
      protocol === "sctp" ? IPPROTO_SCTP : 0,
    );
  } catch (e) {
    if (isErrno(e, "EPROTONOSUPPORT", "EAFNOSUPPORT", "ESOCKTNOSUPPORT", "E94")) return "no-protocol";
    throw e;
  }
  try {
    if (six) kernel.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (protocol !== "udp") kernel.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    kernel.bind(fd, six ? sockaddrIn6(address, n) : sockaddrIn(address, n));
    return { fd };
  } catch (e) {
    kernel.closeSocket(fd);
    if (isErrno(e, "EADDRINUSE")) return "taken";
    if (isErrno(e, "EADDRNOTAVAIL")) return "no-address";
    throw e;
  }
}

function keyOf({ hostIp, protocol }: PublishedPort, n: number): string {
  return `${protocol} ${hostIp} ${n}`;
}

/** Sockets of containers that run. */
export class PortHolds implements Disposable {
  readonly #kernel: SocketKernel;
  readonly #byKey = new Map<string, { fd: number; id: string }>();
  readonly #byId = new Map<string, Set<string>>();

  /** @param kernel for sockets, in the host's network namespace */
  constructor(kernel: SocketKernel) {
    this.#kernel = kernel;
  }

  /** How many sockets there are. */
  get size(): number {
    return this.#byKey.size;
  }

  /**
   * Holds these ports, and no others, for a container. One that another container held goes over to it.
   *
   * @returns ports that a program on the host has, as `[host address, port]`
   */
  set(id: string, ports: readonly PublishedPort[]): [string, number][] {
    const wanted = new Set<string>();
    const taken: [string, number][] = [];
    for (const port of ports) {
      if (port.count > MOST_HELD) continue;
      for (let n = port.hostPort; n < port.hostPort + port.count; n++) {
        if (n === DNS_PORT) continue;
        const key = keyOf(port, n);
        const known = this.#byKey.get(key);
        if (known !== undefined) known.id = this.#give(known.id, id, key);
        else if (!this.#open(id, key, port, n)) {
          taken.push([port.hostIp, n]);
          continue;
        }
        wanted.add(key);
      }
    }
    for (const key of this.#byId.get(id) ?? []) if (!wanted.has(key)) this.#close(key);
    if (wanted.size === 0) this.#byId.delete(id);
    else this.#byId.set(id, wanted);
    return taken;
  }

  /** Lets all go. */
  [Symbol.dispose](): void {
    for (const key of [...this.#byKey.keys()]) this.#close(key);
    this.#byId.clear();
  }

  #give(from: string, to: string, key: string): string {
    if (from !== to) this.#byId.get(from)?.delete(key);
    return to;
  }

  /** False when a program has the port. Anything else that stands in the way costs the protection, not the container. */
  #open(id: string, key: string, port: PublishedPort, n: number): boolean {
    let bound: Bound;
    try {
      bound = bindPort(this.#kernel, port, n);
    } catch {
      return true;
    }
    if (typeof bound === "string") return bound !== "taken";
    // Without SO_REUSEADDR nobody else binds the port, whatever they set themselves. What arrives while the rules are gone is not
    // gathered.
    this.#kernel.setsockopt(bound.fd, SOL_SOCKET, SO_REUSEADDR, 0);
    this.#kernel.setsockopt(bound.fd, SOL_SOCKET, SO_RCVBUF, 0);
    this.#byKey.set(key, { fd: bound.fd, id });
    return true;
  }

  #close(key: string): void {
    const held = this.#byKey.get(key);
    this.#byKey.delete(key);
    if (held !== undefined) this.#kernel.closeSocket(held.fd);
  }
}
