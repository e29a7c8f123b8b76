/** start, stop, restart, pause, unpause, kill and rm: what is done to containers that exist, in the order of their dependencies. */

import type { ComposePlan, PlanStep } from "../../spec/compose.ts";
import type { ComposeActionRequest } from "../../spec/compose_api.ts";
import { NyxError } from "../../spec/errors.ts";
import { planDown } from "../plan/down.ts";
import { isUp, type ObservedContainer, type ObservedWorld, ownership, worldDigest } from "../plan/world.ts";
import type { ComposeEngine, EngineContainer } from "./engine.ts";
import { labelledDependencies } from "./waiting.ts";

/** A container with the service it belongs to. */
interface Member<C extends ObservedContainer> {
  container: C;
  service: string;
  number: number;
}

/** Containers of a project's services, one-off ones left out, by service and number. */
export function serviceMembers<C extends ObservedContainer>(
  containers: readonly C[],
  project: string,
  services: readonly string[] | undefined,
): Member<C>[] {
  const wanted = services === undefined || services.length === 0 ? undefined : new Set(services);
  return containers.flatMap((container) => {
    const owner = ownership(container, project);
    if (owner === undefined || (wanted !== undefined && !wanted.has(owner.service))) return [];
    return [{ container, ...owner }];
  }).sort((a, b) => a.service === b.service ? a.number - b.number : a.service < b.service ? -1 : 1);
}

/** Services that depend on some of these with `restart: true`, these included. */
function withRestarted(members: readonly Member<ObservedContainer>[], services: readonly string[]): string[] {
  const found = new Set(services);
  for (let grown = true; grown;) {
    grown = false;
    for (const { container, service } of members) {
      const follows = labelledDependencies(container.labels).some((d) => d.restart && found.has(d.service));
      if (found.has(service) || !follows) continue;
      found.add(service);
      grown = true;
    }
  }
  return [...found];
}

/** Plans `start` and `restart` from labels: dependencies first, conditions waited for. */
export function planStart(
  project: string,
  world: ObservedWorld,
  action: "start" | "restart",
  request: Pick<ComposeActionRequest, "services" | "no_deps">,
): ComposePlan {
  const all = serviceMembers(world.containers, project, undefined);
  const follow = action === "restart" && request.no_deps !== true && (request.services ?? []).length > 0;
  const services = follow ? withRestarted(all, request.services ?? []) : request.services;
  const chosen = serviceMembers(world.containers, project, services)
    .filter(({ container }) => action === "restart" || !isUp(container.status));
  const idOf = ({ container }: Member<ObservedContainer>) => `${action}:${container.name}`;
  const present = new Set(all.map((m) => m.service));
  const steps = chosen.map((member): PlanStep => {
    const needs = labelledDependencies(member.container.labels).filter((d) => present.has(d.service));
    const waits = needs.map(({ service, condition }) => ({ service, condition, required: true }));
    return {
      id: idOf(member),
      action,
      target: member.container.name,
      service: member.service,
      number: member.number,
      observedId: member.container.id,
      reason: `${action} was asked for`,
      after: chosen.filter((o) => needs.some((d) => d.service === o.service)).map(idOf),
      ...(waits.length === 0 ? {} : { waits }),
    };
  });
  return { project, steps: ordered(steps), blocked: [], warnings: [], world: worldDigest(world) };
}

/** Steps so that each comes after those it names; a circle of labels is cut. */
function ordered(steps: readonly PlanStep[]): PlanStep[] {
  const out: PlanStep[] = [];
  const done = new Set<string>();
  let rest = [...steps];
  while (rest.length > 0) {
    const ids = new Set(rest.map((s) => s.id));
    const free = rest.filter((s) => s.after.every((id) => done.has(id) || !ids.has(id)));
    const next = free.length > 0 ? free : rest.map((s) => ({ ...s, after: [] }));
    for (const step of next) {
      out.push(step);
      done.add(step.id);
    }
    rest = rest.filter((s) => !done.has(s.id));
  }
  return out;
}

/** Plans `stop`: dependents first. */
export function planStop(project: string, world: ObservedWorld, services: readonly string[] | undefined): ComposePlan {
  return planDown(project, world, { stopOnly: true, ...(services === undefined ? {} : { services }) });
}

/** Does what needs no order to all containers at once; tells every failure. */
export async function actOnAll(
  engine: ComposeEngine,
  project: string,
  action: "pause" | "unpause" | "kill" | "rm",
  request: ComposeActionRequest,
): Promise<string[]> {
  const members = serviceMembers(engine.containers(), project, request.services);
  const chosen = members.map((m) => m.container).filter((c) => applies(action, c, request.stop === true));
  const outcomes = await Promise.allSettled(chosen.map(async ({ id, status }) => {
    switch (action) {
      case "pause":
        return await engine.pause(id);
      case "unpause":
        return await engine.unpause(id);
      case "kill":
        return await engine.kill(id, request.signal ?? "KILL");
      case "rm":
        if (isUp(status)) await engine.stop(id, request.timeout_s);
        return await engine.remove(id, request.volumes === true);
    }
  }));
  const failures = outcomes.flatMap((o, i) =>
    o.status === "rejected" ? [`${chosen[i]?.name}: ${message(o.reason)}`] : []
  );
  if (failures.length > 0) {
    throw new NyxError("failed_precondition", `Could not ${action} all of project ${project}: ${failures.join("; ")}`);
  }
  return chosen.map((c) => c.id);
}

function message(e: unknown): string {
  return e instanceof Error ? e.message : String(e);
}

function applies(action: "pause" | "unpause" | "kill" | "rm", { status }: EngineContainer, stop: boolean): boolean {
  switch (action) {
    case "pause":
      return status === "running";
    case "unpause":
      return status === "paused";
    case "kill":
      return status === "running" || status === "paused";
    case "rm":
      return stop || !isUp(status);
  }
}
