/** `nyx system check`: records against files, mounts, namespaces, leases, monitors and crun; and the repair of what differs. */

import type { CheckFinding, CheckResult } from "../spec/api.ts";
import { CONTAINER_ID } from "../spec/container.ts";
import { layerKey } from "../spec/layer_store.ts";
import type { SupervisorDeps } from "../supervisor/deps.ts";
import type { Container } from "../supervisor/container.ts";
import { removeOrphans, takeDownEnded } from "../supervisor/recover.ts";
import type { Supervisor } from "../supervisor/supervisor.ts";

/** What there is of one kind, by container. */
interface Observed {
  what: string;
  ids: Set<string>;
  /** Belongs to running containers alone, or to all that are known. */
  of: "live" | "known";
  /** Every running container must have it. */
  needed: boolean;
}

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

async function observe(deps: SupervisorDeps): Promise<Observed[]> {
  const { baseDir, stages } = deps;
  const dir = (path: string) => idsIn(`${baseDir}/${path}`);
  const [{ targets }, crun] = await Promise.all([
    stages.rootfs.call("listMounts", { baseDir }),
    stages.streams.call("list", {}),
  ]);
  const roots = targets.filter((t) => t.startsWith(`${baseDir}/overlay/`) && t.endsWith("/merged"));
  const live = (what: string, ids: Set<string>, needed: boolean): Observed => ({ what, ids, of: "live", needed });
  const known = (what: string, ids: Set<string>): Observed => ({ what, ids, of: "known", needed: false });
  return [
    live("root mount", new Set(roots.map((t) => t.split("/").at(-2) ?? "")), true),
    live("runtime state", new Set(crun.map((c) => c.id)), true),
    live("monitor", await dir("run/monitor"), true),
    live("network namespace", await dir("run/netns"), false),
    known("record", await dir("supervisor/containers")),
    known("writable layer", await dir("overlay")),
    known("bundle", await dir("bundles")),
    known("log", await dir("logs")),
    known("address lease", await leases(baseDir)),
  ];
}

/** Containers that stand still: others are looked at when their change is over. */
function settled(all: readonly Container[]): Container[] {
  return all.filter((c) => !["starting", "stopping", "removing", "restarting"].includes(c.status));
}

function differences(observed: Observed[], all: readonly Container[]): CheckFinding[] {
  const known = new Set(all.map((c) => c.id));
  const live = new Set(all.filter((c) => c.live).map((c) => c.id));
  const busy = new Set(all.filter((c) => !settled(all).includes(c)).map((c) => c.id));
  return observed.flatMap(({ what, ids, of, needed }) => {
    const allowed = of === "live" ? live : known;
    const orphans = [...ids].filter((id) => !allowed.has(id) && !busy.has(id)).map((id): CheckFinding => ({
      kind: "orphan",
      id,
      message: `There is a ${what} of ${known.has(id) ? "a container that does not run" : "no known container"}`,
    }));
    const missing = !needed ? [] : [...live].filter((id) => !ids.has(id) && !busy.has(id)).map((id): CheckFinding => ({
      kind: "missing",
      id,
      message: `A running container has no ${what}`,
    }));
    return [...orphans, ...missing];
  });
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

/** Compares; with `repair` it also takes away what belongs to nobody, and looks again. */
export async function check(supervisor: Supervisor, deps: SupervisorDeps, repair: boolean): Promise<CheckResult> {
  const look = async () => [
    ...differences(await observe(deps), supervisor.all),
    ...await imageFindings(supervisor, deps),
  ];
  const findings = await look();
  if (!repair || findings.length === 0) return { findings, repaired: [] };
  await removeOrphans(supervisor, deps);
  await takeDownEnded(supervisor, deps);
  const stray = findings.filter((f) => f.kind === "orphan").map((f) => f.id);
  for (const id of new Set(stray)) {
    const container = supervisor.all.find((c) => c.id === id);
    if (container?.live === true) continue;
    await deps.stages.network.call("teardown", { id });
    if (container === undefined) await deps.stages.network.call("release", { id });
  }
  const left = await look();
  const same = (a: CheckFinding) => (b: CheckFinding) => a.id === b.id && a.message === b.message;
  return { findings: left, repaired: findings.filter((f) => !left.some(same(f))) };
}
