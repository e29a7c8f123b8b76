/** `nyx container prune`. */

import { formatSize } from "../../daemon/spec/parse/size.ts";
import { defineCommand } from "../args/definition.ts";
import { confirmPrune } from "../confirm_prune.ts";
import { EXIT } from "../failure.ts";
import { parseFilters } from "../filters.ts";
import { earliestUntil } from "./logs.ts";

/** `nyx container prune`. */
export const command = defineCommand({
  summary: "Remove all containers that do not run",
  flags: {
    filter: {
      type: "list",
      value: "KEY=VALUE",
      help: "Only those that match, such as label=KEY",
      complete: ["label=", "until="],
    },
    force: { type: "bool", short: "f", help: "Do not ask" },
  },
  operands: [],
  async run(context, flags) {
    const { until, ...others } = parseFilters(flags.filter, { label: {}, until: {} });
    const last = earliestUntil(until);
    const filters = { ...others, ...(last === undefined ? {} : { until: [last] }) };
    if (!await confirmPrune(context, flags.force === true, "This removes all containers that do not run")) {
      return EXIT.ok;
    }
    const client = await context.client();
    const { removed, reclaimed } = await client.containers.prune({ filters });
    for (const name of removed) context.out.text(`Removed: ${name}\n`);
    context.out.text(`Space freed: ${formatSize(reclaimed)}\n`);
    return EXIT.ok;
  },
});
