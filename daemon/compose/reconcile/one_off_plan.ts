/** What a one-off container needs that is not there: image, networks, volumes. */

import type { ComposePlan } from "../../spec/compose.ts";
import type { ImageOptions } from "../plan/images.ts";
import { planObjects } from "../plan/objects.ts";
import { worldDigest } from "../plan/world.ts";
import type { ComposeProject } from "../project.ts";
import type { ComposeEngine } from "./engine.ts";
import { observe } from "./observe.ts";

/** Plans it. A network whose settings changed is used as it is: others are in it. */
export async function oneOffPlan(
  engine: ComposeEngine,
  project: ComposeProject,
  service: string,
  images: ImageOptions = {},
): Promise<ComposePlan> {
  const world = await observe(engine, project);
  const { steps, blocked, warnings } = planObjects(project, world, new Set([service]), {
    noRecreate: true,
    nowMs: Date.now(),
    ...images,
  });
  return { project: project.model.name, steps, blocked, warnings, world: worldDigest(world) };
}
