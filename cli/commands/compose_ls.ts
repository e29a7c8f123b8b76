/** `nyx compose ls`. */

import { defineCommand } from "../args/definition.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";
import { EXIT } from "../failure.ts";
import { renderRows } from "../render/rows.ts";

/** `nyx compose ls`. */
export const command = defineCommand({
  summary: "List projects",
  flags: {
    ...PROJECT_FLAGS,
    all: { type: "bool", short: "a", help: "Also projects of which nothing runs" },
    format: { type: "value", value: "FORMAT", help: "table, json, or a Go template", complete: ["table", "json"] },
    quiet: { type: "bool", short: "q", help: "Only show names" },
  },
  operands: [],
  async run(context, flags) {
    const found = await (await context.client()).compose.list();
    const shown = found.filter((p) => flags.all === true || /running|restarting|paused/.test(p.status));
    if (flags.quiet === true) {
      context.out.text(shown.map((p) => `${p.name}\n`).join(""));
      return EXIT.ok;
    }
    const views = shown.map((p) => ({ Name: p.name, Status: p.status, ConfigFiles: p.config_files.join(",") }));
    context.out.text(renderRows(views, {
      format: flags.format,
      columns: ["Name", "Status", "ConfigFiles"],
      heads: { Name: "NAME", Status: "STATUS", ConfigFiles: "CONFIG FILES" },
      terminal: context.out.isTerminal,
    }));
    return EXIT.ok;
  },
});
