/**
 * rtnetlink: links, bridge ports, addresses, routes, rules and neighbours of one network namespace (rtnetlink(7),
 * linux/if_link.h, linux/rtnetlink.h, linux/fib_rules.h, linux/neighbour.h).
 */

import { formatIp, formatMac, type IpBytes } from "../ip_address.ts";
import { AF_BRIDGE, AF_INET, AF_INET6, type SocketKernel } from "../socket.ts";
import { Attributes, type NetlinkMessage, NetlinkWriter, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from "./codec.ts";
import { NETLINK_ROUTE, type NetlinkRequest, NetlinkSocket } from "./socket.ts";

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_SETLINK = 19;
const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
const RTM_DELNEIGH = 29;
const RTM_GETNEIGH = 30;
const RTM_GETRULE = 34;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_PROTINFO = 12;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_NET_NS_FD = 28;
const IFLA_EXT_MASK = 29;
const RTEXT_FILTER_SKIP_STATS = 8;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const IFLA_BRPORT_STATE = 1;
const IFLA_BRPORT_MODE = 4;
const IFLA_BRPORT_ISOLATED = 33;
const BR_STATE_DISABLED = 0;
const BR_STATE_FORWARDING = 3;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;
const IFA_FLAGS = 8;
const IFA_F_NODAD = 0x02;

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_TABLE = 15;
const RT_TABLE_MAIN = 254;
const RTPROT_BOOT = 3;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RTN_UNICAST = 1;

const FRA_DST = 1;
const FRA_SRC = 2;
const FRA_PRIORITY = 6;
const FRA_TABLE = 15;
const NDA_DST = 1;
const NDA_LLADDR = 2;

/** Interface flag: administratively up. */
export const IFF_UP = 1;

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

/** An address of an interface. */
export interface Address {
  index: number;
  ip: IpBytes;
  prefix: number;
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

/** A veth pair made in one request. */
export interface VethSpec {
  /** Name of the end that stays. */
  name: string;
  /** Bridge index. */
  master: number;
  mtu?: number;
  peer: {
    name: string;
    mac?: Uint8Array;
    /** Network namespace the peer is made in. */
    netnsFd: number;
  };
}

/** What to change of a link; missing fields stay. */
export interface LinkChange {
  up?: boolean;
  name?: string;
  mtu?: number;
  /** 0 takes it out of its bridge. */
  master?: number;
  alias?: string;
  mac?: Uint8Array;
}

/** What to change of a bridge port. */
export interface PortChange {
  /** Frames may go back out of the port they came in by. */
  hairpin?: boolean;
  /** Isolated ports reach only ports that are not. */
  isolated?: boolean;
  /** Whether the port forwards at all. */
  forwarding?: boolean;
}

function family(ip: IpBytes): number {
  return ip.length === 4 ? AF_INET : AF_INET6;
}

function ifinfomsg(index: number, flags = 0, change = 0, af = 0): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, af);
  view.setInt32(4, index, true);
  view.setUint32(8, flags, true);
  view.setUint32(12, change, true);
  return bytes;
}

function ifaddrmsg(ip: IpBytes, prefix: number, index: number): Uint8Array {
  const bytes = new Uint8Array(8);
  bytes[0] = family(ip);
  bytes[1] = prefix;
  new DataView(bytes.buffer).setUint32(4, index, true);
  return bytes;
}

function rtmsg(af: number, prefix: number, scope: number): Uint8Array {
  return Uint8Array.of(af, prefix, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, 0, 0, 0, 0);
}

function broadcast(ip: IpBytes, prefix: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(4));
  const address = new DataView(ip.buffer, ip.byteOffset).getUint32(0);
  view.setUint32(0, (address | (0xffffffff >>> prefix)) >>> 0);
  return new Uint8Array(view.buffer);
}

/** Request: make a bridge, up, with a fixed address so that it does not follow its ports. EEXIST when the name is taken. */
export function newBridge(name: string, options: { mac: Uint8Array; mtu?: number }): NetlinkRequest {
  return {
    name: "RTM_NEWLINK",
    subject: name,
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    write: (w) => {
      w.header(ifinfomsg(0, IFF_UP, IFF_UP)).string(IFLA_IFNAME, name).bytes(IFLA_ADDRESS, options.mac);
      if (options.mtu !== undefined) w.u32(IFLA_MTU, options.mtu);
      w.nest(IFLA_LINKINFO, () => w.string(IFLA_INFO_KIND, "bridge"));
    },
  };
}

/** Request: make a veth pair, near end up and on its bridge, far end (not up yet) in the other namespace. EEXIST: a name is taken. */
export function newVeth(spec: VethSpec): NetlinkRequest {
  const { name, master, mtu, peer } = spec;
  return {
    name: "RTM_NEWLINK",
    subject: name,
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    write: (w: NetlinkWriter) => {
      w.header(ifinfomsg(0, IFF_UP, IFF_UP)).string(IFLA_IFNAME, name).u32(IFLA_MASTER, master);
      if (mtu !== undefined) w.u32(IFLA_MTU, mtu);
      w.nest(IFLA_LINKINFO, () => {
        w.string(IFLA_INFO_KIND, "veth");
        w.nest(IFLA_INFO_DATA, () =>
          w.nest(VETH_INFO_PEER, () => {
            w.header(ifinfomsg(0)).string(IFLA_IFNAME, peer.name).u32(IFLA_NET_NS_FD, peer.netnsFd);
            if (peer.mac !== undefined) w.bytes(IFLA_ADDRESS, peer.mac);
            if (mtu !== undefined) w.u32(IFLA_MTU, mtu);
          }));
      });
    },
  };
}

