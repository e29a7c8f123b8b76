/**
 * The one nftables table of a daemon, as text. Rules are fixed; what changes is in sets and maps: bridges, subnets and
 * published ports, so that publishing a port is one element and not a rule.
 *
 * Policy, in the order a packet meets it:
 * - A packet to 127.0.0.0/8 that did not come from loopback is dropped before anything can translate it: a port published on
 *   127.0.0.1 is out of reach for a neighbour that routes 127.0.0.1 here, and so are the host's own loopback services for a
 *   container (whose bridge needs route_localnet for answers).
 * - A published port is translated only when the destination is an address of this host (`fib daddr type local`).
 * - Into a bridge goes what answers, what was published, and what comes from the same bridge; nothing else, so a neighbour
 *   with a route to the subnet reaches no unpublished port, and networks are isolated from one another.
 * - Out of a bridge goes everything, from the bridge's network only with masquerade. Internal networks have no way out or in: not
 *   to a published port of another network either.
 */

import { formatCidr, formatIp, tryParseIp } from "../../ffi/ip_address.ts";
import type { PortMapping } from "../../daemon/spec/container.ts";
import type { MapElements } from "../../ffi/nftables/nft.ts";
import type { Network } from "./definition.ts";

/** A published port with everything filled in. */
export type PublishedPort = Required<PortMapping>;

/** Addresses that published ports of a container lead to: one family at least. */
export interface PortTarget {
  ip?: string;
  ip6?: string;
}

/** Name of the table of a daemon whose first network has this bridge; two daemons have different bridges. */
export function tableName(bridge: string): string {
  return `nyx_${bridge}`;
}

/** Whether a host address means all addresses of its family. */
export function isAnyAddress(hostIp: string): boolean {
  return hostIp === "0.0.0.0" || hostIp === "::";
}

/**
 * Map elements of one published port: an element for each port, or one interval when the container's ports are the same
 * numbers. Empty when the target has no address of the port's family.
 */
export function portElements(port: PublishedPort, target: PortTarget): MapElements {
  const six = port.hostIp.includes(":");
  const version = six ? "6" : "4";
  const to = six ? target.ip6 : target.ip;
  const elements: MapElements = new Map();
  if (to === undefined) return elements;
  const any = isAnyAddress(port.hostIp);
  if (port.count > 1 && port.hostPort === port.containerPort) {
    const from = any ? `${port.hostIp}/0` : port.hostIp;
    const range = `${port.hostPort}-${port.hostPort + port.count - 1}`;
    elements.set(`range${version}`, [[`${from} . ${port.protocol} . ${range}`, to]]);
    return elements;
  }
  const rows: [string, string][] = [];
  for (let i = 0; i < port.count; i++) {
    const key = `${port.protocol} . ${port.hostPort + i}`;
    rows.push([any ? key : `${port.hostIp} . ${key}`, `${to} . ${port.containerPort + i}`]);
  }
  elements.set(`${any ? "any" : "addr"}${version}`, rows);
  return elements;
}

/** Elements of several ports together. */
export function allElements(ports: readonly PublishedPort[], target: PortTarget): MapElements {
  return mergeElements(ports.map((port) => portElements(port, target)));
}

/** Elements of several lots together; those given are not touched. */
export function mergeElements(lots: readonly MapElements[]): MapElements {
  const all: MapElements = new Map();
  for (const lot of lots) {
    for (const [map, rows] of lot) {
      const known = all.get(map) ?? [];
      all.set(map, known);
      for (const row of rows) known.push(row);
    }
  }
  return all;
}

/** What must be deleted, and then added, to get from one lot of elements to another. */
export function differences(before: MapElements, now: MapElements): { remove: MapElements; add: MapElements } {
  const without = (lot: MapElements, other: MapElements): MapElements =>
    new Map(
      [...lot].map(([map, rows]): [string, [string, string][]] => {
        const there = new Map(other.get(map));
        return [map, rows.filter(([key, data]) => there.get(key) !== data)];
      }).filter(([, rows]) => rows.length > 0),
    );
  return { remove: without(before, now), add: without(now, before) };
}

