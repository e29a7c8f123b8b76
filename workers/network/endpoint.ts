/** One container's connection to one bridge: a veth pair, its addresses and its default route. */

import { NyxError } from "../../daemon/spec/errors.ts";
import { isErrno } from "../../ffi/errno.ts";
import { formatMac, tryParseIp, tryParseMac } from "../../ffi/ip_address.ts";
import type { NamespaceKernel } from "../../ffi/namespace.ts";
import {
  addAddress,
  addRoute,
  deleteLink,
  deleteNeighbour,
  newVeth,
  setLink,
  setPort,
} from "../../ffi/netlink/requests.ts";
import type { Link, RtNetlink } from "../../ffi/netlink/rtnetlink.ts";
import type { NetlinkRequest } from "../../ffi/netlink/socket.ts";
import type { NetworkEndpoint } from "../protocol.ts";
import { gatewayText, isDirect, isRouted, macOf, type Network } from "./definition.ts";
import type { Lease } from "./leases.ts";
import type { Netns } from "./pool.ts";
import { makeSubLink } from "./sublink.ts";

/** Digits of a container id in the name of its host-side interface. */
const ID_DIGITS = 10;
const GENERATIONS = 36 * 36;

/** What host-side interfaces of a container are called up to the index and generation: `ny`, ten digits of the id. */
export function hostNamePrefix(id: string): string {
  return `ny${id.slice(0, ID_DIGITS)}`;
}

/** Whether an interface name is one of {@linkcode hostNamePrefix}'s. */
export function isHostName(name: string): boolean {
  return /^ny[0-9a-f]{10}[0-9a-z]{3}$/.test(name);
}

/** One connection as it is to be. */
export interface EndpointPlan {
  network: Network;
  /** Bridge, or shared interface. */
  bridgeIndex: number;
  /** ipvlan: hardware address of the shared interface, which is the container's as well. */
  parentMac?: string;
  lease: Lease;
  /** Interface name inside. */
  name: string;
  /** Position among the container's networks, 0..35. */
  position: number;
  /** Whether the container's default route of IPv4 leads here, and that of IPv6. */
  route4: boolean;
  route6: boolean;
}

/** The endpoint as the protocol tells it. */
export function describeEndpoint({ network, lease, name, parentMac }: EndpointPlan): NetworkEndpoint {
  const { v4, v6, driver } = network;
  return {
    network: network.name,
    interface: name,
    ...(lease.ip === undefined || v4 === undefined
      ? {}
      : { ip: lease.ip, prefix: v4.block.prefix, gateway: gatewayText(v4) }),
    mac: driver === "ipvlan" ? parentMac ?? lease.mac : lease.mac,
    ...(isDirect(network) ? { foreign: true } : {}),
    ...(lease.ip6 === undefined || v6 === undefined
      ? {}
      : { ip6: lease.ip6, prefix6: v6.block.prefix, gateway6: gatewayText(v6) }),
  };
}

function hostName(id: string, position: number, generation: number): string {
  return `${hostNamePrefix(id)}${position.toString(36)}${generation.toString(36).padStart(2, "0")}`;
}

/**
 * Makes the pair. The kernel takes an interface of a namespace that is going away down some 20 ms later, so a container that
 * starts again at once finds the old name taken: then the next generation of the name is used.
 */
function makeVeth(home: RtNetlink, id: string, plan: EndpointPlan, netns: Netns): string {
  const { network, bridgeIndex, lease, name, position } = plan;
  const mac = tryParseMac(lease.mac);
  for (let generation = 0; generation < GENERATIONS; generation++) {
    const near = hostName(id, position, generation);
    try {
      home.run(newVeth({
        name: near,
        master: bridgeIndex,
        ...(network.mtu === undefined ? {} : { mtu: network.mtu }),
        peer: { name, netnsFd: netns.fd, ...(mac === undefined ? {} : { mac }) },
      }));
      return near;
    } catch (e) {
      if (!isErrno(e, "EEXIST") || netns.rt.link(name) !== undefined) throw e;
    }
  }
  throw new NyxError("resource_exhausted", `Could not name an interface for container ${id}: all names are taken`);
}

function required(link: Link | undefined, name: string): Link {
  if (link === undefined) throw new NyxError("unavailable", `Interface ${name} went away while it was set up`);
  return link;
}

function enableIpv6(ns: NamespaceKernel, netns: Netns, name: string): void {
  ns.withNetns(netns.fd, () => ns.writeKernelFile(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, "0"));
}

