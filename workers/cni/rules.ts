/**
 * Notices that somebody else takes rules out of the tables that portmap and firewall write to, as a firewall's reload does. What
 * plugins do themselves looks the same, so deletions are heard while none runs.
 */

import { Attributes } from "../../ffi/netlink/codec.ts";
import { NetlinkMonitor, NFNLGRP_NFTABLES } from "../../ffi/netlink/monitor.ts";
import { NETLINK_NETFILTER } from "../../ffi/netlink/socket.ts";
import type { SocketKernel } from "../../ffi/socket.ts";
import { pluginsIdleMs } from "./plugin.ts";

const TICK_MS = 500;
const NFNL_SUBSYS_NFTABLES = 10;
/** NFT_MSG_DELTABLE, DELCHAIN, DELRULE. */
const DELETIONS = new Set([2, 5, 8]);
const NFTA_TABLE = 1;
const NFGENMSG = 4;
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
    const complete = this.#monitor.drain(({ type, payload }) => {
      if (type >> 8 !== NFNL_SUBSYS_NFTABLES || !DELETIONS.has(type & 255)) return;
      lost ||= TABLES.has(new Attributes(payload, NFGENMSG).string(NFTA_TABLE) ?? "");
    });
    if ((lost || !complete) && pluginsIdleMs() > TICK_MS) this.#onLoss();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#monitor[Symbol.dispose]();
  }
}
