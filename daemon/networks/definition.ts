/** From what a user asks for to a network's record, and from there to what the network worker gets. Pure. */

import type { NetworkDefinition } from "../../workers/protocol.ts";
import type { DnsNetwork } from "../dns/zones.ts";
import type { NetworkCreateRequest, NetworkSubnet } from "../spec/api.ts";
import { CONTAINER_ID, OBJECT_NAME } from "../spec/container.ts";
import { invalid, NyxError } from "../spec/errors.ts";
import { NETWORK_DRIVERS } from "../spec/network.ts";
import { familyOf, firstHost, randomUla } from "./cidr.ts";
import { type NetworkRecord, networkRecord } from "./record.ts";

/** Names with another meaning where a network is named. */
const RESERVED = new Set(["bridge", "default", "host", "none", "container"]);
/** Longest interface name, IFNAMSIZ less its NUL. */
const MAX_INTERFACE = 15;

const MTU_KEYS = ["com.docker.network.driver.mtu", "mtu"];
const BRIDGE_KEYS = ["com.docker.network.bridge.name"];
/** Docker's options that say what nyx does in any case. */
const ALWAYS_TRUE = ["com.docker.network.bridge.enable_icc", "com.docker.network.bridge.enable_ip_masquerade"];

/** Options of drivers that share an interface of the host. */
const PARENT_KEYS = ["parent"];
const MODE_KEYS: Readonly<Record<string, string>> = { macvlan: "macvlan_mode", ipvlan: "ipvlan_mode" };
/** What makes networks: nyx itself, or CNI plugins. */
export type Backend = keyof typeof NETWORK_DRIVERS;
/** Drivers whose networks nyx can make. */
export type Driver = (typeof NETWORK_DRIVERS)[Backend][number];

/** Why a driver is not to be had. */
const OTHER_DRIVERS: Readonly<Record<string, string>> = {
  host: "use --network host with the container; the host's network is not made",
  none: "use --network none with the container",
  null: "use --network none with the container",
  ptp: "start nyxd with --net-driver cni, or use bridge",
  ipvlan: "CNI's backend does not make it; use macvlan, or start nyxd with --net-driver native",
  overlay: "it spans several hosts, and nyx runs on one",
};

/** Whether a name cannot be given to a network. */
export function isReserved(name: string): boolean {
  return RESERVED.has(name);
}

/**
 * Checks the name of a new network.
 *
 * @throws NyxError invalid_argument
 */
export function checkNetworkName(name: string): void {
  if (!OBJECT_NAME.test(name)) {
    throw invalid("network name", name, "use letters, digits, '_', '.' and '-', beginning with a letter or digit");
  }
  if (isReserved(name)) throw invalid("network name", name, "the name has a meaning of its own; choose another");
  if (CONTAINER_ID.test(name)) throw invalid("network name", name, "it reads as an id; choose another name");
}

function driverOf(driver: string | undefined, backend: Backend): Driver {
  const found = NETWORK_DRIVERS[backend].find((d) => d === (driver ?? ""));
  if (found !== undefined) return found;
  if (driver === undefined || driver === "") return "bridge";
  const refused = OTHER_DRIVERS[driver];
  throw invalid("network driver", driver, refused ?? `there are ${NETWORK_DRIVERS[backend].join(", ")}`);
}

/** What a driver cannot do without, or with. */
function checkFit(
  { name, driver, internal, parent, bridge }: {
    name: string;
    driver: Driver;
    internal: boolean;
    parent?: string;
    bridge?: string;
  },
  hasSubnet: boolean,
): void {
  if (driver !== "bridge" && bridge !== undefined) {
    throw invalid(`option ${BRIDGE_KEYS[0]}`, bridge, `a ${driver} network has no bridge`);
  }
  const shares = sharesInterface({ driver });
  if (shares && parent === undefined) {
    throw invalid("option parent", "", "name the interface of the host whose network containers join: -o parent=eth0");
  }
  if (shares && !hasSubnet) {
    throw invalid("subnet", "", "name the subnet of the network that the interface is on, and its gateway");
  }
  if (internal && (driver === "ptp" || shares)) {
    const where = shares ? "the network of its parent" : "the host";
    throw new NyxError(
      "invalid_argument",
      `Could not make network ${name} internal: a ${driver} network leads to ${where}`,
    );
  }
}

