/**
 * Start-up reconciliation: what the records say against what monitors, crun and the kernel have. Each container is
 * adopted, finished or cleaned; what belongs to none is removed.
 */

import type { ContainerRecord } from "../persist/record.ts";
import { CONTAINER_ID } from "../spec/container.ts";
import { toNyxError } from "../spec/errors.ts";
import { nowRfc3339 } from "../spec/time.ts";
import { adoptRequest } from "./actor.ts";
import { bootOrder, joins } from "./boot_order.ts";
import { agree, holdsUnknown } from "./connect.ts";
import type { Container } from "./container.ts";
import type { SupervisorDeps } from "./deps.ts";
import { takeDown } from "./launch.ts";
import { LIVE } from "./machine.ts";
import { dueInMs, startsAtBoot } from "./restart.ts";
import type { Supervisor } from "./supervisor.ts";

/** Exit code of a container whose end nobody saw (host reboot, or its monitor was killed): as if killed. */
const LOST_EXIT_CODE = 137;

/** What start-up did. */
export interface Recovery {
  adopted: number;
  finished: number;
  removed: number;
}

/**
 * Ids whose network must be kept, and those that only keep their reservations.
 *
 * @param unreadable containers without a readable record: they may run
 */
export function networkIds(
  records: ContainerRecord[],
  unreadable: Iterable<string> = [],
): { live: string[]; known: string[] } {
  return {
    live: [...records.filter((r) => LIVE.has(r.state.status)).map((r) => r.id), ...unreadable],
    known: [...records.filter((r) => r.state.status !== "removing").map((r) => r.id), ...unreadable],
  };
}

/**
 * Brings every container to a true state. The API may answer meanwhile: each container's mailbox holds later requests
 * back until it is settled.
 *
 * @param waits whether a container has others to wait for before it starts
 * @returns what was done; those that are to be started ({@linkcode startAtBoot}); and the ids of those that come after these, in an
 * order that is the caller's to keep
 */
export async function recover(
  supervisor: Supervisor,
  deps: SupervisorDeps,
  waits: (container: Container) => boolean = () => false,
): Promise<{ recovery: Recovery; now: Container[]; later: string[] }> {
  const recovery: Recovery = { adopted: 0, finished: 0, removed: 0 };
  const restart: Container[] = [];
  await Promise.all(supervisor.all.map(async (container) => {
    try {
      await settle(container, deps, recovery, restart);
    } catch (error) {
      deps.log.error("A container could not be recovered", { id: container.id, error });
    }
  }));
  await agreeOnNetworks(supervisor, deps);
  await removeOrphans(supervisor, deps);
  await takeDownEnded(supervisor, deps);
  const later = restart.filter(waits);
  const now = restart.filter((container) => !later.includes(container));
  return { recovery, now, later: later.map((container) => container.id) };
}

/** Starts under way at once at boot: enough for two cores and a disk. */
const BOOT_STARTS = 4;

/**
 * Starts containers that were up before nyxd or the host went down: the oldest first, those that are joined before those that join
 * them. The API answers meanwhile; what a user did by then counts. Failures are logged.
 *
 * @param signal ends it; what has not been started by then stays down
 */
export async function startAtBoot(
  containers: readonly Container[],
  { deps, signal }: { deps: SupervisorDeps; signal: AbortSignal },
): Promise<void> {
  const held = new Map(containers.map((c) => [c, c.record.state.stoppedByUser]));
  const turn = new Map(containers.map((c) => [c.id, Promise.withResolvers<void>()]));
  const ordered = bootOrder(containers, (c) => c.record);
  const place = new Map(ordered.map((c, i) => [c.id, i]));
  const one = async (container: Container, i: number) => {
    // Only for who comes before: their turns have begun, so that nobody waits for ever.
    const joined = joins(container.record.spec).filter((id) => (place.get(id) ?? i) < i);
    await Promise.all(joined.map((id) => turn.get(id)?.promise));
    const { status, stoppedByUser } = container.record.state;
    if (signal.aborted || status !== "exited" || stoppedByUser !== held.get(container)) return;
    try {
      await container.start({}, false);
    } catch (error) {
      deps.log.warn("A container could not be started at boot", { id: container.id, error: toNyxError(error) });
    }
  };
  const queue = [...ordered.entries()];
  const starter = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [i, container] = next;
      await one(container, i);
      turn.get(container.id)?.resolve();
    }
  };
  await Promise.all(Array.from({ length: BOOT_STARTS }, starter));
}

/** Makes the networks of all containers what their records say. */
export async function agreeOnNetworks(supervisor: Supervisor, deps: SupervisorDeps): Promise<void> {
  const givers = supervisor.all.filter((c) => holdsUnknown(c, deps));
  for (const container of new Set([...givers, ...supervisor.all])) {
    try {
      await agree(container, deps);
    } catch (error) {
      deps.log.error("The networks of a container could not be set right", { id: container.id, error });
    }
  }
}

async function settle(
  container: Container,
  deps: SupervisorDeps,
  recovery: Recovery,
  restart: Container[],
): Promise<void> {
  const { record } = container;
  const { state } = record;
  switch (state.status) {
    case "removing":
    case "dead":
      await container.finishRemoval();
      recovery.removed++;
      return;
    case "starting":
    case "running":
    case "paused":
    case "stopping":
      await adopt(container, deps, recovery, restart);
      return;
    case "restarting": {
      container.armRestart(dueInMs(state.nextRestartAt, Date.now()));
      return;
    }
    case "exited":
      if (record.spec.autoRemove === true) {
        await container.remove({ force: false, volumes: true });
        recovery.removed++;
      } else if (startsAtBoot(record.spec.restart ?? { name: "no" }, state.stoppedByUser) && !isDone(record)) {
        restart.push(container);
      }
      return;
    case "created":
      return;
  }
}

