/** `nyx top`. */

import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";
import { escapeControls, safeJson } from "../render/escape.ts";
import { renderTable } from "../render/table.ts";

/** `nyx top`. */
export const command = defineCommand({
  summary: "Show the processes of a container",
  flags: { format: { type: "value", value: "FORMAT", help: "table or json", complete: ["table", "json"] } },
  operands: [{ name: "CONTAINER", complete: "running" }],
  async run(context, flags, [ref = ""]) {
    const { titles, processes } = await (await context.client()).containers.top(ref);
    if (flags.format === "json") context.out.text(`${safeJson({ Titles: titles, Processes: processes })}\n`);
    else context.out.text(renderTable(titles, processes.map((row) => row.map(escapeControls))));
    return EXIT.ok;
  },
});
