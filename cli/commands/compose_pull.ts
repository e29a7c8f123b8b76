/** `nyx compose pull`. */

import { type ComposePullRequest, invalid } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";
import { progressWriter } from "../compose/progress.ts";
import { Project } from "../compose/source.ts";
import { EXIT } from "../failure.ts";

/** `nyx compose pull`. */
export const command = defineCommand({
  summary: "Download a project's images, side by side",
  flags: {
    ...PROJECT_FLAGS,
    "ignore-pull-failures": { type: "bool", help: "Go on when an image cannot be pulled" },
    "include-deps": { type: "bool", help: "Also images of what the services depend on" },
    policy: { type: "value", value: "POLICY", help: "always (default) or missing", complete: ["always", "missing"] },
    quiet: { type: "bool", short: "q", help: "Print nothing" },
  },
  operands: [{ name: "SERVICE", optional: true, variadic: true }],
  async run(context, flags, services) {
    const project = await Project.find(context, flags, true);
    const options: Omit<ComposePullRequest, "files" | "stream"> = {};
    if (services.length > 0) options.services = services;
    if (flags["include-deps"] === true) options.include_deps = true;
    if (flags["ignore-pull-failures"] === true) options.ignore_pull_failures = true;
    if (flags.policy === "always" || flags.policy === "missing") options.policy = flags.policy;
    else if (flags.policy !== undefined) throw invalid("policy", flags.policy, "give always or missing");
    const client = await context.client();
    const onEvent = progressWriter(context, { quiet: flags.quiet === true });
    await project.request((source) => client.compose.pull({ ...source, ...options }, { onEvent }));
    return EXIT.ok;
  },
});
