/** The worker's beginning and end: what is there is adopted, what belongs to nobody is removed. */

import { NyxError } from "../../daemon/spec/errors.ts";
import { isErrno } from "../../ffi/errno.ts";
import { cidrContains, formatIp } from "../../ffi/ip_address.ts";
import { type Link, RtNetlink } from "../../ffi/netlink/rtnetlink.ts";
import type { OpenNftOptions } from "../../ffi/nftables/libnftables.ts";
import type { Nft } from "../../ffi/nftables/nft.ts";
import type { NetworkDefinition, NetworkStage } from "../protocol.ts";
import { NetworkAddresses } from "./addresses.ts";
import { Advice } from "./advice.ts";
import { adopt } from "./container.ts";
import { checkDisjoint, gatewayText, isDirect, parseNetwork, subnets } from "./definition.ts";
import { diagnose } from "./diagnose.ts";
import { hostNamePrefix, isHostName, isOwnKind, removeLink } from "./endpoint.ts";
import { enableForwarding, ensureBridge, ephemeralRange, forgetHalfMade, halfMadeBridges, ownerAlias } from "./host.ts";
import { FlowForgetter } from "./flows.ts";
import { PortHolds } from "./holds.ts";
import { LeaseStore, type Reservation } from "./leases.ts";
import { type NetnsKernel, NetnsPool, openNetns } from "./pool.ts";
import { PortTable } from "./ports.ts";
import { gatewaysOf, hold } from "./reservation.ts";
import { findParent } from "./sublink.ts";
import { tableName } from "./ruleset.ts";
import { Watch } from "./watch.ts";
import { Attempts, checkId, type Log, netnsPath, type Session, syncTable } from "./session.ts";

/** Request of the `init` operation. */
export type InitRequest = NetworkStage["ops"]["init"]["request"];

/** What the worker is given beside requests. */
export interface Environment {
  kernel: NetnsKernel;
  openNft: (options: OpenNftOptions) => Nft;
  log: Log;
  /** Told, in a sentence, what others broke and was repaired. */
  onRepair?: (what: string) => void;
}

/** The kernel takes an interface whose namespace went away down after about 20 ms; waiting is cheaper than deleting. */
const LINK_GRACE_MS = 200;
const LINK_POLL_MS = 10;
const RECEIVE_BUFFER = 64 * 1024;

/** Opens everything, ensures networks, adopts what runs and removes the rest. */
export async function open(
  env: Environment,
  request: InitRequest,
): Promise<{ session: Session } & NetworkStage["ops"]["init"]["result"]> {
  const { baseDir, networks, live, known } = request;
  for (const id of [...live, ...known]) checkId(id);
  const [first] = networks;
  if (first === undefined) throw new NyxError("invalid_argument", "Could not start networking: no network was given");
  const { store, warning } = LeaseStore.open(`${baseDir}/network`);
  const warnings = warning === undefined ? [] : [warning];
  const session = makeSession(env, request, first, store);
  try {
    ensureNetwork(session, first);
    const failed = ensureOthers(session, networks.slice(1));
    warnings.push(...failed.map((f) => f.message), ...removeStrayBridges(session, networks));
    const removed = removeStrangers(session, new Set(live));
    dropLeases(session, new Set([...live, ...known]));
    for (const id of live) warnings.push(...adoptLive(session, id));
    syncTable(session);
    await removeLinks(session, live);
    await session.leases.commit();
    startWatch(session, env);
    const attached = [...session.leases.entries()].map(([id, { leases, ports }]) => ({
      id,
      networks: leases.map((l) => l.network),
      ports,
    }));
    return { session, removed, warnings, failed, attached };
  } catch (e) {
    await close(session);
    throw e;
  }
}

/** One network that cannot be made, such as one whose subnet a new route of the host overlaps, must not stop the daemon. */
function ensureOthers(s: Session, definitions: readonly NetworkDefinition[]): { name: string; message: string }[] {
  return definitions.flatMap((definition) => {
    try {
      ensureNetwork(s, definition);
      return [];
    } catch (e) {
      return [{ name: definition.name, message: (e as Error).message }];
    }
  });
}

/** Bridges of this daemon that no network has: a crash came between the bridge and its mark, or its record. */
export function removeStrayBridges(s: Session, networks: readonly { bridge: string }[]): string[] {
  const names = new Set(networks.map((n) => n.bridge));
  const halfMade = halfMadeBridges(s.baseDir);
  const links = s.rt.links();
  const isMine = (l: Link) => l.alias === ownerAlias(s.baseDir) || (l.alias === "" && halfMade.has(l.name));
  const warnings = links.filter((l) => l.kind === "bridge" && isMine(l) && !names.has(l.name)).flatMap((bridge) => {
    const ports = links.filter((l) => l.master === bridge.index).length;
    if (ports === 0) removeLink(s.rt, bridge.index);
    return ports === 0 ? [] : [`Bridge ${bridge.name} has ${ports} interface(s) but belongs to no network any more`];
  });
  forgetHalfMade(s.baseDir);
  return warnings;
}

