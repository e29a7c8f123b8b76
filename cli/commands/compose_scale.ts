/** `nyx compose scale`. */

import { defineCommand } from "../args/definition.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";
import { parseScale } from "../compose/plan_flags.ts";
import { progressWriter } from "../compose/progress.ts";
import { Project } from "../compose/source.ts";
import { EXIT } from "../failure.ts";

/** `nyx compose scale`. */
export const command = defineCommand({
  summary: "Run so many containers of services",
  flags: { ...PROJECT_FLAGS, "no-deps": { type: "bool", help: "Leave out what the services depend on" } },
  operands: [{ name: "SERVICE=NUMBER", variadic: true }],
  async run(context, flags, operands) {
    const scale = parseScale(operands);
    const project = await Project.find(context, flags, true);
    const options = {
      scale,
      services: Object.keys(scale),
      no_recreate: true,
      ...(flags["no-deps"] === true ? { no_deps: true } : {}),
    };
    const client = await context.client();
    const onEvent = progressWriter(context);
    await project.request((source) => client.compose.up({ ...source, ...options }, { onEvent }));
    return EXIT.ok;
  },
});
