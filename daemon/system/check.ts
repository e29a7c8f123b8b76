/** `nyx system check`: records against files, mounts, namespaces, cgroups, rules, leases, monitors and crun; and the repair of what differs. */

import type { CheckFinding, CheckResult } from "../spec/api.ts";
import { CONTAINER_ID } from "../spec/container.ts";
import { layerKey } from "../spec/layer_store.ts";
import { networkMode, ownsNetwork } from "../supervisor/launch.ts";
import type { SupervisorDeps } from "../supervisor/deps.ts";
import type { Container } from "../supervisor/container.ts";
import { removeOrphans, takeDownEnded } from "../supervisor/recover.ts";
import type { Supervisor } from "../supervisor/supervisor.ts";
import type { NetworkStage } from "../../workers/protocol.ts";

/** What there is of one kind, by container. */
interface Observed {
  what: string;
  ids: Set<string>;
  /** Belongs to running containers alone, or to all that are known. */
  of: "live" | "known";
  /** Whether a running container must have it. */
  needed: (container: Container) => boolean;
}

const always = () => true;
const never = () => false;

async function idsIn(dir: string): Promise<Set<string>> {
  const ids = new Set<string>();
  try {
    for await (const { name } of Deno.readDir(dir)) {
      const id = name.slice(0, 64);
      if (CONTAINER_ID.test(id)) ids.add(id);
    }
  } catch (e) {
    if (!(e instanceof Deno.errors.NotFound)) throw e;
  }
  return ids;
}

async function leases(baseDir: string): Promise<Set<string>> {
  try {
    const file = JSON.parse(await Deno.readTextFile(`${baseDir}/network/leases.json`)) as { containers?: object };
    return new Set(Object.keys(file.containers ?? {}));
  } catch (e) {
    if (e instanceof Deno.errors.NotFound) return new Set();
    throw e;
  }
}

/** Parent cgroups of all containers. */
function cgroupParents(all: readonly Container[], deps: SupervisorDeps): string[] {
  const { cgroupParent } = deps.defaults;
  return [...new Set([cgroupParent, ...all.map((c) => c.record.spec.cgroupParent ?? cgroupParent)])];
}

/** Ids of the containers that have a mount of a kind below overlay/<id>. */
function mountedBelow(targets: readonly string[], baseDir: string, isOne: (name: string) => boolean): Set<string> {
  const prefix = `${baseDir}/overlay/`;
  const found = targets.filter((t) => t.startsWith(prefix)).map((t) => t.slice(prefix.length))
    .filter((t) => CONTAINER_ID.test(t.slice(0, 64)) && isOne(t.slice(65)));
  return new Set(found.map((t) => t.slice(0, 64)));
}

/** What the network stage says. */
type NetworkAudit = NetworkStage["ops"]["audit"]["result"];

async function observe(
  all: readonly Container[],
  deps: SupervisorDeps,
): Promise<{ observed: Observed[]; network: NetworkAudit }> {
  const { baseDir, stages } = deps;
  const dir = (path: string) => idsIn(`${baseDir}/${path}`);
  const [{ targets }, crun, network, cgroups] = await Promise.all([
    stages.rootfs.call("listMounts", { baseDir }),
    stages.streams.call("list", {}),
    stages.network.call("audit", { repair: false }),
    stages.streams.call("cgroups", { parents: cgroupParents(all, deps) }),
  ]);
  const live = (what: string, ids: Set<string>, needed: Observed["needed"]): Observed => ({
    what,
    ids,
    of: "live",
    needed,
  });
  const known = (what: string, ids: Set<string>): Observed => ({ what, ids, of: "known", needed: never });
  const hasNetwork = (c: Container) => ownsNetwork(networkMode(c.record));
  const observed = [
    live("root mount", mountedBelow(targets, baseDir, (name) => name === "merged"), always),
    live("mount", mountedBelow(targets, baseDir, (name) => name !== "merged"), never),
    live("runtime state", new Set(crun.map((c) => c.id)), always),
    live("monitor", await dir("run/monitor"), always),
    live("cgroup", new Set(cgroups.ids), always),
    live("network namespace", new Set(network.namespaces), hasNetwork),
    known("record", await dir("supervisor/containers")),
    known("writable layer", await dir("overlay")),
    known("bundle", await dir("bundles")),
    known("log", await dir("logs")),
    known("address lease", await leases(baseDir)),
  ];
  return { observed, network };
}

