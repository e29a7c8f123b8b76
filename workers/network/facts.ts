/** What the kernel has of a published port or a container, read for `nyx network explain`; judged elsewhere. */

import { isErrno } from "../../ffi/errno.ts";
import { formatIp } from "../../ffi/ip_address.ts";
import { addressesOfPort } from "../../ffi/netlink/sock_diag.ts";
import { IPPROTO_TCP, IPPROTO_UDP, PORT_PROTOCOLS } from "../../ffi/socket.ts";
import { IFF_UP } from "../../ffi/netlink/rtnetlink_constants.ts";
import { NftError } from "../../ffi/nftables/nft.ts";
import type { NetworkStage, PathFacts } from "../protocol.ts";
import { obstaclesOf, tableWhole } from "./diagnose.ts";
import { openNetns } from "./pool.ts";
import { checkId, netnsPath, type Session } from "./session.ts";

/** Request of the `facts` operation. */
export type FactsRequest = NetworkStage["ops"]["facts"]["request"];

const MAPS = ["addr4", "any4", "range4", "addr6", "any6", "range6"];

/** Addresses with a port in the calling thread's namespace; undefined where the kernel cannot list sockets of the protocol. */
function listeners(s: Session, protocol: FactsRequest["protocol"], port: number): string[] | undefined {
  if (protocol === "sctp") return undefined;
  try {
    const number = protocol === "udp" ? IPPROTO_UDP : IPPROTO_TCP;
    return [...new Set(addressesOfPort(s.kernel.socket, number, port).map((a) => formatIp(a)))];
  } catch (e) {
    if (isErrno(e, "ENOENT", "EOPNOTSUPP", "EPROTONOSUPPORT", "EINVAL")) return undefined;
    throw e;
  }
}

/** One part of a map's key or value, as nft's JSON has it, in nft's own words. */
function word(part: unknown): string {
  if (typeof part !== "object" || part === null) return String(part);
  if ("range" in part) return (part.range as unknown[]).join("-");
  if ("prefix" in part) {
    const { addr, len } = part.prefix as { addr: string; len: number };
    return `${addr}/${len}`;
  }
  if ("concat" in part) return (part.concat as unknown[]).map(word).join(" . ");
  return JSON.stringify(part);
}

/** Names of protocols as numbers: nft knows names from /etc/protocols alone, which a small host does not have. */
const PROTOCOL_NAMES: ReadonlyMap<string, string> = new Map(
  Object.entries(PORT_PROTOCOLS).map(([name, number]) => [String(number), name]),
);

/** Key of a port map, `… . PROTOCOL . PORT`, with the protocol's name whatever nft called it. */
export function mapKey(text: string): string {
  const parts = text.split(" . ");
  const at = parts.length - 2;
  const name = PROTOCOL_NAMES.get(parts[at] ?? "");
  if (name !== undefined) parts[at] = name;
  return parts.join(" . ");
}

function covers(text: string, port: number): boolean {
  const [first = 0, last = first] = text.split("-").map(Number);
  return first <= port && port <= last;
}

/** Elements of one port map, in nft's own words. */
function elementsOf(s: Session, map: string): { key: string; value: string }[] {
  const objects = s.nft.list(`list map inet ${s.table} ${map}`);
  const rows = objects.flatMap((o) => "map" in o ? (o.map as { elem?: [unknown, unknown][] }).elem ?? [] : []);
  return rows.map(([key, value]) => ({ key: mapKey(word(key)), value: word(value) }));
}

/** Elements of all port maps, as `map key : value`. Throws NftError without a table. */
export function elementsOfMaps(s: Session): string[] {
  return MAPS.flatMap((map) => elementsOf(s, map).map(({ key, value }) => `${map} ${key} : ${value}`));
}

/** Elements of the port maps for one port. */
function elementsFor(s: Session, protocol: string, port: number): string[] {
  return MAPS.flatMap((map) => {
    let rows;
    try {
      rows = elementsOf(s, map);
    } catch (e) {
      if (e instanceof NftError) return [];
      throw e;
    }
    return rows.filter(({ key }) => {
      const parts = key.split(" . ");
      return parts.at(-2) === protocol && covers(parts.at(-1) ?? "", port);
    }).map(({ key, value }) => `${key} : ${value}`);
  });
}

function containerFacts(s: Session, id: string, request: FactsRequest): PathFacts["container"] {
  const path = netnsPath(s, id);
  const active = s.active.get(id);
  if (active === undefined || !s.kernel.ns.isPinned(path)) return undefined;
  using netns = openNetns(s.kernel, path, s.buffer);
  const near = new Map(s.rt.links().map((l) => [l.index, l]));
  const links = active.endpoints.map(({ network, interface: name }) => {
    const inside = netns.rt.link(name);
    const state = s.networks.get(network);
    const bridge = state === undefined || state.network.bridge === "" ? undefined : s.rt.link(state.network.bridge);
    const port = inside === undefined ? undefined : near.get(inside.peer);
    return {
      network,
      interface: name,
      up: inside !== undefined && (inside.flags & IFF_UP) !== 0,
      attached: port !== undefined && bridge !== undefined && port.master === bridge.index,
      bridge: state?.network.bridge ?? "",
      bridgeUp: bridge !== undefined && (bridge.flags & IFF_UP) !== 0,
    };
  });
  const { protocol, containerPort } = request;
  const found = containerPort === undefined
    ? undefined
    : s.kernel.ns.withNetns(netns.fd, () => listeners(s, protocol, containerPort));
  return { links, ...(found === undefined ? {} : { listeners: found }) };
}

function isOn(s: Session, path: string): boolean {
  try {
    return s.kernel.ns.readKernelFile(path).trim() === "1";
  } catch (e) {
    if (isErrno(e, "ENOENT")) return false;
    throw e;
  }
}

/** Reads all of it. */
export function facts(s: Session, request: FactsRequest): PathFacts {
  const { id, hostPort, protocol } = request;
  if (id !== undefined) checkId(id);
  const container = id === undefined ? undefined : containerFacts(s, id, request);
  const bridges = [...new Set((container?.links ?? []).map((l) => l.bridge).filter((b) => b !== ""))];
  return {
    forwarding: {
      v4: isOn(s, "/proc/sys/net/ipv4/ip_forward"),
      v6: isOn(s, "/proc/sys/net/ipv6/conf/all/forwarding"),
    },
    hostAddresses: s.rt.addresses().map((a) => formatIp(a.ip)),
    hostListeners: hostPort === undefined ? [] : listeners(s, protocol, hostPort) ?? [],
    elements: hostPort === undefined ? [] : elementsFor(s, protocol, hostPort),
    table: tableWhole(s),
    ...(container === undefined ? {} : { container }),
    obstacles: bridges.length === 0 ? [] : obstaclesOf(s, bridges),
  };
}
