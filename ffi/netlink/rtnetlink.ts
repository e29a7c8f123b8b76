/**
 * rtnetlink: links, bridge ports, addresses, routes, rules and neighbours of one network namespace (rtnetlink(7),
 * linux/if_link.h, linux/rtnetlink.h, linux/fib_rules.h, linux/neighbour.h). What changes something is in requests.ts.
 */

import { formatMac, type IpBytes } from "../ip_address.ts";
import { AF_INET6, type SocketKernel } from "../socket.ts";
import { Attributes, type NetlinkMessage } from "./codec.ts";
import { type Address, ifinfomsg } from "./requests.ts";
import {
  FRA_DST,
  FRA_PRIORITY,
  FRA_SRC,
  FRA_TABLE,
  IFA_ADDRESS,
  IFA_LOCAL,
  IFLA_ADDRESS,
  IFLA_EXT_MASK,
  IFLA_IFALIAS,
  IFLA_IFNAME,
  IFLA_INFO_KIND,
  IFLA_LINK,
  IFLA_LINKINFO,
  IFLA_MASTER,
  IFLA_MTU,
  NDA_DST,
  NDA_LLADDR,
  RTA_DST,
  RTA_GATEWAY,
  RTA_OIF,
  RTA_TABLE,
  RTEXT_FILTER_SKIP_STATS,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_GETNEIGH,
  RTM_GETROUTE,
  RTM_GETRULE,
  RTN_UNICAST,
} from "./rtnetlink_constants.ts";
import { NETLINK_ROUTE, type NetlinkRequest, NetlinkSocket } from "./socket.ts";

/** A network interface. */
export interface Link {
  index: number;
  name: string;
  /** IFF_* bits. */
  flags: number;
  mtu: number;
  mac: string;
  /** Index of the bridge or bond it belongs to; 0 for none. */
  master: number;
  /** veth: index of the other end, in the other end's namespace; 0 for none. */
  peer: number;
  /** Such as `bridge` or `veth`; empty for hardware and loopback. */
  kind: string;
  /** Free text (`ip link set … alias`); empty for none. */
  alias: string;
}

/** A unicast route. */
export interface Route {
  /** Missing for the default route. */
  destination?: IpBytes;
  prefix: number;
  gateway?: IpBytes;
  /** Interface index; 0 for multipath and special routes. */
  index: number;
  table: number;
  family: 4 | 6;
}

/** A routing policy rule. */
export interface Rule {
  family: 4 | 6;
  priority: number;
  table: number;
  source?: { ip: IpBytes; prefix: number };
  destination?: { ip: IpBytes; prefix: number };
}

/** A neighbour (ARP or ND) entry. */
export interface Neighbour {
  index: number;
  ip: IpBytes;
  mac: string;
}

function parseLink(message: NetlinkMessage): Link {
  const view = new DataView(message.payload.buffer);
  const attributes = new Attributes(message.payload, 16);
  return {
    index: view.getInt32(4, true),
    name: attributes.string(IFLA_IFNAME) ?? "",
    flags: view.getUint32(8, true),
    mtu: attributes.u32(IFLA_MTU) ?? 0,
    mac: formatMac(attributes.bytes(IFLA_ADDRESS) ?? new Uint8Array()),
    master: attributes.u32(IFLA_MASTER) ?? 0,
    peer: attributes.u32(IFLA_LINK) ?? 0,
    kind: attributes.nested(IFLA_LINKINFO).string(IFLA_INFO_KIND) ?? "",
    alias: attributes.string(IFLA_IFALIAS) ?? "",
  };
}

function parseRoute(message: NetlinkMessage): Route | undefined {
  const [af = 0, prefix = 0, , , shortTable = 0, , , kind = 0] = message.payload;
  if (kind !== RTN_UNICAST) return undefined;
  const attributes = new Attributes(message.payload, 12);
  const destination = attributes.bytes(RTA_DST);
  const gateway = attributes.bytes(RTA_GATEWAY);
  return {
    ...(destination === undefined ? {} : { destination }),
    ...(gateway === undefined ? {} : { gateway }),
    prefix,
    index: attributes.u32(RTA_OIF) ?? 0,
    table: attributes.u32(RTA_TABLE) ?? shortTable,
    family: af === AF_INET6 ? 6 : 4,
  };
}

