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

/** A checked network; it has addresses of one family at least. */
export interface Network {
  name: string;
  driver: "bridge" | "macvlan" | "ipvlan";
  /** Empty for a network that shares an interface of the host. */
  bridge: string;
  /** That interface. */
  parent?: string;
  mode?: string;
  v4?: Subnet;
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

/** One family of a definition; undefined when the network has none of it. */
function parseFamily(
  field: string,
  { subnet, gateway, range }: { subnet?: string | undefined; gateway?: string | undefined; range?: string | undefined },
  length: 4 | 16,
): Subnet | undefined {
  if (subnet === undefined) return undefined;
  if (gateway === undefined) {
    throw invalid(field.replace("subnet", "gateway"), "", `a network with ${field} ${subnet} needs one`);
  }
  const parsed = parseSubnet(field, subnet, gateway, length);
  return range === undefined ? parsed : { ...parsed, range: parseRange("ip range", range, parsed) };
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
  if (!OBJECT_NAME.test(name)) throw invalid("network name", name, "use letters, digits and _.- (128 at most)");
  const network: Network = { name, ...parsePlace(definition), internal };
  const v4 = parseFamily("subnet", { subnet, gateway, range: definition.ipRange }, 4);
  const v6 = parseFamily("subnet6", { subnet: subnet6, gateway: gateway6, range: definition.ipRange6 }, 16);
  if (v4 === undefined && v6 === undefined) {
    throw invalid("subnet", "", "a network has one of IPv4, of IPv6, or of both");
  }
  if (v4 !== undefined) network.v4 = v4;
  if (v6 !== undefined) network.v6 = v6;
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
  return [network.v4, network.v6].filter((s) => s !== undefined);
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

/**
 * The hardware address that goes with an IP address: locally administered, so the same address never changes its MAC. One of IPv6
 * is folded into 40 bits in such a way that no two addresses of a block that differ in their last five bytes alone have the same.
 */
export function macOf(ip: IpBytes): Uint8Array<ArrayBuffer> {
  if (ip.length === 4) return Uint8Array.of(0x02, 0x6e, ...ip);
  let hash = 0xcbf29ce484222325n;
  for (const byte of ip.subarray(0, 11)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  const low = ip.subarray(11);
  return Uint8Array.of(0x06, ...low.map((byte, i) => byte ^ Number((hash >> BigInt(8 * i)) & 0xffn)));
}

/** The hardware address of a network's bridge, which goes with its gateway. */
export function bridgeMac(network: Network): Uint8Array<ArrayBuffer> {
  return macOf((subnets(network)[0] as Subnet).gateway);
}

/** Text of a subnet's gateway. */
export function gatewayText(subnet: Subnet): string {
  return formatIp(subnet.gateway);
}
