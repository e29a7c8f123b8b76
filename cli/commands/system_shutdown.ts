/** `nyx system shutdown`. */

import { parseInteger } from "../../daemon/spec/parse/cpus.ts";
import { defineCommand } from "../args/definition.ts";
import { confirmPrune } from "../confirm_prune.ts";
import { EXIT } from "../failure.ts";

/** `nyx system shutdown`. */
export const command = defineCommand({
  summary: "Stop all containers and the daemon",
  flags: {
    force: { type: "bool", short: "f", help: "Do not ask" },
    time: { type: "value", short: "t", value: "SECONDS", help: "Seconds for all until KILL (default 20)" },
  },
  operands: [],
  async run(context, flags) {
    if (!await confirmPrune(context, flags.force === true, "This stops all containers and the daemon")) return EXIT.ok;
    const options = flags.time === undefined ? {} : { timeoutS: parseInteger(flags.time, "time", 0, 2_147_483) };
    await (await context.client()).system.shutdown(options);
    return EXIT.ok;
  },
});
