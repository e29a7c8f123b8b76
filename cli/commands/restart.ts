/** `nyx restart`. */

import { defineCommand } from "../args/definition.ts";
import { eachOf } from "../batch.ts";
import { STOP_FLAGS, stopOptions } from "../stop_options.ts";

/** `nyx restart`. */
export const command = defineCommand({
  summary: "Restart containers",
  flags: { time: STOP_FLAGS.time },
  operands: [{ name: "CONTAINER", variadic: true, complete: "containers" }],
  async run(context, flags, operands) {
    const options = stopOptions({ time: flags.time, signal: undefined });
    const client = await context.client();
    return await eachOf(context, operands, async (ref) => {
      await client.containers.restart(ref, options);
      return ref;
    });
  },
});
