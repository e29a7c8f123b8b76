/** Configuration lists for networks that nyx makes itself: bridge, ptp or macvlan, with addresses from host-local. Pure. */

import type { NETWORK_DRIVERS } from "../../daemon/spec/network.ts";
import { cidrBounds, formatIp, ipToNumber, numberToIp } from "../../ffi/ip_address.ts";
import { type Network, type Subnet, subnets } from "../network/definition.ts";
import type { CniVersion, ConfigList, PluginConfig } from "./conflist.ts";

/** A driver of networks that nyx makes. */
export type CniDriver = (typeof NETWORK_DRIVERS.cni)[number];

/** What a list is made of. */
export interface Recipe {
  driver: CniDriver;
  network: Network;
  /** macvlan: interface of the host. */
  parent?: string;
  /** macvlan: how containers share it; default bridge. */
  mode?: string;
  /** Directory of host-local's leases. */
  leaseDir: string;
  version: CniVersion;
}

/** Programs that lists of a driver run. */
export function pluginsOf(driver: CniDriver): string[] {
  return driver === "macvlan"
    ? ["macvlan", "host-local", "tuning"]
    : [driver, "host-local", "portmap", "firewall", "tuning"];
}

/** Parts of a subnet that addresses are given out from: without its ends, and around addresses that others have. */
function rangesOf({ block, gateway, range = block, reserved }: Subnet): Record<string, string>[] {
  const { length } = block.address;
  const base = { subnet: `${formatIp(block.address)}/${block.prefix}`, gateway: formatIp(gateway) };
  if (range === block && reserved.length === 0) return [base];
  const whole = cidrBounds(block);
  const { first, last } = cidrBounds(range);
  const end = last === whole.last ? last - 1n : last;
  let start = first === whole.first ? first + 1n : first;
  const parts: Record<string, string>[] = [];
  const add = (from: bigint, to: bigint) => {
    if (from > to) return;
    parts.push({ ...base, rangeStart: formatIp(numberToIp(from, length)), rangeEnd: formatIp(numberToIp(to, length)) });
  };
  for (const taken of reserved.map(ipToNumber).filter((n) => n >= start && n <= end).sort((a, b) => a < b ? -1 : 1)) {
    add(start, taken - 1n);
    start = taken + 1n;
  }
  add(start, end);
  return parts;
}

function ipam({ network, leaseDir }: Recipe, routed: boolean): Record<string, unknown> {
  const all = subnets(network);
  return {
    type: "host-local",
    dataDir: leaseDir,
    ranges: all.map(rangesOf),
    routes: routed ? all.map(({ gateway }) => ({ dst: gateway.length === 4 ? "0.0.0.0/0" : "::/0" })) : [],
  };
}

function link(recipe: Recipe, routed: boolean): PluginConfig {
  const { driver, network, parent = "", mode = "bridge" } = recipe;
  const common = {
    ...(network.mtu === undefined ? {} : { mtu: network.mtu }),
    capabilities: { ips: true, mac: true },
    ipam: ipam(recipe, routed),
  };
  switch (driver) {
    case "bridge":
      // nyx's own table masquerades for its bridges, and keeps networks apart.
      return { type: "bridge", bridge: network.bridge, isGateway: true, ipMasq: false, hairpinMode: true, ...common };
    case "ptp":
      return { type: "ptp", ipMasq: true, ...common, capabilities: { ips: true } };
    case "macvlan":
      return { type: "macvlan", master: parent, mode, ...common };
  }
}

/** What a list depends on beside its network. */
export interface Place {
  /** The interface inside, whose sysctls tuning sets. */
  ifname: string;
  /** Whether the container's default route leads here. */
  gateway: boolean;
  /** Whether ports are published; portmap has nothing to do without. */
  ports: boolean;
}

/** The list of a network for one container's attachment. */
export function generate(recipe: Recipe, { ifname, gateway, ports }: Place): ConfigList {
  const { driver, network, version } = recipe;
  const routed = gateway && !network.internal;
  const tuning = { type: "tuning", sysctl: { [`net.ipv4.conf.${ifname}.accept_redirects`]: "0" } };
  const filters: PluginConfig[] = driver === "macvlan" ? [] : [
    ...(routed && ports ? [{ type: "portmap", snat: true, capabilities: { portMappings: true } }] : []),
    ...(network.internal ? [] : [{ type: "firewall" }]),
  ];
  return {
    name: network.name,
    cniVersion: version,
    disableCheck: false,
    disableGC: false,
    plugins: [link(recipe, routed), ...filters, tuning],
  };
}
