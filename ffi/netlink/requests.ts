/** rtnetlink requests that change something, as values that an RtNetlink runs: many can go in one batch. */

import { formatIp, type IpBytes } from "../ip_address.ts";
import { AF_BRIDGE, AF_INET, AF_INET6 } from "../socket.ts";
import { type NetlinkWriter, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from "./codec.ts";
import {
  BR_STATE_DISABLED,
  BR_STATE_FORWARDING,
  IFA_ADDRESS,
  IFA_BROADCAST,
  IFA_F_NODAD,
  IFA_FLAGS,
  IFA_LOCAL,
  IFF_UP,
  IFLA_ADDRESS,
  IFLA_BRPORT_ISOLATED,
  IFLA_BRPORT_MODE,
  IFLA_BRPORT_STATE,
  IFLA_IFALIAS,
  IFLA_IFNAME,
  IFLA_INFO_DATA,
  IFLA_INFO_KIND,
  IFLA_IPVLAN_MODE,
  IFLA_LINK,
  IFLA_LINKINFO,
  IFLA_MACVLAN_MODE,
  IFLA_MASTER,
  IFLA_MTU,
  IFLA_NET_NS_FD,
  IFLA_PROTINFO,
  NDA_DST,
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_MAIN,
  RTA_DST,
  RTA_GATEWAY,
  RTA_OIF,
  RTA_PRIORITY,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELNEIGH,
  RTM_DELROUTE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWROUTE,
  RTM_SETLINK,
  RTN_UNICAST,
  RTPROT_BOOT,
  VETH_INFO_PEER,
} from "./rtnetlink_constants.ts";
import type { NetlinkRequest } from "./socket.ts";

/** An address of an interface. */
export interface Address {
  index: number;
  ip: IpBytes;
  prefix: number;
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

/** An interface that shares another one. */
export interface SubLinkSpec {
  kind: "macvlan" | "ipvlan";
  name: string;
  /** Index of the shared interface. */
  parent: number;
  /** Network namespace it is made in. */
  netnsFd: number;
  /** MACVLAN_MODE_* or IPVLAN_MODE_*. */
  mode: number;
  mac?: Uint8Array;
  mtu?: number;
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

/** struct ifinfomsg. */
export function ifinfomsg(index: number, flags = 0, change = 0, af = 0): Uint8Array {
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

/** Request: make an interface over another one, in another namespace, not up yet. EOPNOTSUPP: the kernel lacks its kind. */
export function newSubLink({ kind, name, parent, netnsFd, mode, mac, mtu }: SubLinkSpec): NetlinkRequest {
  return {
    name: "RTM_NEWLINK",
    subject: name,
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    write: (w) => {
      w.header(ifinfomsg(0)).string(IFLA_IFNAME, name).u32(IFLA_LINK, parent).u32(IFLA_NET_NS_FD, netnsFd);
      if (mac !== undefined) w.bytes(IFLA_ADDRESS, mac);
      if (mtu !== undefined) w.u32(IFLA_MTU, mtu);
      w.nest(IFLA_LINKINFO, () => {
        w.string(IFLA_INFO_KIND, kind);
        w.nest(IFLA_INFO_DATA, () => {
          if (kind === "macvlan") w.u32(IFLA_MACVLAN_MODE, mode);
          else w.u16(IFLA_IPVLAN_MODE, mode);
        });
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
