/**
 * Ports of the host that change hands in a plan: whoever gives one up does so before another container of the project takes it, and
 * containers that swap theirs are stopped first. Pure.
 */

import type { PlanStep } from "../../spec/compose.ts";
import type { PortMapping } from "../../spec/container.ts";
import type { ObservedContainer } from "./world.ts";

/** Whether two mappings take a common port of the host. */
export function sharesHostPort(a: PortMapping, b: PortMapping): boolean {
  if (a.hostPort === 0 || b.hostPort === 0 || (a.protocol ?? "tcp") !== (b.protocol ?? "tcp")) return false;
  const any = (ip: string | undefined) => ip === undefined || ip === "" || ip === "0.0.0.0" || ip === "::";
  if (!any(a.hostIp) && !any(b.hostIp) && a.hostIp !== b.hostIp) return false;
  return a.hostPort < b.hostPort + (b.count ?? 1) && b.hostPort < a.hostPort + (a.count ?? 1);
}

/** A container that gives a port up, and the step by which it does. */
interface Giver {
  container: ObservedContainer;
  step: PlanStep;
  port: PortMapping;
}

/** Whether a step comes after another one, by what the steps say. */
function comesAfter(step: PlanStep, other: string, byId: ReadonlyMap<string, PlanStep>): boolean {
  const seen = new Set<string>();
  const open = [...step.after];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    if (id === other) return true;
    if (seen.has(id)) continue;
    seen.add(id);
    open.push(...byId.get(id)?.after ?? []);
  }
  return false;
}

/** Steps in their order, but each behind those that it comes after. */
function sorted(steps: readonly PlanStep[], byId: ReadonlyMap<string, PlanStep>): PlanStep[] {
  const placed = new Set<PlanStep>();
  const place = (step: PlanStep) => {
    if (placed.has(step)) return;
    // What comes after it is no obstacle to what it comes after: there are no circles.
    for (const id of step.after) {
      const before = byId.get(id);
      if (before !== undefined && !placed.has(before)) place(before);
    }
    placed.add(step);
  };
  for (const step of steps) place(step);
  return [...placed];
}

function stopStep({ container, port }: Giver, taker: PlanStep, step: PlanStep): PlanStep {
  return {
    id: `stop:${container.name}`,
    action: "stop",
    target: container.name,
    observedId: container.id,
    ...(step.service === undefined ? {} : { service: step.service }),
    ...(step.number === undefined ? {} : { number: step.number }),
    reason: `port ${port.hostPort} of the host goes to ${taker.target}`,
    after: [],
  };
}

/**
 * Orders steps by the ports that they give up and take. Who takes a port waits for the step that replaces or removes its holder; where
 * that one waits for the taker itself, as in a swap, the holder is stopped before both, and gives its ports up then.
 *
 * @param steps of the plan; their `after` is added to
 * @param publish ports that containers have after a step, by its id
 */
export function orderPorts(
  steps: readonly PlanStep[],
  containers: readonly ObservedContainer[],
  publish: ReadonlyMap<string, readonly PortMapping[]>,
): PlanStep[] {
  const all = [...steps];
  const byId = new Map(all.map((step) => [step.id, step]));
  const byContainer = new Map(containers.map((c) => [c.id, c]));
  const givers = steps.flatMap((step): Giver[] => {
    const container = byContainer.get(step.observedId ?? "");
    if ((step.action !== "recreate" && step.action !== "remove") || container === undefined) return [];
    const kept = step.action === "recreate" ? publish.get(step.id) ?? [] : [];
    return (container.config.publish ?? []).filter((p) => p.hostPort !== 0 && !kept.some((k) => sharesHostPort(k, p)))
      .map((port) => ({ container, step, port }));
  });
  let changed = false;
  for (const step of steps) {
    if (step.action !== "recreate" && step.action !== "create") continue;
    for (const port of publish.get(step.id) ?? []) {
      for (const giver of givers) {
        if (giver.step === step || !sharesHostPort(giver.port, port)) continue;
        changed = true;
        let before = giver.step;
        if (comesAfter(giver.step, step.id, byId)) {
          before = byId.get(`stop:${giver.container.name}`) ?? stopStep(giver, step, giver.step);
          if (!byId.has(before.id)) {
            byId.set(before.id, before);
            all.unshift(before);
          }
          if (!giver.step.after.includes(before.id)) giver.step.after.push(before.id);
        }
        if (!step.after.includes(before.id)) step.after.push(before.id);
      }
    }
  }
  return changed ? sorted(all, byId) : all;
}
