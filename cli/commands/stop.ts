/** `nyx stop`. */

import { defineCommand } from "../args/definition.ts";
import { eachOf } from "../batch.ts";
import { STOP_FLAGS, stopOptions } from "../stop_options.ts";

/** `nyx stop`. */
export const command = defineCommand({
  summary: "Stop running containers",
  flags: STOP_FLAGS,
  operands: [{ name: "CONTAINER", variadic: true, complete: "running" }],
  async run(context, flags, operands) {
    const options = stopOptions(flags);
    const client = await context.client();
    return await eachOf(context, operands, async (ref) => {
      await client.containers.stop(ref, options);
      return ref;
    });
  },
});
