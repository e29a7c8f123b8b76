/** `nyx volume rm`. */

import { NyxError } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { eachOf } from "../batch.ts";

/** `nyx volume rm`. */
export const command = defineCommand({
  summary: "Remove volumes",
  flags: { force: { type: "bool", short: "f", help: "One that is not there is no error" } },
  operands: [{ name: "VOLUME", variadic: true, complete: "volumes" }],
  async run(context, flags, operands) {
    const client = await context.client();
    const force = flags.force === true;
    return await eachOf(context, operands, async (name) => {
      try {
        await client.volumes.remove(name, { force });
        return name;
      } catch (e) {
        if (force && e instanceof NyxError && e.code === "not_found") return undefined;
        throw e;
      }
    });
  },
});