/** A session before anything is looked at. */
export function makeSession(
  env: Environment,
  request: InitRequest,
  first: NetworkDefinition,
  leases: LeaseStore,
): Session {
  const { kernel, log } = env;
  const { baseDir, poolSize, defaultPublishIp } = request;
  const netnsDir = `${baseDir}/run/netns`;
  Deno.mkdirSync(netnsDir, { recursive: true, mode: 0o700 });
  kernel.ns.shareDirectory(netnsDir);
  const buffer = new Uint8Array(RECEIVE_BUFFER);
  const nft = env.openNft({ tempDir: `${baseDir}/network`, socket: kernel.socket, buffer });
  if (nft.via !== "libnftables") {
    log("warn", "libnftables is missing; nft is started for each change", { nft: nft.via });
  }
  const session: Session = {
    kernel,
    baseDir,
    netnsDir,
    pinsKept: request.live.some((id) => kernel.ns.isPinned(`${netnsDir}/${id}`)),
    table: tableName(first.bridge),
    rt: new RtNetlink(kernel.socket, buffer),
    buffer,
    nft,
    leases,
    ports: new PortTable(kernel.socket, ephemeralRange(kernel.ns), () => gateways(session)),
    pool: new NetnsPool(
      kernel,
      poolSize,
      buffer,
      (e) => log("warn", "Could not refill the pool", { error: String(e) }),
    ),
    flows: new FlowForgetter(kernel.socket, (e) => log("warn", "Could not forget connections", { error: String(e) })),
    holds: new PortHolds(kernel.socket),
    networks: new Map(),
    defaultPublishIp,
    active: new Map(),
    tableStale: false,
    advice: new Advice(() => diagnose(session)),
    log,
  };
  return session;
}

/** Where the daemon's resolvers listen. */
function gateways(session: Session): string[] {
  return [...session.networks.values()].flatMap(({ network }) =>
    isDirect(network) ? [] : subnets(network).map(gatewayText)
  );
}

/** Begins to repair what others break. */
export function startWatch(session: Session, { log, onRepair }: Environment): void {
  const watch = new Watch(session, (what) => {
    log("warn", "Repaired the network", { what });
    onRepair?.(what);
  });
  session.watch = watch;
  session.nft = watch.wrap(session.nft);
  watch.start();
}

/** Ensures a network's bridge and marks its addresses that are leased. The caller syncs the table. */
export function ensureNetwork(s: Session, definition: NetworkDefinition): void {
  const network = parseNetwork(definition);
  checkDisjoint(network, [...s.networks.values()].map((n) => n.network));
  for (const sysctl of enableForwarding(s.kernel.ns, s.rt, network.v6 !== undefined && !isDirect(network))) {
    s.log("info", "Turned on forwarding: the host now routes between all of its interfaces as its firewall allows", {
      sysctl,
    });
  }
  const bridge = isDirect(network) ? findParent(s.rt, network) : ensureBridge(s.kernel.ns, s.rt, network, s.baseDir);
  const addresses = new NetworkAddresses(network);
  for (const [, { name, leases }] of s.leases.entries()) {
    for (const lease of leases) if (lease.network === network.name) addresses.hold(lease, `container ${name}`);
  }
  s.networks.set(network.name, { network, bridge, addresses });
}

/** Takes a network away: its bridge and its place in the table. Missing is no error. */
export function removeNetwork(s: Session, name: string): void {
  const state = s.networks.get(name);
  if (state === undefined) return;
  const user = [...s.leases.entries()].find(([, r]) => r.leases.some((l) => l.network === name));
  if (user !== undefined) {
    throw new NyxError(
      "failed_precondition",
      `Could not remove network ${name}: container ${user[1].name} is attached to it; remove or disconnect it first`,
      { context: { network: name, holder: user[1].name } },
    );
  }
  dropNetwork(s, name);
  syncTable(s);
}

/** Takes a network and its bridge away; the caller syncs the table. */
export function dropNetwork(s: Session, name: string): void {
  const state = s.networks.get(name);
  s.networks.delete(name);
  if (state?.bridge.owned === true) removeLink(s.rt, state.bridge.index);
}

function removeStrangers(s: Session, live: ReadonlySet<string>): string[] {
  const removed: string[] = [];
  for (const { name } of Deno.readDirSync(s.netnsDir)) {
    if (!live.has(name) && s.kernel.ns.unpinNamespace(`${s.netnsDir}/${name}`)) removed.push(name);
  }
  return removed;
}

function dropLeases(s: Session, keep: ReadonlySet<string>): void {
  for (const [id, reservation] of [...s.leases.entries()]) {
    if (keep.has(id)) {
      hold(s, id, reservation);
      continue;
    }
    for (const lease of reservation.leases) s.networks.get(lease.network)?.addresses.free(lease);
    s.leases.delete(id);
  }
}

