/** `nyx network prune`. */

import { defineCommand } from "../args/definition.ts";
import { confirmPrune } from "../confirm_prune.ts";
import { EXIT } from "../failure.ts";
import { NETWORK_PRUNE_FILTERS, parseFilters } from "../filters.ts";
import { earliestUntil } from "./logs.ts";

/** `nyx network prune`. */
export const command = defineCommand({
  summary: "Remove unused networks",
  flags: {
    filter: {
      type: "list",
      value: "KEY=VALUE",
      help: "Only those that match: label, until=TIME",
      complete: ["label=", "until="],
    },
    force: { type: "bool", short: "f", help: "Do not ask" },
  },
  operands: [],
  async run(context, flags) {
    const { label = [], until } = parseFilters(flags.filter, NETWORK_PRUNE_FILTERS);
    const warning = "This removes all networks that no container uses";
    if (!await confirmPrune(context, flags.force === true, warning)) return EXIT.ok;
    const last = earliestUntil(until);
    const { removed } = await (await context.client()).networks.prune({
      labels: label,
      ...(last === undefined ? {} : { until: last }),
    });
    for (const name of removed) context.out.text(`Removed: ${name}\n`);
    return EXIT.ok;
  },
});