/** Request: change a link by index. */
export function setLink(index: number, change: LinkChange): NetlinkRequest {
  return {
    name: "RTM_SETLINK",
    subject: `index ${index}`,
    type: RTM_SETLINK,
    flags: 0,
    write: (w) => {
      w.header(ifinfomsg(index, change.up ? IFF_UP : 0, change.up === undefined ? 0 : IFF_UP));
      if (change.name !== undefined) w.string(IFLA_IFNAME, change.name);
      if (change.mtu !== undefined) w.u32(IFLA_MTU, change.mtu);
      if (change.master !== undefined) w.u32(IFLA_MASTER, change.master);
      if (change.mac !== undefined) w.bytes(IFLA_ADDRESS, change.mac);
      if (change.alias !== undefined) w.string(IFLA_IFALIAS, change.alias);
    },
  };
}

/** Request: change a bridge port by the index of the link. Takes effect at once, without the wait that taking a link down has. */
export function setPort(index: number, change: PortChange): NetlinkRequest {
  return {
    name: "RTM_SETLINK",
    subject: `bridge port ${index}`,
    type: RTM_SETLINK,
    flags: 0,
    write: (w) => {
      w.header(ifinfomsg(index, 0, 0, AF_BRIDGE));
      w.nest(IFLA_PROTINFO, () => {
        if (change.hairpin !== undefined) w.u8(IFLA_BRPORT_MODE, change.hairpin ? 1 : 0);
        if (change.isolated !== undefined) w.u8(IFLA_BRPORT_ISOLATED, change.isolated ? 1 : 0);
        if (change.forwarding !== undefined) {
          w.u8(IFLA_BRPORT_STATE, change.forwarding ? BR_STATE_FORWARDING : BR_STATE_DISABLED);
        }
      });
    },
  };
}

/** Request: delete a link. The call blocks for about 30 ms while the kernel waits for its readers. */
export function deleteLink(index: number): NetlinkRequest {
  return {
    name: "RTM_DELLINK",
    subject: `index ${index}`,
    type: RTM_DELLINK,
    flags: 0,
    write: (w) => w.header(ifinfomsg(index)),
  };
}

/** Request: give a link an address; an IPv6 address is usable at once (no duplicate detection). Repeating it is no error. */
export function addAddress(index: number, ip: IpBytes, prefix: number): NetlinkRequest {
  return {
    name: "RTM_NEWADDR",
    subject: `${formatIp(ip)}/${prefix}`,
    type: RTM_NEWADDR,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    write: (w) => {
      w.header(ifaddrmsg(ip, prefix, index)).bytes(IFA_LOCAL, ip).bytes(IFA_ADDRESS, ip);
      if (ip.length === 4 && prefix < 31) w.bytes(IFA_BROADCAST, broadcast(ip, prefix));
      if (ip.length === 16) w.u32(IFA_FLAGS, IFA_F_NODAD);
    },
  };
}

/** Request: take an address away. EADDRNOTAVAIL when it is not there. */
export function deleteAddress({ index, ip, prefix }: Address): NetlinkRequest {
  return {
    name: "RTM_DELADDR",
    subject: `${formatIp(ip)}/${prefix}`,
    type: RTM_DELADDR,
    flags: 0,
    write: (w) => w.header(ifaddrmsg(ip, prefix, index)).bytes(IFA_LOCAL, ip).bytes(IFA_ADDRESS, ip),
  };
}

/** Where a route leads. */
export interface RouteSpec {
  /** Missing for the default route. */
  destination?: { ip: IpBytes; prefix: number };
  gateway?: IpBytes;
  index: number;
  /** Needed when neither destination nor gateway is given. */
  family?: 4 | 6;
  metric?: number;
}

function routeRequest(name: string, type: number, flags: number, spec: RouteSpec): NetlinkRequest {
  const { destination, gateway, index, metric } = spec;
  const sample = gateway ?? destination?.ip;
  const af = sample === undefined ? (spec.family === 6 ? AF_INET6 : AF_INET) : family(sample);
  return {
    name,
    subject: destination === undefined ? "default" : `${formatIp(destination.ip)}/${destination.prefix}`,
    type,
    flags,
    write: (w) => {
      w.header(rtmsg(af, destination?.prefix ?? 0, gateway === undefined ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE));
      if (destination !== undefined) w.bytes(RTA_DST, destination.ip);
      if (gateway !== undefined) w.bytes(RTA_GATEWAY, gateway);
      w.u32(RTA_OIF, index);
      if (metric !== undefined) w.u32(RTA_PRIORITY, metric);
    },
  };
}

/** Request: add or replace a route in the main table. ENETUNREACH when the gateway is on no link. */
export function addRoute(spec: RouteSpec): NetlinkRequest {
  return routeRequest("RTM_NEWROUTE", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, spec);
}

/** Request: take a route away. ESRCH when it is not there. */
export function deleteRoute(spec: RouteSpec): NetlinkRequest {
  return routeRequest("RTM_DELROUTE", RTM_DELROUTE, 0, spec);
}

/** Request: forget a neighbour. ENOENT when it is not known. */
export function deleteNeighbour(index: number, ip: IpBytes): NetlinkRequest {
  return {
    name: "RTM_DELNEIGH",
    subject: formatIp(ip),
    type: RTM_DELNEIGH,
    flags: 0,
    write: (w) => {
      const ndmsg = new Uint8Array(12);
      ndmsg[0] = family(ip);
      new DataView(ndmsg.buffer).setInt32(4, index, true);
      w.header(ndmsg).bytes(NDA_DST, ip);
    },
  };
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
