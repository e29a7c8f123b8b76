/**
 * Replacing a container. What ran before goes only when what replaces it runs; when that fails, the old one is put back as it was.
 * Anonymous volumes go over to the new container.
 */

import { toNyxError } from "../../spec/errors.ts";
import type { DesiredContainer } from "../container.ts";
import { isUp } from "../plan/world.ts";
import type { ComposeEngine, EngineContainer } from "./engine.ts";
import { asideName, type Replaced, type ReplaceOptions, withVolumesOf } from "./replacement.ts";
import { drain, exclusive, handOver, startFirst, untilTakesOver } from "./start_first.ts";

/** Replaces by stopping the old container first. */
async function stopFirst(
  engine: ComposeEngine,
  old: EngineContainer,
  desired: DesiredContainer,
  options: ReplaceOptions,
): Promise<Replaced> {
  const wasUp = isUp(old.status);
  const config = options.renewVolumes ? desired.config : withVolumesOf(desired.config, old);
  let made: string | undefined;
  let aside = false;
  try {
    if (wasUp) await engine.stop(old.id, options.timeoutS);
    if (old.name === desired.name) {
      await engine.rename(old.id, asideName(old));
      aside = true;
    }
    await engine.release(old.id);
    const created = await engine.create(config);
    made = created.id;
    created.warnings.forEach(options.onWarning);
    if (!options.noStart) await engine.start(made);
  } catch (e) {
    throw await putBack(engine, old, { made, aside, wasUp }, e);
  }
  if (!options.keepOld) await engine.remove(old.id, options.renewVolumes);
  return { old, id: made, moved: [], aside };
}

/** Undoes a replacement, and says so in the error. */
async function putBack(
  engine: ComposeEngine,
  old: EngineContainer,
  { made, aside, wasUp }: { made: string | undefined; aside: boolean; wasUp: boolean },
  cause: unknown,
): Promise<Error> {
  const failure = toNyxError(cause);
  try {
    if (made !== undefined) await engine.remove(made, false);
    if (aside) await engine.rename(old.id, old.name);
    if (wasUp) await engine.start(old.id);
    const note = wasUp ? "the container that ran before was started again" : "the container before it is kept";
    failure.message += `; ${note}`;
  } catch (e) {
    failure.message += `; the container before it, ${old.id.slice(0, 12)}, could not be put back: ${
      toNyxError(e).message
    }`;
  }
  return failure;
}

/**
 * Replaces a container.
 *
 * @param order as the plan has it; a container that cannot be beside its successor is stopped first all the same, with a warning
 */
export async function replace(
  engine: ComposeEngine,
  old: EngineContainer,
  desired: DesiredContainer,
  order: "start-first" | "stop-first" | undefined,
  options: ReplaceOptions,
): Promise<Replaced> {
  // One that is paused or on its way down serves nobody, and cannot hand its ports over.
  if (order === "start-first" && old.status === "running" && !options.noStart) {
    const why = exclusive(old.config, desired.config);
    if (why === undefined) return await startFirst(engine, old, desired, options);
    options.onWarning(
      `${desired.name} is stopped before its successor starts, although order: start-first was asked for: ${why}`,
    );
  }
  return await stopFirst(engine, old, desired, options);
}

/** How to go back. */
export interface WayBackOptions extends Pick<ReplaceOptions, "timeoutS" | "signal"> {
  order: "start-first" | "stop-first";
}

/** Puts the container back that was replaced with `keepOld`, and removes its successor. */
export async function wayBack(
  engine: ComposeEngine,
  { old, id, moved, aside }: Replaced,
  { order, timeoutS, signal }: WayBackOptions,
): Promise<void> {
  const successor = engine.container(id);
  // Ports can only go over between two that run.
  if (
    successor !== undefined && isUp(successor.status) && isUp(old.status) &&
    (moved.length > 0 || order === "start-first")
  ) {
    await engine.start(old.id);
    await untilTakesOver(engine, successor, old.id, moved, signal);
    if (moved.length > 0) await engine.movePorts(id, old.id, moved);
    await handOver(engine, { from: successor, aside }, {
      id: old.id,
      name: old.name,
      networks: old.config.networks ?? [],
    });
    await drain(engine, successor, timeoutS);
    await engine.stop(id, timeoutS);
    await engine.remove(id, false);
    return;
  }
  if (successor !== undefined) await engine.remove(id, false);
  if (aside) await engine.rename(old.id, old.name);
  if (moved.length > 0) await engine.restorePorts(old.id, moved);
  await engine.setAliases(old.id, old.config.networks ?? []);
  if (isUp(old.status)) await engine.start(old.id);
}
