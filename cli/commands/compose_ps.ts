/** `nyx compose ps`. */

import { defineCommand } from "../args/definition.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";
import { Project } from "../compose/source.ts";
import { EXIT } from "../failure.ts";
import { CONTAINER_HEADS, containerView } from "../render/container_view.ts";
import { renderRows } from "../render/rows.ts";
import { FORMAT_NOTES } from "./ps.ts";

/** States that are shown without --all. */
const UP = new Set(["running", "paused", "restarting", "starting", "stopping"]);

/** `nyx compose ps`. */
export const command = defineCommand({
  summary: "List a project's containers",
  flags: {
    ...PROJECT_FLAGS,
    all: { type: "bool", short: "a", help: "Also those that have stopped, and those made by run" },
    format: { type: "value", value: "FORMAT", help: "table, json, or a Go template", complete: ["table", "json"] },
    "no-trunc": { type: "bool", help: "Do not shorten anything" },
    orphans: { type: "bool", help: "Also containers of services that are no longer defined (default true)" },
    quiet: { type: "bool", short: "q", help: "Only show ids" },
    services: { type: "bool", help: "Only show services" },
    status: { type: "list", value: "STATUS", help: "Only containers in this state" },
  },
  operands: [{ name: "SERVICE", optional: true, variadic: true }],
  notes: FORMAT_NOTES,
  async run(context, flags, services) {
    const project = await Project.find(context, flags, false);
    const client = await context.client();
    const found = await project.request((source) => client.compose.ps(source));
    const shown = found.containers.filter((c) =>
      (services.length === 0 || services.includes(c.service)) &&
      (flags.status.length > 0 ? flags.status.includes(c.status) : flags.all === true || UP.has(c.status)) &&
      (flags.all === true || !c.oneoff) &&
      (flags.orphans !== false || found.services.length === 0 || found.services.includes(c.service))
    );
    if (flags.services === true) {
      context.out.text([...new Set(shown.map((c) => c.service))].map((name) => `${name}\n`).join(""));
      return EXIT.ok;
    }
    if (flags.quiet === true) {
      context.out.text(shown.map((c) => `${c.id}\n`).join(""));
      return EXIT.ok;
    }
    const views = shown.map((c) => ({
      Name: c.name,
      ...containerView(c, { noTrunc: flags["no-trunc"] === true, nowMs: Date.now() }),
      Service: c.service,
      Project: found.project,
    }));
    context.out.text(renderRows(views, {
      format: flags.format,
      columns: ["Name", "Image", "Command", "Service", "RunningFor", "Status", "Ports"],
      heads: { ...CONTAINER_HEADS, Name: "NAME", Service: "SERVICE", Project: "PROJECT" },
      terminal: context.out.isTerminal,
    }));
    return EXIT.ok;
  },
});
