/**
 * Notices that somebody else takes rules out of the tables that portmap and firewall write to, as a firewall's reload does. What
 * plugins do themselves looks the same, so deletions are heard while none runs.
 */

import { NetlinkMonitor, NFNLGRP_NFTABLES, robbedTable } from "../../ffi/netlink/monitor.ts";
import { NETLINK_NETFILTER } from "../../ffi/netlink/socket.ts";
import type { SocketKernel } from "../../ffi/socket.ts";
import { pluginsIdleMs } from "./plugin.ts";

const TICK_MS = 500;
/** Tables of iptables, which these plugins use. */
const TABLES = new Set(["nat", "filter"]);

/** Listens until it is disposed. */
export class RuleWatch implements Disposable {
  readonly #monitor: NetlinkMonitor;
  readonly #onLoss: () => void;
  #timer: ReturnType<typeof setInterval> | undefined;

  /**
   * @param kernel for the socket, in the host's network namespace
   * @param buffer receive buffer that sockets of the thread share
   * @param onLoss told that rules went which no plugin of ours removed
   */
  constructor(kernel: SocketKernel, buffer: Uint8Array<ArrayBuffer>, onLoss: () => void) {
    this.#monitor = new NetlinkMonitor(kernel, NETLINK_NETFILTER, [NFNLGRP_NFTABLES], buffer);
    this.#onLoss = onLoss;
  }

  /** Begins to listen. */
  start(): void {
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  #tick(): void {
    let lost = false;
    try {
      const complete = this.#monitor.drain((message) => lost ||= TABLES.has(robbedTable(message, false) ?? ""));
      lost ||= !complete;
    } catch {
      // What was not heard may have been a loss.
      lost = true;
    }
    if (lost && pluginsIdleMs() > TICK_MS) this.#onLoss();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#monitor[Symbol.dispose]();
  }
}