interface Options {
  mtu?: number;
  bridge?: string;
  parent?: string;
  mode?: string;
}

/** Whether containers of a network share an interface of the host: they are reached at addresses of their own, and ports not published. */
export function sharesInterface({ driver }: { driver: string }): boolean {
  return driver === "macvlan" || driver === "ipvlan";
}

/** Settings that options hold. */
function readOptions(
  options: Readonly<Record<string, string>>,
  driver: Driver,
): Options {
  const out: Options = {};
  const modeKey = MODE_KEYS[driver];
  const shares = sharesInterface({ driver });
  for (const [key, value] of Object.entries(options)) {
    if (MTU_KEYS.includes(key)) {
      if (!/^\d{3,5}$/.test(value)) throw invalid(`option ${key}`, value, "give a number of bytes, 576 to 65535");
      out.mtu = Number(value);
    } else if (BRIDGE_KEYS.includes(key)) {
      out.bridge = value;
    } else if (shares && PARENT_KEYS.includes(key)) {
      out.parent = value;
    } else if (key === modeKey) {
      out.mode = value;
    } else if (ALWAYS_TRUE.includes(key)) {
      if (value !== "true") {
        throw invalid(`option ${key}`, value, "nyx always does this; leave it out or use --internal");
      }
    } else {
      const mode = modeKey === undefined ? [] : [modeKey];
      const own = shares ? [...PARENT_KEYS, ...mode] : driver === "ptp" ? [] : [...BRIDGE_KEYS, ...ALWAYS_TRUE];
      throw invalid("network option", key, `the ${driver} driver knows ${[MTU_KEYS[0], ...own].join(", ")}`);
    }
  }
  return out;
}

/** Sorts what was asked for into one subnet for each family. */
function readSubnets(wanted: NetworkCreateRequest["subnets"] = []): { v4?: NetworkSubnet; v6?: NetworkSubnet } {
  const out: { v4?: NetworkSubnet; v6?: NetworkSubnet } = {};
  for (const { subnet, gateway, ipRange, auxAddresses = {} } of wanted) {
    const reserved = Object.keys(auxAddresses).length === 0 ? {} : { auxAddresses };
    if (subnet === undefined) {
      const given = gateway ?? ipRange ?? Object.values(auxAddresses)[0] ?? "";
      throw invalid("gateway", given, "give --subnet with it");
    }
    const family = familyOf(subnet);
    const first = firstHost(subnet);
    if (family === undefined || first === undefined) {
      throw invalid("subnet", subnet, "write a block such as 10.89.7.0/24 or fd00:7::/64");
    }
    const key = family === 4 ? "v4" : "v6";
    if (out[key] !== undefined) {
      throw invalid(
        "subnet",
        subnet,
        `the network has ${out[key].subnet} already; one subnet for each family is enough`,
      );
    }
    out[key] = { subnet, gateway: gateway ?? first, ...(ipRange === undefined ? {} : { ipRange }), ...reserved };
  }
  return out;
}

/**
 * A record for what was asked for. Where {@linkcode needsBlock} says so, {@linkcode withBlock} completes it: `subnets` has that of
 * IPv6 at most until then.
 *
 * @param backend what makes networks here
 * @throws NyxError invalid_argument naming what cannot be
 */
export function newNetwork(
  request: NetworkCreateRequest,
  identity: { id: string; created: string },
  backend: Backend = "native",
): NetworkRecord {
  const { name, labels = {}, options = {}, internal = false } = request;
  checkNetworkName(name);
  const driver = driverOf(request.driver, backend);
  const { mtu, bridge, parent, mode } = readOptions(options, driver);
  const { v4, v6: asked } = readSubnets(request.subnets);
  const of = {
    name,
    driver,
    internal,
    ...(mode === undefined ? {} : { mode }),
    ...(parent === undefined ? {} : { parent }),
  };
  checkFamilies(request, v4, asked);
  const without4 = request.ipv4 === false;
  checkFit({ ...of, ...(bridge === undefined ? {} : { bridge }) }, (without4 ? asked : v4) !== undefined);
  const v6 = asked ?? (request.ipv6 === true ? ulaSubnet() : undefined);
  return networkRecord({
    ...identity,
    ...of,
    default: false,
    bridge: driver === "bridge" ? bridge ?? `nyx-${identity.id}`.slice(0, MAX_INTERFACE) : "",
    subnets: [v4, v6].filter((s) => s !== undefined),
    ...(mtu === undefined ? {} : { mtu }),
    labels,
    options,
  });
}

