/** `nyx compose top`. */

import { defineCommand } from "../args/definition.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";
import { membersOf } from "../compose/members.ts";
import { Project } from "../compose/source.ts";
import { EXIT } from "../failure.ts";
import { escapeControls } from "../render/escape.ts";
import { renderTable } from "../render/table.ts";

/** `nyx compose top`. */
export const command = defineCommand({
  summary: "Show the processes of a project's containers",
  flags: PROJECT_FLAGS,
  operands: [{ name: "SERVICE", optional: true, variadic: true }],
  async run(context, flags, services) {
    const project = await Project.find(context, flags, false);
    const { containers } = await membersOf(context, project, services);
    const client = await context.client();
    const up = containers.filter((c) => c.status === "running" || c.status === "paused");
    const tables = await Promise.all(up.map(async (c) => ({ name: c.name, ...await client.containers.top(c.id) })));
    for (const { name, titles, processes } of tables) {
      context.out.text(`${name}\n${renderTable(titles, processes.map((row) => row.map(escapeControls)))}\n`);
    }
    return EXIT.ok;
  },
});
