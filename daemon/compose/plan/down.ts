/** Plans `down` and `stop`: dependents first. Works from labels alone, so that a project can go without its files. */

import type { ComposePlan, PlanStep } from "../../spec/compose.ts";
import { own } from "../dictionary.ts";
import { LABEL } from "../labels.ts";
import { isUp, type ObservedContainer, type ObservedWorld, ownership, worldDigest } from "./world.ts";

/** What `down` or `stop` was asked for. */
export interface DownOptions {
  /** `stop`: containers are kept. */
  stopOnly?: boolean;
  /** Only these services; networks and volumes then stay. */
  services?: readonly string[];
  /** `-v`: the project's named volumes go too. */
  volumes?: boolean;
  /** `--remove-orphans`. Without it only `known` services go, if that is given. */
  removeOrphans?: boolean;
  /** Services that the files define. */
  known?: readonly string[];
}

/** Services that a container's labels say it depends on. */
function dependencies(container: ObservedContainer): string[] {
  const label = own(container.labels, LABEL.dependsOn) ?? "";
  return label.split(",").map((entry) => entry.split(":")[0] ?? "").filter((name) => name !== "");
}

/**
 * Plans the end of a project's containers.
 *
 * @param project its name
 */
export function planDown(project: string, world: ObservedWorld, options: DownOptions = {}): ComposePlan {
  const steps: PlanStep[] = [];
  const warnings: string[] = [];
  const members = world.containers.flatMap((container) => {
    const service = own(container.labels, LABEL.service);
    if (own(container.labels, LABEL.project) !== project || service === undefined) return [];
    if (options.services !== undefined && options.services.length > 0 && !options.services.includes(service)) return [];
    if (options.stopOnly === true && !isUp(container.status)) return [];
    const orphan = options.known !== undefined && !options.known.includes(service) &&
      ownership(container, project) !== undefined;
    if (orphan && options.removeOrphans !== true) {
      warnings.push(
        `container ${container.name} belongs to service ${service}, which is no longer defined; it stays (--remove-orphans)`,
      );
      return [];
    }
    return [{ container, service }];
  }).sort((a, b) => (a.container.name < b.container.name ? -1 : 1));
  const action = options.stopOnly === true ? "stop" : "remove";
  const remaining = new Map(members.map((m) => [m.container.id, m]));
  const idsOf = new Map<string, string[]>();
  while (remaining.size > 0) {
    const needed = new Set(
      [...remaining.values()].flatMap((m) => dependencies(m.container).filter((name) => name !== m.service)),
    );
    const free = [...remaining.values()].filter((m) => !needed.has(m.service));
    // Labels that form a circle must not keep anything alive.
    for (const { container, service } of free.length > 0 ? free : [...remaining.values()]) {
      const dependents = members.filter((m) => m.service !== service && dependencies(m.container).includes(service));
      const id = `${action}:${container.name}`;
      steps.push({
        id,
        action,
        target: container.name,
        service,
        observedId: container.id,
        reason: options.stopOnly === true ? "the project is stopped" : "the project goes down",
        after: dependents.flatMap((m) => idsOf.get(m.container.id) ?? []),
      });
      idsOf.set(container.id, [id]);
      remaining.delete(container.id);
    }
  }
  if (options.stopOnly !== true && (options.services === undefined || options.services.length === 0)) {
    addObjects(project, world, options, steps);
  }
  return { project, steps, blocked: [], warnings, world: worldDigest(world) };
}

function addObjects(project: string, world: ObservedWorld, options: DownOptions, steps: PlanStep[]): void {
  const after = steps.map((step) => step.id);
  const owned = <T extends { name: string; labels: Record<string, string> }>(list: readonly T[]) =>
    list.filter((o) => own(o.labels, LABEL.project) === project).sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const { name } of owned(world.networks)) {
    steps.push({
      id: `remove-network:${name}`,
      action: "remove-network",
      target: name,
      reason: "the project goes down",
      after,
    });
  }
  if (options.volumes !== true) return;
  for (const { name } of owned(world.volumes)) {
    steps.push({
      id: `remove-volume:${name}`,
      action: "remove-volume",
      target: name,
      reason: "--volumes was given",
      after,
    });
  }
}
