/**
 * Entry of the worker that reads compose files: what somebody wrote to be slow or large is slow here, and the daemon's main thread
 * goes on. It holds no permission; the host ends it when it takes too long.
 */

import { serve } from "../../../workers/serve.ts";
import { planProject } from "../plan/plan.ts";
import { loadConfig } from "../reconcile/config.ts";
import { loadSource } from "../reconcile/source.ts";
import type { LoadingStage } from "./protocol.ts";

serve<LoadingStage>("compose", {
  load: ({ source, options }) => loadSource(source, options),
  config: (request) => loadConfig(request),
  plan: ({ project, world, options }) => planProject(project, world, options),
});
