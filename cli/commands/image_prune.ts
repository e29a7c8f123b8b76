/** `nyx image prune`. */

import { formatSize } from "../../daemon/spec/parse/size.ts";
import { defineCommand } from "../args/definition.ts";
import { confirmPrune } from "../confirm_prune.ts";
import { EXIT } from "../failure.ts";

/** `nyx image prune`. */
export const command = defineCommand({
  summary: "Remove unused images",
  flags: {
    all: { type: "bool", short: "a", help: "Also tagged images that no container uses" },
    "dry-run": { type: "bool", help: "Only show what would be removed" },
    filter: { type: "list", help: "", refuse: "images are pruned by use alone; remove others by name with: nyx rmi" },
    force: { type: "bool", short: "f", help: "Do not ask" },
    json: { type: "bool", help: "Print the result as JSON" },
  },
  operands: [],
  async run(context, flags) {
    const [all, dryRun] = [flags.all === true, flags["dry-run"] === true];
    const what = all ? "This removes all images that no container uses" : "This removes all untagged images";
    if (!dryRun && !await confirmPrune(context, flags.force === true, what)) return EXIT.ok;
    const result = await (await context.client()).images.prune({ all, dryRun });
    if (flags.json === true) {
      context.out.text(`${JSON.stringify(result)}\n`);
      return EXIT.ok;
    }
    const verb = dryRun ? "Would remove" : "Removed";
    for (const ref of result.removed) context.out.text(`${verb}: ${ref}\n`);
    context.out.text(`${dryRun ? "Space that would be freed" : "Space freed"}: ${formatSize(result.reclaimed)}\n`);
    return EXIT.ok;
  },
});
