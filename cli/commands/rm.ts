/** `nyx rm`. */

import { NyxError } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { eachOf } from "../batch.ts";

/** `nyx rm`. */
export const command = defineCommand({
  summary: "Remove containers",
  flags: {
    force: { type: "bool", short: "f", help: "Kill first when running; one that is not there is no error" },
    volumes: { type: "bool", short: "v", help: "Also remove its anonymous volumes" },
    link: { type: "bool", short: "l", help: "", refuse: "legacy links are not supported" },
  },
  operands: [{ name: "CONTAINER", variadic: true, complete: "containers" }],
  async run(context, flags, operands) {
    const client = await context.client();
    const options = { force: flags.force === true, volumes: flags.volumes === true };
    return await eachOf(context, operands, async (ref) => {
      try {
        await client.containers.remove(ref, options);
        return ref;
      } catch (e) {
        if (options.force && e instanceof NyxError && e.code === "not_found") return undefined;
        throw e;
      }
    });
  },
});
