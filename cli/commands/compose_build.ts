/** `nyx compose build`. */

import type { ComposeBuildSpec } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { NO_LIMITS, parseArguments, parseSsh } from "../build/settings.ts";
import { buildAll } from "../compose/build.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";
import { Project } from "../compose/source.ts";
import { EXIT } from "../failure.ts";

/** `nyx compose build`. */
export const command = defineCommand({
  summary: "Build the images of a project's services",
  flags: {
    ...PROJECT_FLAGS,
    "build-arg": { type: "list", value: "NAME[=VALUE]", help: "Value of an ARG; wins over those of the files" },
    builder: { type: "value", help: "", hidden: true },
    memory: { type: "value", short: "m", help: "", refuse: NO_LIMITS },
    "no-cache": { type: "bool", help: "Use no step of an earlier build" },
    print: { type: "bool", help: "Print what would be built, as JSON" },
    progress: { type: "value", value: "KIND", help: "", hidden: true },
    pull: { type: "bool", help: "Look for newer base images" },
    push: { type: "bool", help: "", refuse: "nyx pushes no images; nyx save writes one to a file" },
    quiet: { type: "bool", short: "q", help: "Print nothing but failures" },
    ssh: { type: "list", value: "default|ID[=SOCKET|KEY]", help: "Agent or key for RUN --mount=type=ssh" },
    "with-dependencies": { type: "bool", help: "Also images of what the services depend on" },
  },
  operands: [{ name: "SERVICE", optional: true, variadic: true }],
  async run(context, flags, services) {
    const project = await Project.find(context, flags, true);
    const client = await context.client();
    const { text, diagnostics } = await project.request((source) =>
      client.compose.config({
        ...source,
        show: "builds",
        ...(services.length === 0 ? {} : { services }),
        ...(flags["with-dependencies"] === true ? { with_dependencies: true } : {}),
      })
    );
    project.warnOf(diagnostics.filter((d) => /\.build(\.|$)/.test(d.path)));
    if (flags.print === true) {
      context.out.text(text);
      return EXIT.ok;
    }
    const specs: ComposeBuildSpec[] = JSON.parse(text);
    if (specs.length === 0 && flags.quiet !== true) context.err.text("nyx: no service has a build section\n");
    await buildAll(context, specs, {
      args: parseArguments(flags["build-arg"], context),
      ssh: flags.ssh.map((text) => parseSsh(text, context)),
      ...(flags["no-cache"] === undefined ? {} : { noCache: flags["no-cache"] }),
      ...(flags.pull === undefined ? {} : { pull: flags.pull }),
      quiet: flags.quiet === true || flags.progress === "quiet",
    });
    return EXIT.ok;
  },
});