/** Removes host-side interfaces of our bridges that belong to no live container, once those that go by themselves are gone. */
async function removeLinks(s: Session, live: readonly string[]): Promise<void> {
  const bridges = new Set([...s.networks.values()].map((n) => n.bridge.index));
  const mine = new Set([...s.active.values()].flatMap((a) => a.portIndexes));
  const prefixes = new Set(live.map(hostNamePrefix));
  const strangers = () =>
    s.rt.links().filter((l) =>
      bridges.has(l.master) && isHostName(l.name) && !mine.has(l.index) && !prefixes.has(l.name.slice(0, -3))
    );
  for (let waited = 0; waited < LINK_GRACE_MS && strangers().length > 0; waited += LINK_POLL_MS) {
    await new Promise((resolve) => setTimeout(resolve, LINK_POLL_MS));
  }
  for (const link of strangers()) removeLink(s.rt, link.index);
}

/** A reservation as the container's namespace itself tells it, for when the lease file is lost. */
function learn(s: Session, id: string): Reservation {
  using netns = openNetns(s.kernel, netnsPath(s, id), s.buffer);
  const addresses = netns.rt.addresses();
  const links = netns.rt.links().filter(isOwnKind).sort((a, b) => a.name.localeCompare(b.name));
  const leases: Reservation["leases"] = [];
  for (const link of links) {
    for (const { network } of s.networks.values()) {
      const within = (block: Parameters<typeof cidrContains>[0] | undefined) =>
        addresses.find((a) => a.index === link.index && block !== undefined && cidrContains(block, a.ip));
      const v4 = within(network.v4?.block);
      const v6 = within(network.v6?.block);
      if ((network.v4 === undefined ? v6 : v4) === undefined) continue;
      const ip = v4 === undefined ? {} : { ip: formatIp(v4.ip) };
      const ip6 = v6 === undefined ? {} : { ip6: formatIp(v6.ip) };
      const position = Number(/^eth(\d+)$/.exec(link.name)?.[1] ?? leases.length);
      leases.push({ network: network.name, ...ip, mac: link.mac, ...ip6, position });
    }
  }
  const places = leases.flatMap(({ network }) => s.networks.get(network) ?? []);
  return { name: id.slice(0, 12), leases, ...gatewaysOf(places), ports: [] };
}

function adoptLive(s: Session, id: string): string[] {
  const reservation = s.leases.get(id);
  if (!s.kernel.ns.isPinned(netnsPath(s, id))) {
    if (reservation === undefined || reservation.leases.length === 0 || !s.pinsKept) return [];
    return [
      `Could not find the network namespace of running container ${reservation.name} at ${netnsPath(s, id)}; ` +
      "restart the container to give it a network again",
    ];
  }
  try {
    if (reservation !== undefined) return adopt(s, id, reservation);
    const learnt = learn(s, id);
    hold(s, id, learnt);
    const lost = learnt.leases.length === 0 ? [] : [
      `The leases of running container ${learnt.name} were lost; its address was taken from its namespace, its published ports are unknown`,
    ];
    return [...lost, ...adopt(s, id, learnt)];
  } catch (e) {
    return [`Could not adopt the network of running container ${id.slice(0, 12)}: ${(e as Error).message}`];
  }
}

/** Lets go of every descriptor; the kernel keeps what is pinned. */
export async function close(s: Session): Promise<void> {
  await s.flows.idle();
  s.flows[Symbol.dispose]();
  s.watch?.[Symbol.dispose]();
  s.advice[Symbol.dispose]();
  s.pool[Symbol.dispose]();
  s.holds[Symbol.dispose]();
  s.rt[Symbol.dispose]();
  s.nft[Symbol.dispose]();
}

/** Ends the session. Without `keepNetworks`, also takes bridges, table and the namespace directory's mount away. */
export async function shutdown(s: Session, keepNetworks: boolean): Promise<void> {
  const attempts = new Attempts();
  // A worker that died may have ended only after this one had looked.
  attempts.try("remove stray bridges", () => removeStrayBridges(s, [...s.networks.values()].map((n) => n.network)));
  await s.leases.commit();
  if (keepNetworks) {
    await close(s);
    return attempts.finish("let go of the networks");
  }
  if (s.active.size > 0) {
    throw new NyxError(
      "failed_precondition",
      `Could not take the networks away: ${s.active.size} container(s) still use them; tear them down first`,
    );
  }
  s.watch?.[Symbol.dispose]();
  delete s.watch;
  attempts.try("delete table", () => s.nft.run(`table inet ${s.table}\ndelete table inet ${s.table}`));
  for (const { network, bridge } of s.networks.values()) {
    if (bridge.owned) attempts.try(`delete bridge ${network.bridge}`, () => removeLink(s.rt, bridge.index));
  }
  await close(s);
  attempts.try("release the namespace directory", () => {
    try {
      s.kernel.ns.unshareDirectory(s.netnsDir);
    } catch (e) {
      if (!isErrno(e, "EBUSY")) throw e;
    }
  });
  attempts.finish("take the networks away");
}