function ulaSubnet(): NetworkSubnet {
  const subnet = randomUla();
  return { subnet, gateway: firstHost(subnet) ?? "" };
}

/** Refuses a network with a subnet of a family that it is not to have, or without any. */
function checkFamilies(
  { name, ipv4, ipv6 }: NetworkCreateRequest,
  v4: NetworkSubnet | undefined,
  v6: NetworkSubnet | undefined,
): void {
  for (const [family, wanted, given] of [["IPv4", ipv4, v4], ["IPv6", ipv6, v6]] as const) {
    if (wanted !== false || given === undefined) continue;
    throw new NyxError(
      "invalid_argument",
      `Could not leave ${family} out of network ${name}: subnet ${given.subnet} is ${family}`,
    );
  }
  if (ipv4 === false && ipv6 !== true && v6 === undefined) {
    throw new NyxError(
      "invalid_argument",
      `Could not leave IPv4 out of network ${name}: it would have no addresses at all; give it IPv6 (--ipv6, enable_ipv6)`,
    );
  }
}

/** Whether a record needs an IPv4 block from the pool before its network can be made. */
export function needsBlock(record: NetworkRecord, { ipv4 }: Pick<NetworkCreateRequest, "ipv4">): boolean {
  return ipv4 !== false && !record.subnets.some((s) => familyOf(s.subnet) === 4);
}

/** The record with an IPv4 block from the pool. */
export function withBlock(record: NetworkRecord, subnet: string): NetworkRecord {
  return { ...record, subnets: [{ subnet, gateway: firstHost(subnet) ?? "" }, ...record.subnets] };
}

function families(record: NetworkRecord): { v4?: NetworkSubnet; v6?: NetworkSubnet } {
  const v4 = record.subnets.find((s) => familyOf(s.subnet) === 4);
  const v6 = record.subnets.find((s) => familyOf(s.subnet) === 6);
  return { ...(v4 === undefined ? {} : { v4 }), ...(v6 === undefined ? {} : { v6 }) };
}

/** What the network worker gets. */
export function definitionOf(record: NetworkRecord): NetworkDefinition {
  const { name, bridge, internal, mtu, parent, mode } = record;
  const { v4, v6 } = families(record);
  const reserved = record.subnets.flatMap((s) => Object.values(s.auxAddresses ?? {}));
  return {
    name,
    driver: record.driver as Driver,
    bridge,
    ...(parent === undefined ? {} : { parent }),
    ...(mode === undefined ? {} : { mode }),
    ...(reserved.length === 0 ? {} : { reserved }),
    ...(v4 === undefined ? {} : { subnet: v4.subnet, gateway: v4.gateway }),
    ...(v4?.ipRange === undefined ? {} : { ipRange: v4.ipRange }),
    ...(v6 === undefined ? {} : { subnet6: v6.subnet, gateway6: v6.gateway }),
    ...(v6?.ipRange === undefined ? {} : { ipRange6: v6.ipRange }),
    internal,
    ...(mtu === undefined ? {} : { mtu }),
  };
}

/** Whether a network's gateway is an address of nyx, on which its resolver can answer. */
export function hasResolver({ driver, bridge }: NetworkRecord): boolean {
  return driver === "bridge" && bridge !== "";
}

/** What the resolver gets. */
export function dnsOf(record: NetworkRecord): DnsNetwork {
  const { v4, v6 } = families(record);
  return {
    name: record.name,
    ...(v4 === undefined ? {} : { subnet: v4.subnet, gateway: v4.gateway }),
    ...(v6 === undefined ? {} : { subnet6: v6.subnet, gateway6: v6.gateway }),
    internal: record.internal,
  };
}
