/** The host's side of a network: sysctls, the bridge, its address, and whose it is. */

import { NyxError } from "../../daemon/spec/errors.ts";
import { isErrno } from "../../ffi/errno.ts";
import { cidrOverlaps, formatCidr, formatIp, formatMac } from "../../ffi/ip_address.ts";
import type { NamespaceKernel } from "../../ffi/namespace.ts";
import { addAddress, deleteAddress, newBridge, setLink } from "../../ffi/netlink/requests.ts";
import type { Link, RtNetlink } from "../../ffi/netlink/rtnetlink.ts";
import { IFF_UP } from "../../ffi/netlink/rtnetlink_constants.ts";
import { bridgeMac, type Network, subnets } from "./definition.ts";
import { removeLink } from "./endpoint.ts";

/** What a bridge's alias begins with; the base directory of its daemon follows. */
const OWNER_PREFIX = "nyxd ";
const RT_TABLE_MAIN = 254;

/** Writes a sysctl when it has another value. False when the kernel has no such file. */
export function ensureSysctl(ns: NamespaceKernel, path: string, value: string): boolean {
  const file = `/proc/sys/${path}`;
  try {
    if (ns.readKernelFile(file).trim() !== value) ns.writeKernelFile(file, value);
    return true;
  } catch (e) {
    if (isErrno(e, "ENOENT")) return false;
    throw e;
  }
}

/** Value of a setting of IPv6, which a kernel booted with ipv6.disable=1 does not have at all. */
function readIpv6Setting(ns: NamespaceKernel, file: string): string {
  try {
    return ns.readKernelFile(file).trim();
  } catch (e) {
    if (!isErrno(e, "ENOENT")) throw e;
    throw new NyxError(
      "failed_precondition",
      "Could not make a network with IPv6: this host's kernel runs without it; leave the IPv6 subnet out, or boot without ipv6.disable=1",
      { cause: e },
    );
  }
}

/**
 * Turns on forwarding, once for all networks. IPv6 forwarding makes the kernel ignore router advertisements unless an
 * interface has accept_ra 2, so interfaces that listen to them now are told to go on; else the host would lose its uplink.
 *
 * @returns sysctls that were off before
 */
export function enableForwarding(ns: NamespaceKernel, rt: RtNetlink, six: boolean): string[] {
  const turnedOn: string[] = [];
  if (ns.readKernelFile("/proc/sys/net/ipv4/ip_forward").trim() !== "1") {
    ns.writeKernelFile("/proc/sys/net/ipv4/ip_forward", "1");
    turnedOn.push("net.ipv4.ip_forward");
  }
  const all = "/proc/sys/net/ipv6/conf/all/forwarding";
  if (!six || readIpv6Setting(ns, all) === "1") return turnedOn;
  for (const link of rt.links()) {
    const file = `/proc/sys/net/ipv6/conf/${link.name}/accept_ra`;
    try {
      if (ns.readKernelFile(file).trim() === "1") ns.writeKernelFile(file, "2");
    } catch (e) {
      if (!isErrno(e, "ENOENT")) throw e;
    }
  }
  ns.writeKernelFile(all, "1");
  return [...turnedOn, "net.ipv6.conf.all.forwarding"];
}

/** Smallest and largest port the host's own programs get when they ask for none. */
export function ephemeralRange(ns: NamespaceKernel): { first: number; last: number } {
  const [first = 32768, last = 60999] = ns.readKernelFile("/proc/sys/net/ipv4/ip_local_port_range").trim().split(/\s+/)
    .map(Number);
  return { first, last };
}

/** Refuses a network whose addresses the host has a route to. */
export function refuseOverlap(rt: RtNetlink, network: Network): void {
  const links = new Map(rt.links().map((l) => [l.index, l.name]));
  for (const route of rt.routes()) {
    if (route.destination === undefined || route.prefix === 0 || route.table !== RT_TABLE_MAIN) continue;
    const name = links.get(route.index);
    if (name === undefined || name === network.bridge) continue;
    const block = { address: route.destination, prefix: route.prefix };
    const clash = subnets(network).find((s) => cidrOverlaps(s.block, block));
    if (clash === undefined) continue;
    throw new NyxError(
      "failed_precondition",
      `Could not make network ${network.name}: its subnet ${formatCidr(clash.block)} overlaps ${formatCidr(block)}, ` +
        `to which the host has a route through ${name}; choose another subnet (NYXD_CONTAINER_SUBNET and ` +
        "NYXD_GATEWAY_IP for the default network)",
      { context: { network: network.name, interface: name } },
    );
  }
}

/** Alias of the bridges of the daemon with this base directory. */
export function ownerAlias(baseDir: string): string {
  return `${OWNER_PREFIX}${baseDir}`.slice(0, 255);
}

function refuseStranger(rt: RtNetlink, link: Link, owner: string): void {
  if (link.kind !== "bridge") {
    throw new NyxError(
      "failed_precondition",
      `Could not use ${link.name} as a bridge: it is an interface of kind ${JSON.stringify(link.kind || "device")}; ` +
        "choose another bridge name",
    );
  }
  if (link.alias === owner || !link.alias.startsWith(OWNER_PREFIX)) return;
  const ports = rt.links().filter((l) => l.master === link.index).length;
  if (ports === 0) return;
  throw new NyxError(
    "failed_precondition",
    `Could not use bridge ${link.name}: the nyxd of ${link.alias.slice(OWNER_PREFIX.length)} has it, with ${ports} ` +
      "container(s) on it; stop that daemon and its containers, or choose another bridge",
    { context: { bridge: link.name } },
  );
}

