/** `nyx compose apply`. */

import { defineCommand } from "../args/definition.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";
import { readPlanFile } from "../compose/plan_file.ts";
import { progressWriter } from "../compose/progress.ts";
import { Project } from "../compose/source.ts";
import { EXIT } from "../failure.ts";

/** `nyx compose apply`. */
export const command = defineCommand({
  summary: "Do what a plan says, unless the files or what runs changed since",
  flags: PROJECT_FLAGS,
  operands: [{ name: "PLANFILE", complete: "files" }],
  async run(context, flags, [path = ""]) {
    const { options, plan } = readPlanFile(path);
    const project = await Project.find(context, flags, true);
    const client = await context.client();
    const onEvent = progressWriter(context);
    await project.request((source) => client.compose.up({ ...source, ...options, expect: plan }, { onEvent }));
    return EXIT.ok;
  },
});