/** Rules of published ports that are not there, or that nobody has. */
function ruleFindings({ missing, extra }: NetworkAudit): CheckFinding[] {
  return [
    ...missing.map(({ id, element }): CheckFinding => ({
      kind: "missing",
      id,
      message: `The rule of a published port is missing: ${element}`,
    })),
    ...extra.map((element): CheckFinding => ({
      kind: "orphan",
      id: "",
      message: `A rule publishes a port of no container: ${element}`,
    })),
  ];
}

/** Containers that stand still: others are looked at when their change is over. */
function settled(all: readonly Container[]): Container[] {
  return all.filter((c) => !["starting", "stopping", "removing", "restarting"].includes(c.status));
}

function differences(
  observed: Observed[],
  all: readonly Container[],
  unreadable: ReadonlySet<string>,
): CheckFinding[] {
  const known = new Set([...all.map((c) => c.id), ...unreadable]);
  const running = all.filter((c) => c.live);
  const live = new Set([...running.map((c) => c.id), ...unreadable]);
  const still = new Set(settled(all).map((c) => c.id));
  const busy = new Set(all.filter((c) => !still.has(c.id)).map((c) => c.id));
  return observed.flatMap(({ what, ids, of, needed }) => {
    const allowed = of === "live" ? live : known;
    const orphans = [...ids].filter((id) => !allowed.has(id) && !busy.has(id)).map((id): CheckFinding => ({
      kind: "orphan",
      id,
      message: `There is a ${what} of ${known.has(id) ? "a container that does not run" : "no known container"}`,
    }));
    const missing = running.filter((c) => needed(c) && !ids.has(c.id) && !busy.has(c.id)).map((c): CheckFinding => ({
      kind: "missing",
      id: c.id,
      message: `A running container has no ${what}`,
    }));
    return [...orphans, ...missing];
  });
}

/** Containers that there are, but whose record cannot be read. */
function unreadableFindings(unreadable: ReadonlySet<string>): CheckFinding[] {
  return [...unreadable].map((id) => ({
    kind: "missing",
    id,
    message:
      "Its record cannot be read and cannot be rebuilt; restore it below supervisor/containers, or delete it there",
  }));
}

async function imageFindings(supervisor: Supervisor, deps: SupervisorDeps): Promise<CheckFinding[]> {
  const present = await idsOfLayers(deps.baseDir);
  return supervisor.all.flatMap((c) =>
    c.record.image.layers.filter((diffId) => !present(diffId)).map((diffId): CheckFinding => ({
      kind: "missing",
      id: c.id,
      message: `Layer ${diffId} of image ${c.record.image.ref} is missing; pull the image again`,
    }))
  );
}

async function idsOfLayers(baseDir: string): Promise<(diffId: string) => boolean> {
  const names = new Set<string>();
  for await (const { name } of Deno.readDir(`${baseDir}/layers`)) names.add(name);
  return (diffId) => names.has(layerKey(diffId));
}

/** Takes away what belongs to nobody. */
async function removeStray(stray: Set<string>, supervisor: Supervisor, deps: SupervisorDeps): Promise<void> {
  const { network, streams } = deps.stages;
  await removeOrphans(supervisor, deps);
  await takeDownEnded(supervisor, deps);
  const parents = cgroupParents(supervisor.all, deps);
  for (const id of stray) {
    const container = supervisor.all.find((c) => c.id === id);
    if (container?.live === true || deps.store.unreadable.has(id)) continue;
    await network.call("teardown", { id });
    if (container === undefined) await network.call("release", { id });
    await streams.call("removeCgroups", { id, parents });
  }
  await network.call("audit", { repair: true });
}

/** Compares; with `repair` it also takes away what belongs to nobody, makes lost rules anew, and looks again. */
export async function check(supervisor: Supervisor, deps: SupervisorDeps, repair: boolean): Promise<CheckResult> {
  const { unreadable } = deps.store;
  const look = async () => {
    const { observed, network } = await observe(supervisor.all, deps);
    return [
      ...unreadableFindings(unreadable),
      ...differences(observed, supervisor.all, unreadable),
      ...ruleFindings(network),
      ...await imageFindings(supervisor, deps),
    ];
  };
  const findings = await look();
  if (!repair || findings.length === 0) return { findings, repaired: [] };
  const stray = findings.filter((f) => f.kind === "orphan" && CONTAINER_ID.test(f.id)).map((f) => f.id);
  await removeStray(new Set(stray), supervisor, deps);
  const left = await look();
  const same = (a: CheckFinding) => (b: CheckFinding) => a.id === b.id && a.message === b.message;
  return { findings: left, repaired: findings.filter((f) => !left.some(same(f))) };
}
