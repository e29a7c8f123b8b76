/** Networks as the worker keeps them: a definition that was checked, with its blocks as bytes. */

import { invalid } from "../../daemon/spec/errors.ts";
import { OBJECT_NAME } from "../../daemon/spec/container.ts";
import {
  type Cidr,
  cidrBounds,
  cidrContains,
  cidrOverlaps,
  formatCidr,
  formatIp,
  type IpBytes,
  ipToNumber,
  tryParseCidr,
  tryParseIp,
} from "../../ffi/ip_address.ts";
import type { NetworkDefinition } from "../protocol.ts";

/** One address family of a network. */
export interface Subnet {
  block: Cidr;
  gateway: IpBytes;
  /** Where free addresses are taken from; missing means the whole block. */
  range?: Cidr;
  /** Never given out. */
  reserved: IpBytes[];
}

/** A checked network. */
export interface Network {
  name: string;
  driver: "bridge" | "macvlan" | "ipvlan";
  /** Empty for a network that shares an interface of the host. */
  bridge: string;
  /** That interface. */
  parent?: string;
  mode?: string;
  v4: Subnet;
  v6?: Subnet;
  /** No way in or out but the bridge itself. */
  internal: boolean;
  mtu?: number;
}

/** Modes of drivers that share an interface, as the kernel numbers them; the first is the default. */
export const MODES = {
  macvlan: { bridge: 4, private: 1, vepa: 2, passthru: 8 },
  ipvlan: { l2: 0, l3: 1, l3s: 2 },
} as const;

/** Whether containers of a network share an interface of the host, instead of being behind a bridge. */
export function isDirect({ driver }: Pick<Network, "driver">): boolean {
  return driver !== "bridge";
}

/** Whether a network's default route has no gateway: ipvlan in layer 3, where the host's interface routes. */
export function isRouted({ driver, mode }: Network): boolean {
  return driver === "ipvlan" && mode !== undefined && mode !== "l2";
}

/** The kernel's number of a direct network's mode. */
export function modeNumber({ driver, mode }: Network): number {
  if (driver === "bridge") return 0;
  const modes: Readonly<Record<string, number>> = MODES[driver];
  return modes[mode ?? Object.keys(modes)[0] ?? ""] ?? 0;
}

/** Interface names that need no quoting anywhere and fit IFNAMSIZ. */
const INTERFACE_NAME = /^[a-zA-Z][a-zA-Z0-9_.-]{0,14}$/;

/** Blocks that no container may have: this host, loopback, link-local, multicast, reserved. */
const FORBIDDEN = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/8", "fe80::/10", "ff00::/8"]
  .map((text) => tryParseCidr(text) as Cidr);

function parseSubnet(field: string, text: string, gatewayText: string, length: 4 | 16): Subnet {
  const block = tryParseCidr(text);
  const example = length === 4 ? "10.88.0.0/16" : "fd00:88::/64";
  if (block === undefined || block.address.length !== length) {
    throw invalid(field, text, `write an IPv${length === 4 ? 4 : 6} block such as ${example}`);
  }
  const { first, last } = cidrBounds(block);
  if (ipToNumber(block.address) !== first) {
    throw invalid(field, text, `the bits behind the prefix must be zero; write ${formatCidr(block)}`);
  }
  const [least, most] = length === 4 ? [8, 29] : [32, 120];
  if (block.prefix < least || block.prefix > most) {
    throw invalid(field, text, `the prefix length must be ${least} to ${most}`);
  }
  const forbidden = FORBIDDEN.find((f) => cidrOverlaps(f, block));
  if (forbidden !== undefined) {
    throw invalid(field, text, `it overlaps ${formatCidr(forbidden)}, which containers cannot use`);
  }
  const gateway = tryParseIp(gatewayText);
  const number = gateway === undefined ? -1n : ipToNumber(gateway);
  if (gateway === undefined || !cidrContains(block, gateway) || number === first || number === last) {
    throw invalid(field.replace("subnet", "gateway"), gatewayText, `it must be a host address inside ${text}`);
  }
  return { block, gateway, reserved: [] };
}

function parseRange(field: string, text: string, { block }: Subnet): Cidr {
  const range = tryParseCidr(text);
  const inside = range !== undefined && range.address.length === block.address.length &&
    range.prefix >= block.prefix && cidrContains(block, range.address);
  if (!inside) throw invalid(field, text, `it must be a block inside ${formatCidr(block)}`);
  return range;
}

/** Checks a driver and what it needs of the host. */
function parsePlace({ driver, bridge, parent = "", mode }: NetworkDefinition): Pick<
  Network,
  "driver" | "bridge" | "parent" | "mode"
