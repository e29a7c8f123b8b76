/**
 * Replacing a container. What ran before goes only when what replaces it runs; when that fails, the old one is put back as it was.
 * Anonymous volumes go over to the new container.
 */

import type { ContainerConfig } from "../../spec/container.ts";
import { toNyxError } from "../../spec/errors.ts";
import type { DesiredContainer } from "../container.ts";
import { isUp } from "../plan/world.ts";
import type { ComposeEngine, EngineContainer } from "./engine.ts";
import { untilMet } from "./waiting.ts";

/** How to replace. */
export interface ReplaceOptions {
  /** Seconds from the stop signal to KILL. */
  timeoutS?: number;
  /** New anonymous volumes. */
  renewVolumes: boolean;
  /** Leave the new one unstarted. */
  noStart: boolean;
  signal: AbortSignal;
  onWarning: (message: string) => void;
}

/** The configuration with the anonymous volumes of the container that is replaced. */
export function withVolumesOf(config: ContainerConfig, old: EngineContainer): ContainerConfig {
  const mounts = [...config.mounts ?? []];
  for (const [target, source] of Object.entries(old.anonymous)) {
    const at = mounts.findIndex((m) => m.target === target);
    const there = mounts[at];
    if (there === undefined) mounts.push({ type: "volume", source, target });
    else if (there.type === "volume" && there.source === undefined) mounts[at] = { ...there, source };
  }
  return mounts.length === 0 ? config : { ...config, mounts };
}

/** Whether two containers of this configuration cannot be side by side. */
function exclusive(config: ContainerConfig): string | undefined {
  if ((config.publish ?? []).some((port) => port.hostPort !== 0)) return "it publishes a fixed port";
  if ((config.networks ?? []).some((n) => n.ip !== undefined || n.ip6 !== undefined || n.mac !== undefined)) {
    return "it has a fixed address";
  }
  return undefined;
}

/** A name for a container that makes way, as Docker Compose forms it. */
function asideName({ id, name }: EngineContainer): string {
  return `${id.slice(0, 12)}_${name}`.slice(0, 128);
}

/** Replaces by stopping the old container first. */
async function stopFirst(
  engine: ComposeEngine,
  old: EngineContainer,
  desired: DesiredContainer,
  options: ReplaceOptions,
): Promise<string> {
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
  await engine.remove(old.id, options.renewVolumes);
  return made;
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

/** Replaces by starting the new container first; it takes over when it is healthy, else it goes again. */
async function startFirst(
  engine: ComposeEngine,
  old: EngineContainer,
  desired: DesiredContainer,
  options: ReplaceOptions,
): Promise<string> {
  const config = options.renewVolumes ? desired.config : withVolumesOf(desired.config, old);
  const { id, warnings } = await engine.create({ ...config, name: `${desired.name}-next` });
  warnings.forEach(options.onWarning);
  try {
    await engine.start(id);
    const check = engine.container(id)?.config.healthcheck;
    const checked = check !== undefined && check.type !== "none";
    await untilMet(engine, id, checked ? "service_healthy" : "service_started", options.signal);
  } catch (e) {
    const failure = toNyxError(e);
    await engine.remove(id, false);
    failure.message += "; the container that runs was left as it is";
    throw failure;
  }
  await engine.stop(old.id, options.timeoutS);
  await engine.remove(old.id, options.renewVolumes);
  await engine.rename(id, desired.name);
  return id;
}

/**
 * Replaces a container.
 *
 * @param order as the plan has it; a container that cannot be beside its successor is stopped first all the same, with a warning
 * @returns id of the new container
 */
export async function replace(
  engine: ComposeEngine,
  old: EngineContainer,
  desired: DesiredContainer,
  order: "start-first" | "stop-first" | undefined,
  options: ReplaceOptions,
): Promise<string> {
  if (order === "start-first" && isUp(old.status) && !options.noStart) {
    const why = exclusive(desired.config) ?? exclusive(old.config);
    if (why === undefined) return await startFirst(engine, old, desired, options);
    options.onWarning(
      `${desired.name} is stopped before its successor starts, although order: start-first was asked for: ${why}, ` +
        "which two containers cannot have at once",
    );
  }
  return await stopFirst(engine, old, desired, options);
}
