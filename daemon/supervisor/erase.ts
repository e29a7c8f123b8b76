/** The end of a container's belongings, and a bounded wait. */

import type { SupervisorDeps } from "./deps.ts";
import type { ContainerRecord } from "../persist/record.ts";
import { untilAvailable } from "./available.ts";
import { networkMode, ownsNetwork, takeDown } from "./launch.ts";

/**
 * Deletes everything a container has; the record last, so that a crash in between is finished at the next start.
 *
 * @param volumes whether its anonymous volumes go too
 */
export async function erase(deps: SupervisorDeps, record: ContainerRecord, volumes: boolean): Promise<void> {
  await takeDown(deps, record, true);
  const { network, rootfs, streams } = deps.stages;
  if (ownsNetwork(networkMode(record))) await untilAvailable(() => network.call("release", { id: record.id }));
  await Promise.all([
    untilAvailable(() => rootfs.call("removeTree", { path: record.bundleDir })),
    untilAvailable(() => streams.call("removeLog", { id: record.id })),
  ]);
  const anonymous = record.mounts.flatMap((m) => m.anonymous && m.name !== undefined ? [m.name] : []);
  if (volumes && anonymous.length > 0) await deps.volumes.removeAnonymous(anonymous);
  await deps.store.remove(record.id);
}

/** Whether `promise` settled within `ms`; negative waits for ever. */
export async function settledWithin(promise: Promise<unknown>, ms: number): Promise<boolean> {
  const done = promise.then(() => true, () => true);
  if (ms < 0) return await done;
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), ms);
  try {
    return await Promise.race([done, late]);
  } finally {
    clearTimeout(timer);
  }
}
