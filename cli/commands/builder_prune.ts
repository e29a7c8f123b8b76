/** `nyx builder prune`. */

import { formatSize } from "../../daemon/spec/parse/size.ts";
import { defineCommand } from "../args/definition.ts";
import { confirmPrune } from "../confirm_prune.ts";
import { EXIT } from "../failure.ts";

/** `nyx builder prune`. */
export const command = defineCommand({
  summary: "Remove the steps of earlier builds",
  flags: {
    all: { type: "bool", short: "a", help: "", hidden: true },
    filter: { type: "list", help: "", refuse: "steps are removed together" },
    force: { type: "bool", short: "f", help: "Do not ask" },
  },
  operands: [],
  async run(context, flags) {
    const what = "This removes the steps of all earlier builds; images stay";
    if (!await confirmPrune(context, flags.force === true, what)) return EXIT.ok;
    const { reclaimed } = await (await context.client()).build.prune();
    context.out.text(`Space freed: ${formatSize(reclaimed)}\n`);
    return EXIT.ok;
  },
});
