/** `nyx network rm`. */

import { NyxError } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { eachOf } from "../batch.ts";

/** `nyx network rm`. */
export const command = defineCommand({
  summary: "Remove networks",
  flags: { force: { type: "bool", short: "f", help: "One that is not there is no error" } },
  operands: [{ name: "NETWORK", variadic: true, complete: "own-networks" }],
  async run(context, flags, operands) {
    const client = await context.client();
    return await eachOf(context, operands, async (name) => {
      try {
        await client.networks.remove(name);
        return name;
      } catch (e) {
        if (flags.force === true && e instanceof NyxError && e.code === "not_found") return undefined;
        throw e;
      }
    });
  },
});
