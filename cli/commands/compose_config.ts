/** `nyx compose config`. */

import { type ComposeConfigRequest, invalid } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";
import { Project } from "../compose/source.ts";
import { EXIT } from "../failure.ts";

const LISTS = ["services", "images", "volumes", "networks", "profiles", "variables"] as const;

/** `nyx compose config`. */
export const command = defineCommand({
  summary: "Print the normalised model of the compose files",
  flags: {
    ...PROJECT_FLAGS,
    format: { type: "value", value: "FORMAT", help: "yaml (default) or json", complete: ["yaml", "json"] },
    hash: { type: "value", value: "SERVICE", help: "Print the hash of a service, or of all with *" },
    images: { type: "bool", help: "Print images" },
    networks: { type: "bool", help: "Print networks" },
    "no-consistency": { type: "bool", help: "Accept references to what is not defined" },
    "no-env-resolution": { type: "bool", help: "Keep env files as written" },
    "no-interpolate": { type: "bool", help: "Keep variables as written" },
    "no-path-resolution": { type: "bool", help: "Keep relative paths as written" },
    output: { type: "value", short: "o", value: "FILE", help: "Write to a file", complete: "files" },
    profiles: { type: "bool", help: "Print profiles" },
    quiet: { type: "bool", short: "q", help: "Only check" },
    services: { type: "bool", help: "Print services" },
    variables: { type: "bool", help: "Print variables with their defaults" },
    volumes: { type: "bool", help: "Print volumes" },
  },
  operands: [{ name: "SERVICE", optional: true, variadic: true }],
  async run(context, flags, services) {
    const project = await Project.find(context, flags, true);
    const options: Omit<ComposeConfigRequest, "files"> = {};
    const list = LISTS.find((name) => flags[name] === true);
    if (list !== undefined) options.show = list;
    if (services.length > 0) options.services = services;
    if (flags.hash !== undefined) {
      options.show = "hash";
      options.services = flags.hash.split(",");
    }
    if (flags.format === "yaml" || flags.format === "json") options.format = flags.format;
    else if (flags.format !== undefined) throw invalid("format", flags.format, "give yaml or json");
    for (const name of ["no-consistency", "no-env-resolution", "no-interpolate", "no-path-resolution"] as const) {
      if (flags[name] === true) Object.assign(options, { [name.replaceAll("-", "_")]: true });
    }
    const client = await context.client();
    const result = await project.request((source) => client.compose.config({ ...source, ...options }));
    project.warn(
      result.diagnostics.filter((d) => d.severity === "warning").map((d) =>
        `${d.file === undefined ? "" : `${d.file}:${d.line}:${d.column}: `}${d.path}: ${d.message}`
      ),
    );
    if (flags.quiet === true) return EXIT.ok;
    if (flags.output === undefined) context.out.text(result.text);
    else Deno.writeTextFileSync(flags.output, result.text);
    return EXIT.ok;
  },
});
