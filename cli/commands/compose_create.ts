/** `nyx compose create`. */

import { defineCommand } from "../args/definition.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";
import { PLAN_FLAGS, planOptions } from "../compose/plan_flags.ts";
import { progressWriter } from "../compose/progress.ts";
import { Project } from "../compose/source.ts";
import { EXIT } from "../failure.ts";

/** `nyx compose create`. */
export const command = defineCommand({
  summary: "Create what the compose files ask for, and start nothing",
  flags: { ...PROJECT_FLAGS, ...PLAN_FLAGS },
  operands: [{ name: "SERVICE", optional: true, variadic: true }],
  async run(context, flags, services) {
    const project = await Project.find(context, flags, true);
    project.mayBuild = flags["no-build"] !== true;
    const options = { ...planOptions(flags, services), no_start: true };
    const client = await context.client();
    const onEvent = progressWriter(context, { noStart: true });
    await project.request((source) => client.compose.up({ ...source, ...options }, { onEvent }));
    return EXIT.ok;
  },
});
