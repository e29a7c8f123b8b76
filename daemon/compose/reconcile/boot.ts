/** The order in which a project's containers come back when the daemon starts. */

import type { Logger } from "../../log/logger.ts";
import type { ComposeDependency } from "../../spec/compose.ts";
import { NyxError, toNyxError } from "../../spec/errors.ts";
import { own } from "../dictionary.ts";
import { LABEL } from "../labels.ts";
import type { ComposeEngine } from "./engine.ts";
import { containersOf, labelledDependencies, untilMet } from "./waiting.ts";

/** How long a container waits at boot for what it depends on; then it starts all the same: up and complaining beats down. */
export const BOOT_WAIT_MS = 60_000;

/** Whether a container has to wait for others of its project before it starts. */
export function hasDependencies(labels: Readonly<Record<string, string>> | undefined): boolean {
  return labels !== undefined && own(labels, LABEL.project) !== undefined && labelledDependencies(labels).length > 0;
}

/**
 * Starts containers that went down with the host, each when what it depends on is as it asks for. Resolves when all were started or
 * failed to; failures are logged.
 *
 * @param ids containers to start; those that are up by then, that a user stopped, or that are gone, are left alone
 * @param signal ends the waiting; what has not been started by then stays down
 */
export async function startInOrder(
  engine: ComposeEngine,
  ids: readonly string[],
  options: { signal: AbortSignal; log: Pick<Logger, "warn">; waitMs?: number },
): Promise<void> {
  const turn = new Map(ids.map((id) => [id, Promise.withResolvers<void>()]));
  await Promise.all(ids.map(async (id) => {
    try {
      await one(engine, id, turn, options);
    } catch (error) {
      options.log.warn("A container of a project could not be started at boot", { id, error: toNyxError(error) });
    } finally {
      turn.get(id)?.resolve();
    }
  }));
}

async function one(
  engine: ComposeEngine,
  id: string,
  turn: ReadonlyMap<string, PromiseWithResolvers<void>>,
  { signal, log, waitMs = BOOT_WAIT_MS }: { signal: AbortSignal; log: Pick<Logger, "warn">; waitMs?: number },
): Promise<void> {
  const container = engine.container(id);
  if (container === undefined) return;
  const project = own(container.labels, LABEL.project) ?? "";
  const deadline = AbortSignal.timeout(waitMs);
  const patience = AbortSignal.any([signal, deadline]);
  for (const { service, condition } of labelledDependencies(container.labels)) {
    for (const other of containersOf(engine, project, service)) {
      await awaitOther(engine, other.id, condition, turn, patience).catch((e) => {
        if (signal.aborted) throw e;
        log.warn("A container starts although what it depends on is not as it asks for", {
          id,
          name: container.name,
          dependency: other.name,
          condition,
          reason: deadline.aborted ? `it was not so within ${waitMs / 1000} s` : toNyxError(e).message,
        });
      });
    }
  }
  const now = engine.container(id);
  if (signal.aborted || now === undefined || now.status !== "exited" || now.stoppedByUser === true) return;
  await engine.start(id, false);
}

async function awaitOther(
  engine: ComposeEngine,
  id: string,
  condition: ComposeDependency["condition"],
  turn: ReadonlyMap<string, PromiseWithResolvers<void>>,
  signal: AbortSignal,
): Promise<void> {
  const started = turn.get(id)?.promise;
  if (started !== undefined) await Promise.race([started, aborted(signal)]);
  if (signal.aborted) throw new NyxError("canceled", "it took too long");
  await untilMet(engine, id, condition, signal);
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
