/** `pull`: the images of a project, side by side. */

import type { ProgressOptions } from "../../control/services.ts";
import type { ComposePlan, PlanStep } from "../../spec/compose.ts";
import type { ComposePullRequest, ComposeUpResult } from "../../spec/compose_api.ts";
import { defined, own, sortedKeys } from "../dictionary.ts";
import { withDependencies } from "../graph.ts";
import { hasImage } from "../plan/objects.ts";
import { imageOf } from "../print.ts";
import type { ComposeProject } from "../project.ts";
import { applyPlan } from "./apply.ts";
import type { ComposeEngine } from "./engine.ts";
import { NO_FILES } from "./files.ts";
import { wanted } from "./source.ts";

/** Pulls; images that are built are left out. */
export async function pullImages(
  engine: ComposeEngine,
  project: ComposeProject,
  request: ComposePullRequest,
  progress: ProgressOptions,
): Promise<ComposeUpResult> {
  const { model } = project;
  const asked = request.services ?? [];
  const names = asked.length === 0
    ? sortedKeys(model.services)
    : request.include_deps === true
    ? [...withDependencies(model, asked)]
    : asked;
  const services = names.filter((name) => {
    const service = own(model.services, name);
    return service !== undefined && hasImage(service) && service.build === undefined;
  });
  const refs = new Map(services.map((name) => [imageOf(model, name), name]));
  if (request.policy === "missing") {
    for (const ref of [...refs.keys()]) if (await engine.image(ref) !== undefined) refs.delete(ref);
  }
  const action = `pull the images of project ${model.name}`;
  if (refs.size > 0 && request.ask === true && request.credentials === undefined) {
    throw wanted(action, { images: [...refs.keys()] });
  }
  // Those that may fail are "not required" by everybody: the rest goes on, and the failures are warnings.
  const ignore = request.ignore_pull_failures === true;
  const steps = [...refs].map(([ref, service]): PlanStep => ({
    id: `pull:${ref}`,
    action: "pull",
    target: ref,
    service,
    reason: "it was asked for",
    after: [],
    ...(ignore ? { waits: services.map((s) => ({ service: s, condition: "service_started", required: false })) } : {}),
  }));
  const plan: ComposePlan = { project: model.name, steps, blocked: [], warnings: [], world: "" };
  const { done, warnings } = await applyPlan(plan, project, engine, {
    ...progress,
    action,
    files: NO_FILES,
    ...defined({ credentials: request.credentials }),
  });
  return { ok: true, project: model.name, ids: [], done, warnings };
}
