/** `nyx compose down`. */

import { type ComposeDownRequest, invalid } from "../../mod.ts";
import { parseInteger } from "../../daemon/spec/parse/cpus.ts";
import { defineCommand } from "../args/definition.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";
import { Project } from "../compose/source.ts";
import { EXIT } from "../failure.ts";

/** `nyx compose down`. */
export const command = defineCommand({
  summary: "Stop and remove a project's containers and networks",
  flags: {
    ...PROJECT_FLAGS,
    "remove-orphans": { type: "bool", help: "Also containers of services that are no longer defined" },
    rmi: {
      type: "value",
      value: "WHICH",
      help: "Also images: local (those without a name), or all",
      complete: ["local", "all"],
    },
    timeout: { type: "value", short: "t", value: "SECONDS", help: "Grace between the stop signal and KILL" },
    volumes: { type: "bool", short: "v", help: "Also volumes, with their data" },
  },
  operands: [{ name: "SERVICE", optional: true, variadic: true }],
  async run(context, flags, services) {
    const project = await Project.find(context, flags, false);
    const options: Pick<ComposeDownRequest, "services" | "remove_volumes" | "remove_orphans" | "rmi" | "timeout_s"> =
      {};
    if (services.length > 0) options.services = services;
    if (flags.volumes === true) options.remove_volumes = true;
    if (flags["remove-orphans"] === true) options.remove_orphans = true;
    if (flags.timeout !== undefined) options.timeout_s = parseInteger(flags.timeout, "timeout", -1);
    if (flags.rmi === "local" || flags.rmi === "all") options.rmi = flags.rmi;
    else if (flags.rmi !== undefined) throw invalid("rmi", flags.rmi, "give local or all");
    const client = await context.client();
    const before = await project.request((source) => client.compose.ps(source));
    const names = new Map(before.containers.map((c) => [c.id, c.name]));
    const result = await project.request((source) => client.compose.down({ ...source, ...options }));
    project.warn(result.warnings);
    const say = (kind: string, names: readonly string[]) => {
      for (const name of names) context.err.text(` ${context.paintErr.green("✔")} ${kind} ${name}  Removed\n`);
    };
    say("Container", result.removed.map((id) => names.get(id) ?? id.slice(0, 12)));
    say("Network", result.removed_networks);
    say("Volume", result.removed_volumes);
    say("Image", result.removed_images);
    return EXIT.ok;
  },
});
