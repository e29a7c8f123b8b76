/**
 * Network namespaces that are ready before anybody asks: loopback up, sysctls as containers expect, an rtnetlink socket
 * open inside. Only descriptors hold them, so those that were never used go away with the process.
 */

import { isErrno } from "../../ffi/errno.ts";
import type { NamespaceKernel } from "../../ffi/namespace.ts";
import { setLink } from "../../ffi/netlink/requests.ts";
import { RtNetlink } from "../../ffi/netlink/rtnetlink.ts";
import type { SocketKernel } from "../../ffi/socket.ts";

const LOOPBACK_INDEX = 1;
/**
 * When the pool is filled up after a namespace was taken, milliseconds. Making one occupies the worker for 2 to 3, and a CPU that the
 * container being started needs: so not before that has had time to start, and with a pause for other work after each.
 */
const REFILL_MS = 25;
const NEXT_MS = 5;

/**
 * Defaults in a container's namespace: any port may be bound and ping needs no privilege, as Docker has it; IPv6 stays off
 * on new interfaces until a network with IPv6 turns it on, so that no link-local address appears on an IPv4 network; then its
 * addresses work at once, without duplicate detection (which a hairpin port would answer with its own question).
 */
const SYSCTLS: readonly [string, string][] = [
  ["net/ipv4/ip_unprivileged_port_start", "0"],
  ["net/ipv4/ping_group_range", "0 2147483647"],
  ["net/ipv6/conf/default/disable_ipv6", "1"],
  ["net/ipv6/conf/default/accept_ra", "0"],
  ["net/ipv6/conf/default/accept_dad", "0"],
];

/** A network namespace by descriptor, with a way to speak to it from outside. */
export interface Netns extends Disposable {
  readonly fd: number;
  /** rtnetlink inside; works from the home namespace, because the socket stays where it was made. */
  readonly rt: RtNetlink;
}

/** Kernel areas that namespaces need. */
export interface NetnsKernel {
  ns: NamespaceKernel;
  socket: SocketKernel;
}

class OwnedNetns implements Netns {
  readonly #ns: NamespaceKernel;

  constructor(ns: NamespaceKernel, readonly fd: number, readonly rt: RtNetlink) {
    this.#ns = ns;
  }

  [Symbol.dispose](): void {
    this.rt[Symbol.dispose]();
    this.#ns.closeNamespace(this.fd);
  }
}

/** Makes a namespace as containers get it. */
export function makeNetns({ ns, socket }: NetnsKernel, buffer: Uint8Array<ArrayBuffer>): Netns {
  const { fd, value } = ns.withNewNetns(() => {
    const rt = new RtNetlink(socket, buffer);
    try {
      rt.run(setLink(LOOPBACK_INDEX, { up: true }));
      for (const [path, setting] of SYSCTLS) {
        try {
          ns.writeKernelFile(`/proc/sys/${path}`, setting);
        } catch (e) {
          if (!isErrno(e, "ENOENT")) throw e;
        }
      }
      return rt;
    } catch (e) {
      rt[Symbol.dispose]();
      throw e;
    }
  });
  return new OwnedNetns(ns, fd, value);
}

/** Opens a pinned namespace. ENOENT when it is not there. */
export function openNetns({ ns, socket }: NetnsKernel, path: string, buffer: Uint8Array<ArrayBuffer>): Netns {
  const fd = ns.openNamespace(path);
  try {
    return new OwnedNetns(ns, fd, ns.withNetns(fd, () => new RtNetlink(socket, buffer)));
  } catch (e) {
    ns.closeNamespace(fd);
    throw e;
  }
}

/** A few namespaces kept ready; it refills itself one at a time, between other work. */
export class NetnsPool implements Disposable {
  readonly #kernel: NetnsKernel;
  readonly #size: number;
  readonly #buffer: Uint8Array<ArrayBuffer>;
  readonly #onError: (e: unknown) => void;
  readonly #ready: Netns[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  /**
   * @param kernel where they are made
   * @param size how many to keep
   * @param buffer receive buffer for their sockets
   * @param onError told when refilling fails; the next take tries again and throws to its caller
   */
  constructor(kernel: NetnsKernel, size: number, buffer: Uint8Array<ArrayBuffer>, onError: (e: unknown) => void) {
    this.#kernel = kernel;
    this.#size = size;
    this.#buffer = buffer;
    this.#onError = onError;
    this.#refillSoon(NEXT_MS);
  }

  /** Namespaces ready now. */
  get ready(): number {
    return this.#ready.length;
  }

  /** A namespace that the caller owns; made on the spot when none is ready. */
  take(): Netns {
    const netns = this.#ready.shift() ?? makeNetns(this.#kernel, this.#buffer);
    this.#refillSoon(REFILL_MS);
    return netns;
  }

  /** Closes what is ready. */
  [Symbol.dispose](): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const netns of this.#ready.splice(0)) netns[Symbol.dispose]();
  }

  #refillSoon(delayMs: number): void {
    if (this.#closed || this.#timer !== undefined || this.#ready.length >= this.#size) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      try {
        this.#ready.push(makeNetns(this.#kernel, this.#buffer));
        this.#refillSoon(NEXT_MS);
      } catch (e) {
        this.#onError(e);
      }
    }, delayMs);
  }
}
