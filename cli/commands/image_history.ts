/** `nyx history` and `nyx image history`. */

import { formatSize } from "../../daemon/spec/parse/size.ts";
import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";
import { renderRows } from "../render/rows.ts";
import { timeAgo } from "../render/time.ts";
import { truncate } from "../render/width.ts";

/** `nyx history`. */
export const command = defineCommand({
  summary: "Show how an image was made",
  flags: {
    format: { type: "value", value: "FORMAT", help: "table, json, or a Go template", complete: ["table", "json"] },
    human: { type: "bool", short: "H", help: "Print sizes and times for people (default true)" },
    "no-trunc": { type: "bool", help: "Do not shorten anything" },
  },
  operands: [{ name: "IMAGE", complete: "images" }],
  async run(context, flags, [ref = ""]) {
    const rows = await (await context.client()).images.history(ref);
    const [human, noTrunc] = [flags.human ?? true, flags["no-trunc"] === true];
    const views = rows.map((row) => {
      const by = (row.created_by ?? "").replace(/\s+/g, " ");
      return {
        CreatedSince: human ? timeAgo(row.created, Date.now()) : row.created ?? "N/A",
        CreatedAt: row.created ?? "N/A",
        CreatedBy: noTrunc ? by : truncate(by, 45),
        Size: human ? formatSize(row.size, 3) : String(row.size),
        Comment: row.comment ?? "",
      };
    });
    context.out.text(renderRows(views, {
      format: flags.format,
      columns: ["CreatedSince", "CreatedBy", "Size", "Comment"],
      heads: {
        CreatedSince: "CREATED",
        CreatedAt: "CREATED AT",
        CreatedBy: "CREATED BY",
        Size: "SIZE",
        Comment: "COMMENT",
      },
      terminal: context.out.isTerminal,
    }));
    return EXIT.ok;
  },
});
