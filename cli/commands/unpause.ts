/** `nyx unpause`. */

import { defineCommand } from "../args/definition.ts";
import { eachOf } from "../batch.ts";

/** `nyx unpause`. */
export const command = defineCommand({
  summary: "Thaw paused containers",
  flags: {},
  operands: [{ name: "CONTAINER", variadic: true, complete: "containers" }],
  async run(context, _flags, operands) {
    const client = await context.client();
    return await eachOf(context, operands, async (ref) => {
      await client.containers.unpause(ref);
      return ref;
    });
  },
});
