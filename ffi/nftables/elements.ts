/**
 * Elements of maps straight over nfnetlink (linux/netfilter/nf_tables.h), one batch a transaction. libnftables reads the tables of the
 * host back before it adds one element, which takes several times as long as the change itself.
 */

import { tryParseIp } from "../ip_address.ts";
import { isErrno } from "../errno.ts";
import { type NetlinkWriter, NLM_F_CREATE } from "../netlink/codec.ts";
import { nfgenmsg, NFNL_SUBSYS_NFTABLES } from "../netlink/nfnetlink.ts";
import { NETLINK_NETFILTER, type NetlinkRequest, NetlinkSocket } from "../netlink/socket.ts";
import { PORT_PROTOCOLS, type SocketKernel } from "../socket.ts";
import { type MapElements, NftError } from "./nft.ts";

const NFNL_MSG_BATCH_BEGIN = 0x10;
const NFNL_MSG_BATCH_END = 0x11;
const NFT_MSG_NEWSETELEM = NFNL_SUBSYS_NFTABLES << 8 | 12;
const NFT_MSG_DELSETELEM = NFNL_SUBSYS_NFTABLES << 8 | 14;
const NFPROTO_INET = 1;
const NFTA_SET_ELEM_LIST_TABLE = 1;
const NFTA_SET_ELEM_LIST_SET = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS = 3;
const NFTA_LIST_ELEM = 1;
const NFTA_SET_ELEM_KEY = 1;
const NFTA_SET_ELEM_DATA = 2;
const NFTA_SET_ELEM_KEY_END = 10;
const NFTA_DATA_VALUE = 1;

/** Most elements of one change: their list is one attribute, which has 64 KiB at most. */
export const MOST_ELEMENTS = 500;

/** A value, or the first and last of an interval. Each component of a concatenation fills whole 32-bit registers. */
interface Value {
  first: Uint8Array;
  last: Uint8Array;
  interval: boolean;
}

function port(text: string): Uint8Array {
  const n = Number(text);
  return Uint8Array.of(n >> 8, n & 255, 0, 0);
}

/** One component: an address, one with `/0` for all, a protocol, a port, or a range of ports. */
function component(text: string): Value {
  const protocol = PORT_PROTOCOLS[text];
  if (protocol !== undefined) {
    const value = Uint8Array.of(protocol, 0, 0, 0);
    return { first: value, last: value, interval: false };
  }
  const range = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (range !== null) {
    const [, first = "", last] = range;
    return { first: port(first), last: port(last ?? first), interval: last !== undefined };
  }
  const all = text.endsWith("/0");
  const address = tryParseIp(all ? text.slice(0, -2) : text);
  if (address === undefined) throw new NftError(`Error: ${JSON.stringify(text)} is no address, protocol or port`, text);
  return {
    first: all ? new Uint8Array(address.length) : address,
    last: all ? new Uint8Array(address.length).fill(255) : address,
    interval: all,
  };
}

/** A key or a datum in nft's words, such as `tcp . 8080`, as the kernel has it. */
export function elementValue(text: string): Value {
  const parts = text.split(" . ").map(component);
  const joined = (which: "first" | "last") => Uint8Array.from(parts.flatMap((p) => [...p[which]]));
  return { first: joined("first"), last: joined("last"), interval: parts.some((p) => p.interval) };
}

function writeElement(w: NetlinkWriter, key: Value, data: Value | undefined): void {
  const value = (type: number, bytes: Uint8Array) => w.nest(type, () => w.bytes(NFTA_DATA_VALUE, bytes));
  w.nest(NFTA_LIST_ELEM, () => {
    value(NFTA_SET_ELEM_KEY, key.first);
    if (key.interval) value(NFTA_SET_ELEM_KEY_END, key.last);
    if (data !== undefined) value(NFTA_SET_ELEM_DATA, data.first);
  });
}

function batchEdge(name: string, type: number): NetlinkRequest {
  return {
    name,
    type,
    flags: 0,
    unanswered: true,
    write: (w) => w.header(nfgenmsg(0, NFNL_SUBSYS_NFTABLES)),
  };
}

function requests(table: string, elements: MapElements, add: boolean): NetlinkRequest[] {
  return [...elements].map(([map, rows]) => {
    const values = rows.map(([key, data]) => ({ key: elementValue(key), data: add ? elementValue(data) : undefined }));
    return {
      name: add ? "NFT_MSG_NEWSETELEM" : "NFT_MSG_DELSETELEM",
      subject: `${table} ${map}`,
      type: add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM,
      flags: add ? NLM_F_CREATE : 0,
      write: (w) => {
        w.header(nfgenmsg(NFPROTO_INET))
          .string(NFTA_SET_ELEM_LIST_TABLE, table)
          .string(NFTA_SET_ELEM_LIST_SET, map)
          .nest(NFTA_SET_ELEM_LIST_ELEMENTS, () => {
            for (const { key, data } of values) writeElement(w, key, data);
          });
      },
    };
  });
}

/** Changes elements of the maps of inet tables in the network namespace where it was opened. */
export class NftElements implements Disposable {
  readonly #socket: NetlinkSocket;

  /**
   * @param kernel where to open the socket
   * @param buffer receive buffer, which other sockets of the thread may share
   */
  constructor(kernel: SocketKernel, buffer?: Uint8Array<ArrayBuffer>) {
    this.#socket = new NetlinkSocket(kernel, NETLINK_NETFILTER, buffer);
  }

  /**
   * Deletes elements, then adds others: all or nothing. At most {@linkcode MOST_ELEMENTS} of a map.
   *
   * @throws NftError
   */
  change(table: string, remove: MapElements, add: MapElements): void {
    try {
      this.#socket.run(
        batchEdge("NFNL_MSG_BATCH_BEGIN", NFNL_MSG_BATCH_BEGIN),
        ...requests(table, remove, false),
        ...requests(table, add, true),
        batchEdge("NFNL_MSG_BATCH_END", NFNL_MSG_BATCH_END),
      );
    } catch (e) {
      if (e instanceof NftError) throw e;
      const reason = isErrno(e, "ENOENT")
        ? "No such file or directory"
        : isErrno(e, "EEXIST")
        ? "File exists"
        : undefined;
      if (reason === undefined) throw e;
      throw new NftError(`Error: ${reason}: ${(e as Error).message}`, `elements of ${table}`);
    }
  }

  /** Closes its socket. */
  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}
