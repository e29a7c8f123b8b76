/** `nyx system df`. */

import { formatSize } from "../../daemon/spec/parse/size.ts";
import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";
import { renderRows } from "../render/rows.ts";

const TITLES: Readonly<Record<string, string>> = {
  images: "Images",
  containers: "Containers",
  volumes: "Local Volumes",
  logs: "Logs",
  "build-cache": "Build Cache",
};

/** `nyx system df`. */
export const command = defineCommand({
  summary: "Show disk usage",
  flags: {
    format: { type: "value", value: "FORMAT", help: "table, json, or a Go template", complete: ["table", "json"] },
    verbose: { type: "bool", short: "v", help: "", refuse: "see nyx images and nyx volume ls for the single objects" },
  },
  operands: [],
  async run(context, flags) {
    const { rows, total } = await (await context.client()).system.df();
    const views = rows.map((row) => ({
      Type: TITLES[row.type] ?? row.type,
      TotalCount: String(row.total),
      Active: String(row.active),
      Size: formatSize(row.size),
      Reclaimable: row.size > 0
        ? `${formatSize(row.reclaimable)} (${Math.floor(row.reclaimable * 100 / row.size)}%)`
        : formatSize(row.reclaimable),
    }));
    context.out.text(renderRows(views, {
      format: flags.format,
      columns: ["Type", "TotalCount", "Active", "Size", "Reclaimable"],
      heads: { TotalCount: "TOTAL" },
      terminal: context.out.isTerminal,
    }));
    if (flags.format === undefined || flags.format === "table") {
      const limits = rows.flatMap(({ type, limit }) =>
        limit === undefined ? [] : [`${TITLES[type] ?? type} may take ${formatSize(limit)} (nyxd --log-budget)\n`]
      );
      context.out.text(`\nBase directory: ${formatSize(total)}\n${limits.join("")}`);
    }
    return EXIT.ok;
  },
});
