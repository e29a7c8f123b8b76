/** Notifications of a netlink protocol: what changes, whoever changes it. Never blocks. */

import { isErrno } from "../errno.ts";
import { AF_NETLINK, MSG_TRUNC, SOCK_RAW, type SocketKernel } from "../socket.ts";
import { sockaddrNl } from "../socket_address.ts";
import { Attributes, type NetlinkMessage, parseMessages } from "./codec.ts";
import { NFGENMSG, NFNL_SUBSYS_NFTABLES } from "./nfnetlink.ts";

const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;

/** rtnetlink group: links (linux/rtnetlink.h). */
export const RTNLGRP_LINK = 1;
/** rtnetlink group: IPv4 addresses. */
export const RTNLGRP_IPV4_IFADDR = 5;
/** rtnetlink group: IPv6 addresses. */
export const RTNLGRP_IPV6_IFADDR = 9;
/** nfnetlink group: nftables (linux/netfilter/nfnetlink.h). */
export const NFNLGRP_NFTABLES = 7;

/** NFT_MSG_DELTABLE, DELCHAIN, DELRULE; in these and the following attribute 1 names the table. */
const RULE_DELETIONS: readonly number[] = [2, 5, 8];
/** NFT_MSG_DELSET, DELSETELEM. */
const SET_DELETIONS: readonly number[] = [11, 14];
const NFTA_TABLE = 1;

/**
 * The nftables table that something went from, or that went itself, when a message of {@linkcode NFNLGRP_NFTABLES} tells that.
 *
 * @param sets whether sets and their elements count, beside rules and chains
 */
export function robbedTable({ type, payload }: NetlinkMessage, sets: boolean): string | undefined {
  const message = type & 255;
  const counts = RULE_DELETIONS.includes(message) || (sets && SET_DELETIONS.includes(message));
  if (type >> 8 !== NFNL_SUBSYS_NFTABLES || !counts) return undefined;
  return new Attributes(payload, NFGENMSG).string(NFTA_TABLE);
}

/** A socket that hears the groups it joined, in the network namespace where it was opened. */
export class NetlinkMonitor implements Disposable {
  readonly #kernel: SocketKernel;
  readonly #buffer: Uint8Array<ArrayBuffer>;
  #fd: number;

  /**
   * @param kernel where to open it
   * @param protocol NETLINK_ROUTE or NETLINK_NETFILTER
   * @param groups groups to join
   * @param buffer receive buffer that sockets of one thread may share
   */
  constructor(kernel: SocketKernel, protocol: number, groups: readonly number[], buffer: Uint8Array<ArrayBuffer>) {
    this.#kernel = kernel;
    this.#buffer = buffer;
    this.#fd = kernel.socket(AF_NETLINK, SOCK_RAW, protocol);
    try {
      kernel.bind(this.#fd, sockaddrNl());
      for (const group of groups) kernel.setsockopt(this.#fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
    } catch (e) {
      this[Symbol.dispose]();
      throw e;
    }
  }

  /**
   * Hands each waiting message to `visit`; the message is valid during the call.
   *
   * A closed monitor has none.
   *
   * @returns false when messages were lost because too many waited
   */
  drain(visit: (message: NetlinkMessage) => void): boolean {
    let complete = true;
    while (this.#fd >= 0) {
      try {
        const length = this.#kernel.tryRecv(this.#fd, this.#buffer, MSG_TRUNC);
        if (length === undefined) return complete;
        if (length > this.#buffer.length) complete = false;
        else parseMessages(this.#buffer.subarray(0, length)).forEach(visit);
      } catch (e) {
        if (!isErrno(e, "ENOBUFS")) throw e;
        complete = false;
      }
    }
    return complete;
  }

  /** Closes the socket. Idempotent. */
  [Symbol.dispose](): void {
    const fd = this.#fd;
    this.#fd = -1;
    if (fd >= 0) this.#kernel.closeSocket(fd);
  }
}