/** An on-failure container that ended well, or one that gave up, stays down. */
function isDone(record: ContainerRecord): boolean {
  return record.spec.restart?.name === "on-failure";
}

async function adopt(
  container: Container,
  deps: SupervisorDeps,
  recovery: Recovery,
  restart: Container[],
): Promise<void> {
  const { record } = container;
  const wasStarting = record.state.status === "starting";
  const found = await container.mailbox.run(async () =>
    // What stood before it in the mailbox may have ended it.
    container.live ? await deps.stages.streams.call("adopt", adoptRequest(record)) : undefined
  );
  if (found === undefined) return;
  if (found.state === "running") {
    const before = JSON.stringify(record.state);
    record.state.pid = found.pid;
    if (wasStarting) record.state.status = "running";
    record.state.startedAt ??= nowRfc3339();
    recovery.adopted++;
    const stopping = record.state.status === "stopping";
    if (stopping) record.state.status = "running";
    // Most are as they were written down: a hundred of them need not wait for the disk.
    if (JSON.stringify(record.state) !== before) await container.save();
    container.adopted();
    if (stopping) void container.stop(record.stopSignal, (record.spec.stopTimeoutS ?? 10) * 1000).catch(() => {});
    return;
  }
  recovery.finished++;
  if (found.state === "exited") {
    await container.onExit(found.exit);
    return;
  }
  if (wasStarting && record.state.startedAt === undefined) {
    await container.mailbox.run(async () => {
      await takeDown(deps, record, false);
      record.state.status = "created";
      await container.save();
    });
    return;
  }
  const { restart: policy = { name: "no" as const }, autoRemove } = record.spec;
  const again = startsAtBoot(policy, record.state.stoppedByUser) ||
    (policy.name === "on-failure" && !record.state.stoppedByUser);
  await container.lost({
    code: LOST_EXIT_CODE,
    finishedAt: nowRfc3339(),
    oomKilled: false,
    error: "Its end was not seen: the host or its monitor went down while it ran",
  });
  if (again && autoRemove !== true) restart.push(container);
}

/** Takes the running containers over again after the streams worker was replaced. */
export async function readopt(supervisor: Supervisor, deps: SupervisorDeps): Promise<void> {
  const recovery: Recovery = { adopted: 0, finished: 0, removed: 0 };
  const restart: Container[] = [];
  for (const container of supervisor.all.filter((c) => c.live)) await adopt(container, deps, recovery, restart);
  for (const container of restart) await container.start({}, false);
  deps.log.info("Containers were taken over again", { ...recovery });
}

/** Removes files of containers that have no record, and mounts below overlay/ that nobody uses. */
export async function removeOrphans(supervisor: Supervisor, deps: SupervisorDeps): Promise<void> {
  const { rootfs, streams } = deps.stages;
  const known = new Set([...supervisor.all.map((c) => c.id), ...deps.store.unreadable]);
  const { baseDir } = deps;
  for (
    const [dir, isOrphan] of [
      [`${baseDir}/overlay`, (n: string) => CONTAINER_ID.test(n)],
      [`${baseDir}/bundles`, (n: string) => CONTAINER_ID.test(n)],
    ] as const
  ) {
    for (const name of await namesIn(dir)) {
      if (!isOrphan(name) || known.has(name)) continue;
      deps.log.warn("Files of an unknown container are removed", { path: `${dir}/${name}` });
      await streams.call("delete", { id: name }).catch(() => {});
      await rootfs.call("unmount", { id: name, baseDir, removeDirs: true });
      await rootfs.call("removeTree", { path: `${baseDir}/bundles/${name}` });
    }
  }
  for (const name of await namesIn(`${baseDir}/logs`)) {
    const id = name.slice(0, 64);
    if (CONTAINER_ID.test(id) && !known.has(id)) await Deno.remove(`${baseDir}/logs/${name}`).catch(() => {});
  }
}

/**
 * Takes down what is left of containers that have ended: nyxd died between writing that down and cleaning up. Also takes up
 * removals of root directories that were under way.
 */
export async function takeDownEnded(supervisor: Supervisor, deps: SupervisorDeps): Promise<void> {
  const { baseDir, stages } = deps;
  const { targets } = await stages.rootfs.call("listMounts", { baseDir });
  const mounted = targets.filter((t) => t.startsWith(`${baseDir}/overlay/`)).map((t) => t.split("/").at(-2) ?? "");
  const left = new Set([
    ...mounted,
    ...await namesIn(`${baseDir}/run/monitor`),
    ...await namesIn(`${baseDir}/run/crun`),
  ]);
  await Promise.all(
    supervisor.all.filter((c) => left.has(c.id)).map((container) =>
      container.mailbox.run(async () => {
        if (container.live) return;
        await takeDown(deps, container.record, false).catch((error) =>
          deps.log.error("An exited container was not taken down completely", { id: container.id, error })
        );
      })
    ),
  );
}

async function namesIn(dir: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const entry of Deno.readDir(dir)) names.push(entry.name);
  } catch (e) {
    if (!(e instanceof Deno.errors.NotFound)) throw e;
  }
  return names;
}