function elementsOf(rows: string[]): string {
  return rows.length === 0 ? "" : `elements = { ${rows.join(", ")} }`;
}

function mapText(name: string, type: string, flags: string, elements: MapElements): string {
  const rows = (elements.get(name) ?? []).map(([k, v]) => `${k} : ${v}`);
  return `map ${name} { type ${type}; ${flags} ${elementsOf(rows)}
  }`;
}

/**
 * The rules, which never change. The resolver on a gateway stays reachable for containers whatever container publishes the
 * DNS port; what the host sends to itself keeps its source address.
 */
const CHAINS = `
  chain publish {
    dnat ip to ip daddr . meta l4proto . th dport map @addr4
    dnat ip to meta l4proto . th dport map @any4
    dnat ip to ip daddr . meta l4proto . th dport map @range4
    ip6 daddr ::1 return
    dnat ip6 to ip6 daddr . meta l4proto . th dport map @addr6
    dnat ip6 to meta l4proto . th dport map @any6
    dnat ip6 to ip6 daddr . meta l4proto . th dport map @range6
  }
  chain early {
    type filter hook prerouting priority raw; policy accept;
    iifname != "lo" ip daddr 127.0.0.0/8 drop
    iifname @bridges ip saddr 127.0.0.0/8 drop
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    iifname @bridges ip daddr @subnets4 meta l4proto { tcp, udp } th dport 53 return
    iifname @bridges ip6 daddr @subnets6 meta l4proto { tcp, udp } th dport 53 return
    fib daddr type local jump publish
  }
  chain output {
    type nat hook output priority -100; policy accept;
    fib daddr type local jump publish
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname . oifname @same accept
    iifname @internal drop
    oifname @internal drop
    oifname @bridges ct state established,related accept
    oifname @bridges ct status dnat accept
    oifname @bridges drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "lo" return
    ip saddr @subnets4 oifname != @bridges masquerade
    ip6 saddr @subnets6 oifname != @bridges masquerade
    oifname @bridges ip saddr 127.0.0.0/8 masquerade
    oifname @bridges ip saddr @subnets4 ct status dnat masquerade
    oifname @bridges ip6 saddr @subnets6 ct status dnat masquerade
  }`;

/** The whole table; it replaces the one that was there in one transaction, so nothing is open or lost in between. */
export function renderTable(table: string, all: readonly Network[], elements: MapElements): string {
  // What shares an interface of the host is the LAN's: its packets do not pass here.
  const networks = all.filter((n) => n.bridge !== "");
  const names = networks.map((n) => `"${n.bridge}"`);
  const blocks = (family: "v4" | "v6") => networks.flatMap((n) => n[family] ?? []).map((s) => formatCidr(s.block));
  return `table inet ${table}
delete table inet ${table}
table inet ${table} {
  set bridges { type ifname; ${elementsOf(names)}
  }
  set same { type ifname . ifname; ${elementsOf(names.map((n) => `${n} . ${n}`))}
  }
  set internal { type ifname; ${elementsOf(networks.filter((n) => n.internal).map((n) => `"${n.bridge}"`))}
  }
  set subnets4 { type ipv4_addr; flags interval; ${elementsOf(blocks("v4"))}
  }
  set subnets6 { type ipv6_addr; flags interval; ${elementsOf(blocks("v6"))}
  }
  ${mapText("addr4", "ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service", "", elements)}
  ${mapText("any4", "inet_proto . inet_service : ipv4_addr . inet_service", "", elements)}
  ${mapText("range4", "ipv4_addr . inet_proto . inet_service : ipv4_addr", "flags interval;", elements)}
  ${mapText("addr6", "ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service", "", elements)}
  ${mapText("any6", "inet_proto . inet_service : ipv6_addr . inet_service", "", elements)}
  ${mapText("range6", "ipv6_addr . inet_proto . inet_service : ipv6_addr", "flags interval;", elements)}
${CHAINS}
}
`;
}

/** Canonical text of an address, for comparison; the text itself when it is none. */
export function canonicalIp(text: string): string {
  const bytes = tryParseIp(text);
  return bytes === undefined ? text : formatIp(bytes);
}