function parseRule(message: NetlinkMessage): Rule {
  const [af = 0, destinationLength = 0, sourceLength = 0, , shortTable = 0] = message.payload;
  const attributes = new Attributes(message.payload, 12);
  const source = attributes.bytes(FRA_SRC);
  const destination = attributes.bytes(FRA_DST);
  return {
    family: af === AF_INET6 ? 6 : 4,
    priority: attributes.u32(FRA_PRIORITY) ?? 0,
    table: attributes.u32(FRA_TABLE) ?? shortTable,
    ...(source === undefined ? {} : { source: { ip: source, prefix: sourceLength } }),
    ...(destination === undefined ? {} : { destination: { ip: destination, prefix: destinationLength } }),
  };
}

function dumpRequest(name: string, type: number, header: Uint8Array): NetlinkRequest {
  return { name, type, flags: 0, write: (w) => w.header(header) };
}

/** rtnetlink of the network namespace in which it was opened. */
export class RtNetlink extends NetlinkSocket {
  /**
   * @param kernel where to open the socket
   * @param buffer receive buffer that sockets of one thread may share
   */
  constructor(kernel: SocketKernel, buffer?: Uint8Array<ArrayBuffer>) {
    super(kernel, NETLINK_ROUTE, buffer);
  }

  /** The link of a name; undefined when there is none. */
  link(name: string): Link | undefined {
    const message = this.get({
      name: "RTM_GETLINK",
      subject: name,
      type: RTM_GETLINK,
      flags: 0,
      write: (w) => w.header(ifinfomsg(0)).string(IFLA_IFNAME, name).u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS),
    });
    return message === undefined ? undefined : parseLink(message);
  }

  /** All links. */
  links(): Link[] {
    return this.dump(dumpRequest("RTM_GETLINK", RTM_GETLINK, ifinfomsg(0))).map(parseLink);
  }

  /** All addresses, of one link when an index is given. */
  addresses(index?: number): Address[] {
    return this.dump(dumpRequest("RTM_GETADDR", RTM_GETADDR, new Uint8Array(8))).flatMap((message) => {
      const attributes = new Attributes(message.payload, 8);
      const ip = attributes.bytes(IFA_LOCAL) ?? attributes.bytes(IFA_ADDRESS);
      const at = new DataView(message.payload.buffer).getUint32(4, true);
      if (ip === undefined || (index !== undefined && at !== index)) return [];
      return [{ index: at, ip, prefix: message.payload[1] ?? 0 }];
    });
  }

  /** Unicast routes of every table. */
  routes(): Route[] {
    const messages = this.dump(dumpRequest("RTM_GETROUTE", RTM_GETROUTE, new Uint8Array(12)));
    return messages.map(parseRoute).filter((r) => r !== undefined);
  }

  /** Policy rules. */
  rules(): Rule[] {
    return this.dump(dumpRequest("RTM_GETRULE", RTM_GETRULE, new Uint8Array(12))).map(parseRule);
  }

  /** Neighbours, of one link when an index is given. */
  neighbours(index?: number): Neighbour[] {
    return this.dump(dumpRequest("RTM_GETNEIGH", RTM_GETNEIGH, new Uint8Array(12))).flatMap((message) => {
      const attributes = new Attributes(message.payload, 12);
      const ip = attributes.bytes(NDA_DST);
      const at = new DataView(message.payload.buffer).getInt32(4, true);
      if (ip === undefined || (index !== undefined && at !== index)) return [];
      return [{ index: at, ip, mac: formatMac(attributes.bytes(NDA_LLADDR) ?? new Uint8Array()) }];
    });
  }
}
