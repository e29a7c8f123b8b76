/** Waiting until dependencies are as a service asks for. */

import type { ComposeDependency, PlanWait } from "../../spec/compose.ts";
import { NyxError } from "../../spec/errors.ts";
import { own } from "../dictionary.ts";
import { LABEL } from "../labels.ts";
import { ownership } from "../plan/world.ts";
import type { ComposeEngine, EngineContainer } from "./engine.ts";

const LIVE = new Set(["running", "paused"]);

function hasCheck({ config }: EngineContainer): boolean {
  return config.healthcheck !== undefined && config.healthcheck.type !== "none";
}

function exitText({ exitCode }: EngineContainer): string {
  return exitCode === undefined ? "" : ` with code ${exitCode}`;
}

/**
 * Whether a container meets a condition now.
 *
 * @returns true, false while it may still come to meet it, or why it will not
 */
export function judge(container: EngineContainer, condition: ComposeDependency["condition"]): boolean | string {
  const { name, status, health } = container;
  switch (condition) {
    case "service_started":
      if (LIVE.has(status) || status === "exited" || status === "restarting") return true;
      return status === "starting" || status === "stopping" ? false : `container ${name} was not started (${status})`;
    case "service_healthy":
      if (!hasCheck(container)) return `container ${name} has no health check`;
      if (LIVE.has(status)) return health === "unhealthy" ? `container ${name} is unhealthy` : health === "healthy";
      if (status === "starting" || status === "restarting") return false;
      return status === "exited" || status === "stopping"
        ? `container ${name} ended${exitText(container)} before it was healthy`
        : `container ${name} was not started (${status})`;
    case "service_completed_successfully":
      if (status === "exited") return container.exitCode === 0 ? true : `container ${name} ended${exitText(container)}`;
      if (LIVE.has(status) || ["starting", "restarting", "stopping"].includes(status)) return false;
      return `container ${name} was not started (${status})`;
  }
}

/**
 * Waits until a container meets a condition.
 *
 * @throws NyxError failed_precondition when it will not, canceled when the signal aborts
 */
export async function untilMet(
  engine: ComposeEngine,
  id: string,
  condition: ComposeDependency["condition"],
  signal: AbortSignal,
): Promise<void> {
  while (true) {
    const container = engine.container(id);
    if (container === undefined) throw new NyxError("failed_precondition", `container ${id.slice(0, 12)} is gone`);
    const verdict = judge(container, condition);
    if (verdict === true) return;
    if (typeof verdict === "string") throw new NyxError("failed_precondition", verdict);
    if (signal.aborted) throw canceled(signal, container.name, condition);
    await engine.changed(id, signal);
  }
}

function canceled(signal: AbortSignal, name: string, condition: string): NyxError {
  if (signal.reason instanceof NyxError && signal.reason.code !== "canceled") return signal.reason;
  return new NyxError("canceled", `Waiting for container ${name} (${condition}) was canceled`, {
    cause: signal.reason,
  });
}

/** Containers of a service, one-off ones left out. */
export function containersOf(engine: ComposeEngine, project: string, service: string): EngineContainer[] {
  return engine.containers().filter((c) => ownership(c, project)?.service === service)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Waits for the dependencies of a step. Those that are not required are given up when they fail. */
export async function untilReady(
  engine: ComposeEngine,
  project: string,
  waits: readonly PlanWait[],
  options: { signal: AbortSignal; onWait: (message: string) => void; onSkip: (message: string) => void },
): Promise<void> {
  await Promise.all(waits.map(async ({ service, condition, required }) => {
    for (const { id, name } of containersOf(engine, project, service)) {
      const now = engine.container(id);
      if (now === undefined || judge(now, condition) === true) continue;
      options.onWait(`for ${name}: ${condition}`);
      try {
        await untilMet(engine, id, condition, options.signal);
      } catch (e) {
        const { code, message } = e as NyxError;
        if (code === "canceled" || required) {
          throw code === "canceled"
            ? e
            : new NyxError("failed_precondition", `its dependency ${service} failed: ${message}`);
        }
        options.onSkip(`its dependency ${service} failed and is not required: ${message}`);
      }
    }
  }));
}

/** One dependency as a container's label has it. */
export interface LabelledDependency {
  service: string;
  condition: ComposeDependency["condition"];
  restart: boolean;
}

const CONDITIONS = new Set(["service_started", "service_healthy", "service_completed_successfully"]);

/** What a container's label says it depends on. */
export function labelledDependencies(labels: Readonly<Record<string, string>>): LabelledDependency[] {
  return (own(labels, LABEL.dependsOn) ?? "").split(",").flatMap((entry) => {
    const [service = "", condition = "service_started", restart] = entry.split(":");
    if (service === "" || !CONDITIONS.has(condition)) return [];
    return [{ service, condition: condition as LabelledDependency["condition"], restart: restart === "true" }];
  });
}
