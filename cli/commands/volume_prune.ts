/** `nyx volume prune`. */

import { formatSize } from "../../daemon/spec/parse/size.ts";
import { defineCommand } from "../args/definition.ts";
import { confirmPrune } from "../confirm_prune.ts";
import { EXIT } from "../failure.ts";

/** `nyx volume prune`. */
export const command = defineCommand({
  summary: "Remove unused volumes",
  flags: {
    all: { type: "bool", short: "a", help: "Also named volumes" },
    filter: {
      type: "list",
      help: "",
      refuse: "volumes are pruned by use alone; remove others by name with: nyx volume rm",
    },
    force: { type: "bool", short: "f", help: "Do not ask" },
  },
  operands: [],
  async run(context, flags) {
    if (
      !await confirmPrune(
        context,
        flags.force === true,
        flags.all === true
          ? "This removes all volumes that no container uses"
          : "This removes all anonymous volumes that no container uses",
      )
    ) return EXIT.ok;
    const client = await context.client();
    const { removed, reclaimed } = await client.volumes.prune({ all: flags.all === true });
    for (const name of removed) context.out.text(`Removed: ${name}\n`);
    context.out.text(`Space freed: ${formatSize(reclaimed)}\n`);
    return EXIT.ok;
  },
});
