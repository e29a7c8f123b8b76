/** The worker's beginning: what runs is adopted, what was cut off is finished, what belongs to nobody is detached. */

import { invalid, NyxError } from "../../daemon/spec/errors.ts";
import { NETWORK_DRIVERS } from "../../daemon/spec/network.ts";
import { isErrno } from "../../ffi/errno.ts";
import { linuxProcess } from "../../ffi/linux/process.ts";
import { SIGNALS } from "../../ffi/process.ts";
import type { NetworkDefinition, NetworkStage } from "../protocol.ts";
import { checkDisjoint, MODES, type Network, parseNetwork } from "../network/definition.ts";
import { refuseOverlap } from "../network/host.ts";
import { LeaseStore } from "../network/leases.ts";
import {
  close,
  dropNetwork,
  ensureNetwork as ensureBridgeNetwork,
  type Environment,
  type InitRequest,
  makeSession,
  removeStrayBridges,
  startWatch,
} from "../network/lifecycle.ts";
import { checkId, syncTable } from "../network/session.ts";
import { detach } from "./attach.ts";
import { ResultCache } from "./cache.ts";
import { Chain } from "./chain.ts";
import { adopt } from "./container.ts";
import { programsOf } from "./discover.ts";
import { type CniDriver, pluginsOf } from "./generate.ts";
import { PLUGIN_TIMEOUT_MS } from "./plugin.ts";
import type { ConfigList } from "./conflist.ts";
import { ANY_PLACE, type CniSession, discovered, findTarget, Pending, rediscover } from "./session.ts";

/** Opens everything, ensures networks, adopts what runs and detaches the rest. */
export async function open(
  env: Environment,
  request: InitRequest,
): Promise<{ session: CniSession } & NetworkStage["ops"]["init"]["result"]> {
  const { baseDir, networks, live, known, cni } = request;
  for (const id of [...live, ...known]) checkId(id);
  const [first] = networks;
  if (first === undefined || cni === undefined) {
    throw new NyxError("invalid_argument", "Could not start networking: no network, or no place of plugins, was given");
  }
  const { store, warning } = LeaseStore.open(`${baseDir}/network`);
  const { cache, warnings } = ResultCache.open(`${baseDir}/network/cni/results`);
  const net = makeSession(env, request, first, store);
  const timeoutMs = cni.timeoutMs ?? PLUGIN_TIMEOUT_MS;
  const session: CniSession = {
    net,
    cache,
    chain: new Chain({ binDir: cni.binDir, timeoutMs, endTree: treeEnder(env) }),
    confDir: cni.confDir,
    managed: new Map(),
    pending: new Pending(),
    fileWarnings: [],
  };
  try {
    await ensureNetwork(session, first);
    const failed = await ensureOthers(session, networks.slice(1));
    warnings.push(...warning === undefined ? [] : [warning], ...failed.map((f) => f.message));
    warnings.push(...removeStrayBridges(net, networks));
    keepReservations(session, new Set([...live, ...known]));
    const removed = await detachStrangers(session, new Set(live));
    for (const id of live) warnings.push(...await adopt(session, id));
    syncTable(net);
    await net.leases.commit();
    startWatch(net, env);
    const files = discovered(session);
    const attached = [...net.leases.entries()].filter(([id]) => live.includes(id)).map(([id, { ports }]) => ({
      id,
      networks: cache.of(id).map((a) => a.network),
      ports,
    }));
    // What is wrong with files may be put right at any time: `findings` tells what is so at that moment.
    for (const text of session.fileWarnings) net.log("warn", text, {});
    return { session, removed, warnings, failed, attached, discovered: files };
  } catch (e) {
    await close(net);
    throw e;
  }
}

/** Ends a process and its descendants, as far as the kernel lists children: what a plugin left behind must not go on. */
function treeEnder({ kernel: { ns } }: Environment): (pid: number) => void {
  const process = linuxProcess();
  const end = (pid: number) => {
    let children: number[] = [];
    try {
      children = ns.readKernelFile(`/proc/${pid}/task/${pid}/children`).trim().split(/\s+/).filter(Boolean).map(Number);
      process.kill(pid, SIGNALS["SIGKILL"] ?? 9);
    } catch (e) {
      if (!isErrno(e, "ENOENT", "ESRCH")) throw e;
    }
    for (const child of children) end(child);
  };
  return end;
}

async function ensureOthers(
  s: CniSession,
  definitions: readonly NetworkDefinition[],
): Promise<{ name: string; message: string }[]> {
  const failed: { name: string; message: string }[] = [];
  for (const definition of definitions) {
    try {
      await ensureNetwork(s, definition);
    } catch (e) {
      failed.push({ name: definition.name, message: (e as Error).message });
    }
  }
  return failed;
}

function checkDriver(driver: string): asserts driver is CniDriver {
  if (NETWORK_DRIVERS.cni.some((d) => d === driver)) return;
  throw invalid("network driver", driver, `with --net-driver cni there are ${NETWORK_DRIVERS.cni.join(", ")}`);
}

const MACVLAN_MODES = Object.keys(MODES.macvlan);