/*
 * The kernel takes a bridge's alias, which says whose it is, only once the bridge is there. What is about to be made is therefore on
 * file until it has its alias: a worker killed in between leaves a bridge that the next one knows for its own.
 */
const INTENT = "making-";

function noteIntent(baseDir: string, bridge: string): Disposable {
  const path = `${baseDir}/network/${INTENT}${bridge}`;
  Deno.mkdirSync(`${baseDir}/network`, { recursive: true, mode: 0o700 });
  Deno.writeTextFileSync(path, "", { mode: 0o600 });
  return { [Symbol.dispose]: () => Deno.removeSync(path) };
}

/** Names of bridges that this daemon was making when it was killed. */
export function halfMadeBridges(baseDir: string): Set<string> {
  const names = [...Deno.readDirSync(`${baseDir}/network`)].map((entry) => entry.name);
  return new Set(names.filter((name) => name.startsWith(INTENT)).map((name) => name.slice(INTENT.length)));
}

/** Forgets them. */
export function forgetHalfMade(baseDir: string): void {
  for (const bridge of halfMadeBridges(baseDir)) Deno.removeSync(`${baseDir}/network/${INTENT}${bridge}`);
}

/** What {@linkcode ensureBridge} found or made. */
export interface Bridge {
  index: number;
  /** Whether this daemon made it, and may take it away. */
  owned: boolean;
  /** Hardware address, of an interface that containers share. */
  mac?: string;
}

/** Makes the bridge of a network what it must be: there, up, with its gateway addresses and sysctls. Idempotent. */
export function ensureBridge(ns: NamespaceKernel, rt: RtNetlink, network: Network, baseDir: string): Bridge {
  const owner = ownerAlias(baseDir);
  const link = rt.link(network.bridge);
  if (link !== undefined) {
    if (link.kind === "bridge" && link.alias === "" && halfMadeBridges(baseDir).has(link.name)) {
      rt.run(setLink(link.index, { alias: owner }));
      link.alias = owner;
    }
    refuseStranger(rt, link, owner);
    return shapeBridge(ns, rt, network, link, owner);
  }
  refuseOverlap(rt, network);
  const mtu = network.mtu === undefined ? {} : { mtu: network.mtu };
  using _intent = noteIntent(baseDir, network.bridge);
  rt.run(newBridge(network.bridge, { mac: bridgeMac(network), ...mtu }));
  const made = rt.link(network.bridge);
  if (made === undefined) throw new NyxError("unavailable", `Bridge ${network.bridge} went away while it was made`);
  try {
    rt.run(setLink(made.index, { alias: owner }));
    made.alias = owner;
    const bridge = shapeBridge(ns, rt, network, made, owner);
    // Somebody else, such as another nyxd, may have taken the subnet between the look and the address.
    refuseOverlap(rt, network);
    return bridge;
  } catch (e) {
    removeLink(rt, made.index);
    throw e;
  }
}

function shapeBridge(ns: NamespaceKernel, rt: RtNetlink, network: Network, link: Link, owner: string): Bridge {
  const mac = bridgeMac(network);
  const owned = link.alias.startsWith(OWNER_PREFIX);
  if (owned && link.alias !== owner) rt.run(setLink(link.index, { alias: owner }));
  if ((link.flags & IFF_UP) === 0) rt.run(setLink(link.index, { up: true }));
  if (owned && link.mac !== formatMac(mac)) rt.run(setLink(link.index, { mac }));
  if (network.mtu !== undefined && link.mtu !== network.mtu) rt.run(setLink(link.index, { mtu: network.mtu }));
  ensureAddresses(rt, link.index, network, owned);
  bridgeSysctls(ns, network);
  return { index: link.index, owned };
}

function ensureAddresses(rt: RtNetlink, index: number, network: Network, owned: boolean): void {
  const wanted = subnets(network).map((s) => ({ index, ip: s.gateway, prefix: s.block.prefix }));
  const key = (a: { ip: Uint8Array; prefix: number }) => `${formatIp(a.ip)}/${a.prefix}`;
  const have = rt.addresses(index);
  for (const address of have) {
    const linkLocal = address.ip.length === 16 && address.ip[0] === 0xfe;
    if (owned && !linkLocal && !wanted.some((w) => key(w) === key(address))) rt.run(deleteAddress(address));
  }
  for (const address of wanted) {
    if (!have.some((h) => key(h) === key(address))) rt.run(addAddress(index, address.ip, address.prefix));
  }
}

/**
 * route_localnet lets answers to connections from 127.0.0.1 come back over the bridge; the table's first chain keeps
 * everything else that is addressed to loopback out. Router advertisements from containers are not listened to. Addresses are
 * ours to give, so IPv6 looks for no duplicates: the second or two that takes, after the first container has come, no packet
 * would get from the host's other addresses to a container.
 */
function bridgeSysctls(ns: NamespaceKernel, network: Network): void {
  const { bridge } = network;
  ensureSysctl(ns, `net/ipv4/conf/${bridge}/route_localnet`, "1");
  ensureSysctl(ns, `net/ipv4/conf/${bridge}/accept_redirects`, "0");
  ensureSysctl(ns, `net/ipv4/conf/${bridge}/send_redirects`, "0");
  ensureSysctl(ns, `net/ipv6/conf/${bridge}/accept_dad`, "0");
  ensureSysctl(ns, `net/ipv6/conf/${bridge}/accept_ra`, "0");
  ensureSysctl(ns, `net/ipv6/conf/${bridge}/accept_redirects`, "0");
}
