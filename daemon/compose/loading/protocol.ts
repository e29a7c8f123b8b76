/** Messages of the worker that reads compose files and makes plans. */

import type { ComposePlan } from "../../spec/compose.ts";
import type { ComposeConfigRequest, ComposeConfigResult, ComposeSource } from "../../spec/compose_api.ts";
import type { PlanOptions } from "../plan/plan.ts";
import type { ObservedWorld } from "../plan/world.ts";
import type { ComposeProject } from "../project.ts";
import type { SourceOptions } from "../reconcile/source.ts";

/** Stage `compose`: computes from what it is given, and reaches nothing. */
export type LoadingStage = {
  ops: {
    /** Files with their contents to a project; fails as `loadSource` does. */
    load: { request: { source: ComposeSource; options: SourceOptions }; result: ComposeProject; progress: never };
    /** The text that `config` prints. */
    config: { request: ComposeConfigRequest; result: ComposeConfigResult; progress: never };
    /** Project and world to a plan. */
    plan: {
      request: { project: ComposeProject; world: ObservedWorld; options: PlanOptions };
      result: ComposePlan;
      progress: never;
    };
  };
  event: never;
};
