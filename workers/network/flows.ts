/**
 * Forgetting tracked connections, so that the next packet of each is judged by the rules of now. A walk over the machine's
 * table takes milliseconds, so it happens beside other work, and requests that wait together share one walk.
 */

import { Conntrack, type Flow } from "../../ffi/netlink/conntrack.ts";
import { tryParseIp } from "../../ffi/ip_address.ts";
import { IPPROTO_TCP, IPPROTO_UDP, type SocketKernel } from "../../ffi/socket.ts";
import type { PortTarget, PublishedPort } from "./ruleset.ts";

/** SYN_RECV, ESTABLISHED, and one end closed: bytes may still flow (linux/netfilter/nf_conntrack_tcp.h). */
const OPEN_STATES: ReadonlySet<number> = new Set([2, 3, 4, 5]);

/**
 * Wait before a walk: requests gather, and the answer to whoever caused it is out before the kernel keeps a processor busy for
 * milliseconds.
 */
const GATHER_MS = 5;

/** Whether a flow is meant, given the container's address. */
type Match = (flow: Flow, ip: string) => boolean;

/** Forgets flows in the background. */
export class FlowForgetter implements Disposable {
  readonly #kernel: SocketKernel;
  readonly #onError: (e: unknown) => void;
  #conntrack: Conntrack | undefined;
  #waiting: { family: 4 | 6; match: (flow: Flow) => boolean }[] = [];
  #working: Promise<void> | undefined;

  /**
   * @param kernel where to open the socket, in the host's network namespace
   * @param onError told when a walk failed
   */
  constructor(kernel: SocketKernel, onError: (e: unknown) => void) {
    this.#kernel = kernel;
    this.#onError = onError;
  }

  /**
   * Flows to newly published UDP ports that lead elsewhere: they began before the port was published, would go past the
   * container, and last as long as the client keeps sending.
   */
  published(ports: readonly PublishedPort[], target: PortTarget): void {
    this.#forgetUdp(ports, target, ({ reply }, ip) => reply.source.join() !== ip);
  }

  /** Flows to UDP ports that are published no more; a TCP connection goes on until one end closes it. */
  unpublished(ports: readonly PublishedPort[], target: PortTarget): void {
    const translated: Match = ({ original, reply }, ip) =>
      reply.source.join() === ip && original.destination.join() !== ip;
    this.#forgetUdp(ports, target, translated);
  }

  /**
   * Connections that others opened to addresses and that are still open: what a container that is to go must be left to finish.
   * UDP has none; counted are flows that were answered and have not timed out.
   */
  async open(target: PortTarget): Promise<{ tcp: number; udp: number }> {
    using conntrack = new Conntrack(this.#kernel);
    const open = { tcp: 0, udp: 0 };
    for (const text of [target.ip, target.ip6]) {
      const ip = text === undefined ? undefined : tryParseIp(text);
      if (ip === undefined) continue;
      for (const { original, tcpState, replied } of await conntrack.answeredBy(ip)) {
        if (original.protocol === IPPROTO_UDP && replied) open.udp++;
        else if (original.protocol === IPPROTO_TCP && tcpState !== undefined && OPEN_STATES.has(tcpState)) open.tcp++;
      }
    }
    return open;
  }

  /** Flows to and from addresses whose container is gone. */
  gone(target: PortTarget): void {
    this.#forget(target, ({ original, reply }, ip) => reply.source.join() === ip || original.source.join() === ip);
  }

  /** Resolves when nothing waits any more. */
  async idle(): Promise<void> {
    while (this.#working !== undefined) await this.#working;
  }

  /** Closes the socket; what waits is dropped. Call after {@linkcode idle}. */
  [Symbol.dispose](): void {
    this.#waiting = [];
    this.#conntrack?.[Symbol.dispose]();
    this.#conntrack = undefined;
  }

  #forgetUdp(ports: readonly PublishedPort[], target: PortTarget, match: Match): void {
    const udp = ports.filter((p) => p.protocol === "udp");
    if (udp.length === 0) return;
    this.#forget(target, (flow, ip) => {
      const { protocol, destinationPort } = flow.original;
      return protocol === IPPROTO_UDP && match(flow, ip) &&
        udp.some((p) => destinationPort >= p.hostPort && destinationPort < p.hostPort + p.count);
    });
  }

  #forget(target: PortTarget, match: Match): void {
    for (const [family, text] of [[4, target.ip], [6, target.ip6]] as const) {
      const ip = text === undefined ? undefined : tryParseIp(text)?.join();
      if (ip !== undefined) this.#waiting.push({ family, match: (flow) => match(flow, ip) });
    }
    this.#working ??= this.#work().catch(this.#onError).finally(() => this.#working = undefined);
  }

  async #work(): Promise<void> {
    while (this.#waiting.length > 0) {
      await new Promise((resolve) => setTimeout(resolve, GATHER_MS));
      const batch = this.#waiting;
      this.#waiting = [];
      this.#conntrack ??= new Conntrack(this.#kernel);
      for (const family of [4, 6] as const) {
        const matches = batch.filter((w) => w.family === family).map((w) => w.match);
        if (matches.length > 0) await this.#conntrack.forget(family, (flow) => matches.some((m) => m(flow)));
      }
    }
  }
}
