/** `nyx compose plan`. */

import { defineCommand } from "../args/definition.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";
import { PLAN_FLAGS, planOptions } from "../compose/plan_flags.ts";
import { writePlanFile } from "../compose/plan_file.ts";
import { Project } from "../compose/source.ts";
import { EXIT } from "../failure.ts";
import { escapeControlsInLines, safeJson } from "../render/escape.ts";

/** `nyx compose plan`. */
export const command = defineCommand({
  summary: "Show what up would do, and why; change nothing",
  flags: {
    ...PROJECT_FLAGS,
    ...PLAN_FLAGS,
    json: { type: "bool", help: "Print the plan as JSON" },
    output: {
      type: "value",
      short: "o",
      value: "FILE",
      help: "Also write the plan to a file, for apply",
      complete: "files",
    },
  },
  operands: [{ name: "SERVICE", optional: true, variadic: true }],
  notes: "Exit code: 0, also when there is something to do; 1 when the plan is blocked.",
  async run(context, flags, services) {
    const project = await Project.find(context, flags, true);
    const options = planOptions(flags, services);
    const client = await context.client();
    const { plan, text, diagnostics } = await project.request((source) =>
      client.compose.plan({ ...source, ...options })
    );
    project.warnOf(diagnostics);
    context.out.text(flags.json === true ? `${safeJson(plan)}\n` : escapeControlsInLines(text));
    if (flags.output !== undefined) writePlanFile(flags.output, { options, plan });
    return plan.blocked.length > 0 ? EXIT.failure : EXIT.ok;
  },
});