/** A network without a bridge of nyx: its addresses are checked, and nothing is made before a container comes. */
function placeOf(s: CniSession, definition: NetworkDefinition, driver: CniDriver): Network {
  // No interface has such a name, so that no two networks seem to share one.
  const network = {
    ...parseNetwork({ ...definition, driver: "bridge", bridge: "x" }),
    bridge: `${driver}:${definition.name}`,
  };
  checkDisjoint(network, [...s.managed.values()].map((m) => m.network));
  if (driver === "macvlan") {
    const { parent, mode = "bridge" } = definition;
    if (!MACVLAN_MODES.includes(mode)) throw invalid("macvlan mode", mode, `use ${MACVLAN_MODES.join(", ")}`);
    if (parent === undefined) {
      throw invalid("option parent", "", "name the interface of the host, such as -o parent=eth0");
    }
    if (s.net.rt.link(parent) === undefined) throw invalid("option parent", parent, "the host has no such interface");
  } else refuseOverlap(s.net.rt, network);
  return network;
}

/** Makes a network, or finds it made. */
export async function ensureNetwork(s: CniSession, definition: NetworkDefinition): Promise<void> {
  const { driver, name } = definition;
  checkDriver(driver);
  const version = await s.chain.commonVersion(pluginsOf(driver));
  if (version === undefined) {
    throw new NyxError(
      "failed_precondition",
      `Could not make network ${name}: its CNI plugins (${
        pluginsOf(driver).join(", ")
      }) have no version in common with nyx`,
    );
  }
  let network: Network;
  if (driver === "bridge") {
    ensureBridgeNetwork(s.net, definition);
    network = s.net.networks.get(name)?.network as Network;
  } else network = placeOf(s, definition, driver);
  s.managed.set(name, { definition, driver, network, version });
}

/** Takes a network away. Missing is no error. */
export function removeNetwork(s: CniSession, name: string): void {
  if (!s.managed.has(name)) return;
  const rest = s.pending.all().find((p) => p.attachment.network === name);
  if (rest !== undefined) {
    throw new NyxError("failed_precondition", `Could not remove network ${name}: ${rest.text}`, {
      context: { network: name },
    });
  }
  const user = s.cache.ids().find((id) => s.cache.of(id).some((a) => a.network === name));
  if (user !== undefined) {
    const holder = s.net.leases.get(user)?.name ?? user.slice(0, 12);
    throw new NyxError(
      "failed_precondition",
      `Could not remove network ${name}: container ${holder} is attached to it; remove or disconnect it first`,
      { context: { network: name, holder } },
    );
  }
  forgetNetwork(s, name);
  syncTable(s.net);
}

/** Takes a network out, its leases too; the caller syncs the table. */
export function forgetNetwork(s: CniSession, name: string): void {
  s.managed.delete(name);
  dropNetwork(s.net, name);
  try {
    Deno.removeSync(`${s.net.baseDir}/network/cni/ipam/${name}`, { recursive: true });
  } catch (e) {
    if (!(e instanceof Deno.errors.NotFound)) throw e;
  }
}

/** Ports of containers that are there stay reserved; addresses of the native driver are given up. */
function keepReservations(s: CniSession, keep: ReadonlySet<string>): void {
  for (const [id, reservation] of [...s.net.leases.entries()]) {
    if (!keep.has(id)) {
      s.net.leases.delete(id);
      continue;
    }
    s.net.ports.hold(id, reservation.name, reservation.ports);
    if (reservation.leases.length > 0) s.net.leases.set(id, { ...reservation, leases: [] });
  }
}

/** Detaches containers that do not run, and takes namespaces of none away. */
async function detachStrangers(s: CniSession, live: ReadonlySet<string>): Promise<string[]> {
  const gone = s.cache.ids().filter((id) => !live.has(id));
  await Promise.all(gone.map(async (id) => {
    for (const attachment of s.cache.of(id).toReversed()) await detach(s, attachment);
  }));
  const removed: string[] = [];
  for (const { name } of Deno.readDirSync(s.net.netnsDir)) {
    if (!live.has(name) && s.net.kernel.ns.unpinNamespace(`${s.net.netnsDir}/${name}`)) removed.push(name);
  }
  return [...new Set([...gone, ...removed])];
}

/** Lists of all networks. */
export function allLists(s: CniSession): ConfigList[] {
  const own = [...s.managed.keys()].map((name) => findTarget(s, name).list(ANY_PLACE));
  return [...own, ...[...rediscover(s).lists.values()].map((f) => f.list)];
}

/** What stands in the way of containers, on the side of plugins. */
export async function findings(s: CniSession): Promise<string[]> {
  const found: string[] = [];
  for (const list of allLists(s)) {
    try {
      await s.chain.validate(list);
      for (const type of programsOf(list)) await s.chain.versions(type);
      found.push(...(await s.chain.status(list)).map((e) => e.message));
    } catch (e) {
      found.push((e as Error).message);
    }
  }
  return [...found, ...s.fileWarnings, ...s.pending.all().map((p) => p.text)];
}