> {
  const rule = "an interface name has 1 to 15 letters, digits and _.- and begins with a letter";
  if (driver === "bridge") {
    if (!INTERFACE_NAME.test(bridge)) throw invalid("bridge", bridge, rule);
    return { driver, bridge };
  }
  if (driver === "ptp") throw invalid("network driver", driver, "the native backend has bridge, macvlan and ipvlan");
  if (!INTERFACE_NAME.test(parent)) throw invalid("option parent", parent, rule);
  if (mode !== undefined && !Object.hasOwn(MODES[driver], mode)) {
    throw invalid(`${driver} mode`, mode, `use ${Object.keys(MODES[driver]).join(", ")}`);
  }
  return { driver, bridge: "", parent, ...(mode === undefined ? {} : { mode }) };
}

function reserveAddress(network: Network, text: string): void {
  const ip = tryParseIp(text);
  const home = subnets(network).find((s) => ip !== undefined && cidrContains(s.block, ip));
  if (ip === undefined || home === undefined) {
    const blocks = subnets(network).map((s) => formatCidr(s.block)).join(" or ");
    throw invalid("auxiliary address", text, `it must be an address in ${blocks}`);
  }
  home.reserved.push(ip);
}

/**
 * Checks a definition.
 *
 * @throws NyxError invalid_argument that names the field and the fix
 */
export function parseNetwork(definition: NetworkDefinition): Network {
  const { name, subnet, gateway, subnet6, gateway6, internal = false, mtu } = definition;
  const { ipRange, ipRange6 } = definition;
  if (!OBJECT_NAME.test(name)) throw invalid("network name", name, "use letters, digits and _.- (128 at most)");
  const place = parsePlace(definition);
  const network: Network = { name, ...place, v4: parseSubnet("subnet", subnet, gateway, 4), internal };
  if (ipRange !== undefined) network.v4.range = parseRange("ip range", ipRange, network.v4);
  if (subnet6 !== undefined) {
    if (gateway6 === undefined) throw invalid("gateway6", "", `a network with subnet6 ${subnet6} needs one`);
    network.v6 = parseSubnet("subnet6", subnet6, gateway6, 16);
    if (ipRange6 !== undefined) network.v6.range = parseRange("ip range", ipRange6, network.v6);
  }
  for (const text of definition.reserved ?? []) reserveAddress(network, text);
  if (mtu !== undefined) {
    const least = subnet6 === undefined ? 576 : 1280;
    if (!Number.isInteger(mtu) || mtu < least || mtu > 65535) throw invalid("mtu", mtu, `use ${least} to 65535`);
    network.mtu = mtu;
  }
  return network;
}

/** Subnets of a network, IPv4 first. */
export function subnets(network: Network): Subnet[] {
  return network.v6 === undefined ? [network.v4] : [network.v4, network.v6];
}

/** An interface is shared in one way. The kernel would have all ipvlan interfaces of a parent follow the mode of the newest. */
function checkParent(network: Network, other: Network): void {
  if (!isDirect(other) || other.parent !== network.parent) return;
  const way = ({ driver, mode = "l2" }: Network) => driver === "ipvlan" ? `ipvlan in mode ${mode}` : driver;
  if (way(other) === way(network)) return;
  throw invalid("option parent", network.parent, `network ${other.name} shares it as ${way(other)}; use that too`);
}

/**
 * Refuses a network that shares a name, a bridge or addresses with another one.
 *
 * @throws NyxError invalid_argument
 */
export function checkDisjoint(network: Network, others: Iterable<Network>): void {
  for (const other of others) {
    if (other.name === network.name) continue;
    checkParent(network, other);
    if (network.bridge !== "" && other.bridge === network.bridge) {
      throw invalid("bridge", network.bridge, `network ${other.name} has it; choose another name`);
    }
    for (const a of subnets(network)) {
      const clash = subnets(other).find((b) => cidrOverlaps(a.block, b.block));
      if (clash !== undefined) {
        throw invalid("subnet", formatCidr(a.block), `it overlaps ${formatCidr(clash.block)} of network ${other.name}`);
      }
    }
  }
}

/** The hardware address that goes with an IPv4 address: locally administered, so the same address never changes its MAC. */
export function macOf(ip: IpBytes): Uint8Array<ArrayBuffer> {
  return Uint8Array.of(0x02, 0x6e, ...ip.subarray(0, 4));
}

/** Text of a subnet's gateway. */
export function gatewayText(subnet: Subnet): string {
  return formatIp(subnet.gateway);
}
