/**
 * Repair of what others break while containers run: a flushed ruleset, a deleted or downed bridge, forwarding turned off. The
 * kernel's notifications say when to look; looking decides what to do.
 */

import type { NetlinkMessage } from "../../ffi/netlink/codec.ts";
import {
  NetlinkMonitor,
  NFNLGRP_NFTABLES,
  robbedTable,
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_LINK,
} from "../../ffi/netlink/monitor.ts";
import { setLink, setPort } from "../../ffi/netlink/requests.ts";
import { IFF_UP, RTM_DELADDR, RTM_DELLINK, RTM_NEWLINK } from "../../ffi/netlink/rtnetlink_constants.ts";
import { NETLINK_NETFILTER, NETLINK_ROUTE } from "../../ffi/netlink/socket.ts";
import type { Nft } from "../../ffi/nftables/nft.ts";
import { formatIp } from "../../ffi/ip_address.ts";
import { isDirect, subnets } from "./definition.ts";
import { enableForwarding, ensureBridge } from "./host.ts";
import { type NetworkState, type Session, syncTable } from "./session.ts";

/** Within this time a change is noticed. */
const TICK_MS = 300;

/** Watches one session until it is disposed. */
export class Watch implements Disposable {
  readonly #session: Session;
  readonly #onRepair: (what: string) => void;
  readonly #links: NetlinkMonitor;
  readonly #rules: NetlinkMonitor;
  #timer: ReturnType<typeof setInterval> | undefined;
  #tableTouched = false;

  /**
   * @param session whose networks and table are watched
   * @param onRepair told, in a sentence, of each repair
   */
  constructor(session: Session, onRepair: (what: string) => void) {
    const { kernel: { socket }, buffer } = session;
    this.#session = session;
    this.#onRepair = onRepair;
    this.#links = new NetlinkMonitor(
      socket,
      NETLINK_ROUTE,
      [RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR],
      buffer,
    );
    try {
      this.#rules = new NetlinkMonitor(socket, NETLINK_NETFILTER, [NFNLGRP_NFTABLES], buffer);
    } catch (e) {
      this.#links[Symbol.dispose]();
      throw e;
    }
  }

  /** Wraps nftables so that what this worker deletes itself is not taken for somebody else's doing. */
  wrap(nft: Nft): Nft {
    const own = (run: () => void) => {
      this.#hearRules();
      try {
        run();
      } finally {
        this.#rules.drain(() => {});
      }
    };
    return {
      via: nft.via,
      run: (commands) => own(() => nft.run(commands)),
      change: (table, remove, add) => own(() => nft.change(table, remove, add)),
      list: (command) => nft.list(command),
      [Symbol.dispose]: () => nft[Symbol.dispose](),
    };
  }

  /** Begins to look. */
  start(): void {
    this.#timer ??= setInterval(() => this.tick(), TICK_MS);
  }

  /** Looks once, and repairs. Never throws: what could not be repaired is logged and tried again at the next sign. */
  tick(): void {
    const s = this.#session;
    try {
      this.#hearRules();
      if (this.#hearLinks()) {
        for (const state of s.networks.values()) {
          if (!isDirect(state.network) && !intact(s, state)) this.#repairBridge(state);
        }
      }
      if (this.#tableTouched) {
        syncTable(s);
        this.#tableTouched = false;
        this.#onRepair(`nftables table inet ${s.table} was changed by somebody else; it was made anew`);
      }
      const six = [...s.networks.values()].some(({ network }) => network.v6 !== undefined && !isDirect(network));
      for (const sysctl of enableForwarding(s.kernel.ns, s.rt, six)) {
        this.#onRepair(`${sysctl} was turned off by somebody else; it was turned on again`);
      }
    } catch (e) {
      s.log("warn", "Could not repair the network; it is tried again at the next change", { error: String(e) });
    }
  }

  /** Stops looking. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#links[Symbol.dispose]();
    this.#rules[Symbol.dispose]();
  }

  #hearRules(): void {
    const { table } = this.#session;
    const complete = this.#rules.drain((message) => {
      if (robbedTable(message, true) === table) this.#tableTouched = true;
    });
    if (!complete) this.#tableTouched = true;
  }

  #hearLinks(): boolean {
    const indexes = new Set([...this.#session.networks.values()].map((n) => n.bridge.index));
    let touched = false;
    const about = ({ type, payload }: NetlinkMessage) =>
      (type === RTM_NEWLINK || type === RTM_DELLINK || type === RTM_DELADDR) &&
      indexes.has(new DataView(payload.buffer).getInt32(4, true));
    const complete = this.#links.drain((message) => touched ||= about(message));
    return touched || !complete;
  }

  #repairBridge(state: NetworkState): void {
    const s = this.#session;
    const { network } = state;
    state.bridge = ensureBridge(s.kernel.ns, s.rt, network, s.baseDir);
    for (const { endpoints, portIndexes } of s.active.values()) {
      for (const [i, { network: name }] of endpoints.entries()) {
        const index = portIndexes[i];
        if (name !== network.name || index === undefined) continue;
        try {
          s.rt.run(setLink(index, { master: state.bridge.index, up: true }));
          s.rt.run(setPort(index, { hairpin: true }));
        } catch (e) {
          s.log("warn", "Could not attach a container's interface again", { network: name, index, error: String(e) });
        }
      }
    }
    this.#onRepair(`bridge ${network.bridge} of network ${network.name} was changed by somebody else; it was restored`);
  }
}

/** Whether a network's bridge is there as it was made. */
function intact(s: Session, { network, bridge }: NetworkState): boolean {
  const link = s.rt.link(network.bridge);
  if (link === undefined || link.index !== bridge.index || (link.flags & IFF_UP) === 0) return false;
  const have = new Set(s.rt.addresses(link.index).map((a) => formatIp(a.ip)));
  return subnets(network).every((subnet) => have.has(formatIp(subnet.gateway)));
}