/** What makes the inner interface usable: up, addresses, default routes. */
function addressRequests(plan: EndpointPlan, index: number): NetlinkRequest[] {
  const { network: { v4, v6 }, lease } = plan;
  const requests: NetlinkRequest[] = [setLink(index, { up: true })];
  const add = (text: string | undefined, subnet: typeof v4, defaultRoute: boolean) => {
    const ip = text === undefined ? undefined : tryParseIp(text);
    if (ip === undefined || subnet === undefined) return;
    requests.push(addAddress(index, ip, subnet.block.prefix));
    if (!defaultRoute || plan.network.internal) return;
    const family = ip.length === 4 ? 4 : 6;
    requests.push(addRoute(isRouted(plan.network) ? { index, family } : { gateway: subnet.gateway, index }));
  };
  add(lease.ip, v4, plan.route4);
  add(lease.ip6, v6, plan.route6);
  return requests;
}

/**
 * A connection to the host's LAN. Neighbours are told at once who has the address now: another container, or host, may have had it.
 */
function ensureDirect(ns: NamespaceKernel, home: RtNetlink, plan: EndpointPlan, netns: Netns): number {
  const { network, lease, name } = plan;
  if (netns.rt.link(name) === undefined) {
    makeSubLink(home, { network, lease, name, netns });
    ns.withNetns(netns.fd, () => {
      ns.writeKernelFile(`/proc/sys/net/ipv4/conf/${name}/arp_notify`, "1");
      if (lease.ip6 !== undefined) ns.writeKernelFile(`/proc/sys/net/ipv6/conf/${name}/ndisc_notify`, "1");
    });
  }
  if (lease.ip6 !== undefined) enableIpv6(ns, netns, name);
  netns.rt.run(...addressRequests(plan, required(netns.rt.link(name), name).index));
  return 0;
}

/**
 * Makes the connection, or completes one that is half there or lost its bridge. Idempotent.
 *
 * @returns index of the host-side interface; 0 where there is none
 */
export function ensureEndpoint(
  ns: NamespaceKernel,
  home: RtNetlink,
  id: string,
  plan: EndpointPlan,
  netns: Netns,
): number {
  if (isDirect(plan.network)) return ensureDirect(ns, home, plan, netns);
  let inside = netns.rt.link(plan.name);
  let near: Link;
  if (inside === undefined) {
    const name = makeVeth(home, id, plan, netns);
    near = required(home.link(name), name);
    inside = required(netns.rt.link(plan.name), plan.name);
  } else {
    const { peer } = inside;
    near = required(home.links().find((l) => l.index === peer && l.kind === "veth"), `index ${peer}`);
    if (near.master !== plan.bridgeIndex) home.run(setLink(near.index, { master: plan.bridgeIndex, up: true }));
  }
  home.run(setPort(near.index, { hairpin: true }));
  if (plan.lease.ip6 !== undefined) enableIpv6(ns, netns, plan.name);
  netns.rt.run(...addressRequests(plan, inside.index));
  if (hasOwnMac(plan.lease)) forgetNeighbour(home, plan.bridgeIndex, plan.lease);
  return near.index;
}

/** Whether an interface inside a container is one that a connection is made of. */
export function isOwnKind({ kind }: Link): boolean {
  return kind === "veth" || kind === "macvlan" || kind === "ipvlan";
}

/** Whether a lease's hardware address is not the one that always goes with its IP address. */
export function hasOwnMac({ ip, ip6, mac }: Lease): boolean {
  const bytes = tryParseIp(ip ?? ip6 ?? "");
  return bytes === undefined || formatMac(macOf(bytes)) !== mac;
}

/** Forgets what the host knew about the addresses; needed around leases with a hardware address of their own. */
export function forgetNeighbour(home: RtNetlink, bridgeIndex: number, lease: Lease): void {
  for (const text of [lease.ip, lease.ip6]) {
    const ip = text === undefined ? undefined : tryParseIp(text);
    if (ip === undefined) continue;
    try {
      home.run(deleteNeighbour(bridgeIndex, ip));
    } catch (e) {
      if (!isErrno(e, "ENOENT")) throw e;
    }
  }
}

/** Cuts a host-side interface off its bridge at once; the kernel removes it when its namespace goes. Missing is no error. */
export function silencePort(home: RtNetlink, index: number): void {
  if (index === 0) return;
  try {
    home.run(setPort(index, { forwarding: false }));
  } catch (e) {
    if (!isErrno(e, "ENODEV", "EINVAL", "ENETDOWN", "EOPNOTSUPP")) throw e;
  }
}

/** Deletes a link and waits for it. Missing is no error. */
export function removeLink(home: RtNetlink, index: number): void {
  try {
    home.run(deleteLink(index));
  } catch (e) {
    if (!isErrno(e, "ENODEV")) throw e;
  }
}
