/** From what a user asks for to a network's record, and from there to what the network worker gets. Pure. */

import type { NetworkDefinition } from "../../workers/protocol.ts";
import type { DnsNetwork } from "../dns/zones.ts";
import type { NetworkCreateRequest, NetworkSubnet } from "../spec/api.ts";
import { CONTAINER_ID, OBJECT_NAME } from "../spec/container.ts";
import { invalid, NyxError } from "../spec/errors.ts";
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

/** Why a driver is not to be had. */
const OTHER_DRIVERS: Readonly<Record<string, string>> = {
  host: "use --network host with the container; the host's network is not made",
  none: "use --network none with the container",
  null: "use --network none with the container",
  macvlan: "nyx makes bridge networks; publish ports (-p ADDRESS:PORT:PORT) on an address of the host instead",
  ipvlan: "nyx makes bridge networks; use bridge and published ports",
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

function checkDriver(driver: string | undefined): void {
  if (driver === undefined || driver === "" || driver === "bridge") return;
  throw invalid("network driver", driver, OTHER_DRIVERS[driver] ?? "there is the bridge driver alone");
}

/** Settings that options hold. */
function readOptions(options: Readonly<Record<string, string>>): { mtu?: number; bridge?: string } {
  const out: { mtu?: number; bridge?: string } = {};
  for (const [key, value] of Object.entries(options)) {
    if (MTU_KEYS.includes(key)) {
      if (!/^\d{3,5}$/.test(value)) throw invalid(`option ${key}`, value, "give a number of bytes, 576 to 65535");
      out.mtu = Number(value);
    } else if (BRIDGE_KEYS.includes(key)) {
      out.bridge = value;
    } else if (ALWAYS_TRUE.includes(key)) {
      if (value !== "true") {
        throw invalid(`option ${key}`, value, "nyx always does this; leave it out or use --internal");
      }
    } else {
      const known = [MTU_KEYS[0], ...BRIDGE_KEYS, ...ALWAYS_TRUE].join(", ");
      throw invalid("network option", key, `the bridge driver knows ${known}`);
    }
  }
  return out;
}

/** Sorts what was asked for into one subnet for each family. */
function readSubnets(wanted: NetworkCreateRequest["subnets"] = []): { v4?: NetworkSubnet; v6?: NetworkSubnet } {
  const out: { v4?: NetworkSubnet; v6?: NetworkSubnet } = {};
  for (const { subnet, gateway, ipRange } of wanted) {
    if (subnet === undefined) {
      throw invalid("gateway", gateway ?? ipRange ?? "", "give --subnet with it");
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
    out[key] = { subnet, gateway: gateway ?? first, ...(ipRange === undefined ? {} : { ipRange }) };
  }
  return out;
}

/**
 * A record for what was asked for. Without an IPv4 subnet of its own it has none yet: `subnets` then begins with that of IPv6, and
 * {@linkcode withBlock} completes it.
 *
 * @throws NyxError invalid_argument naming what cannot be
 */
export function newNetwork(
  request: NetworkCreateRequest,
  identity: { id: string; created: string },
): NetworkRecord {
  const { name, labels = {}, options = {}, internal = false } = request;
  checkNetworkName(name);
  checkDriver(request.driver);
  const { mtu, bridge = `nyx-${identity.id}`.slice(0, MAX_INTERFACE) } = readOptions(options);
  const { v4, v6: asked } = readSubnets(request.subnets);
  if (request.ipv6 === false && asked !== undefined) {
    throw new NyxError(
      "invalid_argument",
      `Could not leave IPv6 out of network ${name}: subnet ${asked.subnet} is IPv6`,
    );
  }
  const v6 = asked ?? (request.ipv6 === true ? ulaSubnet() : undefined);
  return networkRecord({
    ...identity,
    name,
    default: false,
    bridge,
    subnets: [v4, v6].filter((s) => s !== undefined),
    internal,
    ...(mtu === undefined ? {} : { mtu }),
    labels,
    options,
  });
}

function ulaSubnet(): NetworkSubnet {
  const subnet = randomUla();
  return { subnet, gateway: firstHost(subnet) ?? "" };
}

/** Whether a record has an IPv4 subnet. */
export function hasBlock(record: NetworkRecord): boolean {
  return record.subnets.some((s) => familyOf(s.subnet) === 4);
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
  const { name, bridge, internal, mtu } = record;
  const { v4, v6 } = families(record);
  return {
    name,
    driver: "bridge",
    bridge,
    subnet: v4?.subnet ?? "",
    gateway: v4?.gateway ?? "",
    ...(v4?.ipRange === undefined ? {} : { ipRange: v4.ipRange }),
    ...(v6 === undefined ? {} : { subnet6: v6.subnet, gateway6: v6.gateway }),
    ...(v6?.ipRange === undefined ? {} : { ipRange6: v6.ipRange }),
    internal,
    ...(mtu === undefined ? {} : { mtu }),
  };
}

/** What the resolver gets. */
export function dnsOf(record: NetworkRecord): DnsNetwork {
  const { v4, v6 } = families(record);
  return {
    name: record.name,
    subnet: v4?.subnet ?? "",
    gateway: v4?.gateway ?? "",
    ...(v6 === undefined ? {} : { subnet6: v6.subnet, gateway6: v6.gateway }),
    internal: record.internal,
  };
}
