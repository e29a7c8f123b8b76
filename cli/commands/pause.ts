/** `nyx pause`. */

import { defineCommand } from "../args/definition.ts";
import { eachOf } from "../batch.ts";

/** `nyx pause`. */
export const command = defineCommand({
  summary: "Freeze all processes of containers",
  flags: {},
  operands: [{ name: "CONTAINER", variadic: true, complete: "running" }],
  async run(context, _flags, operands) {
    const client = await context.client();
    return await eachOf(context, operands, async (ref) => {
      await client.containers.pause(ref);
      return ref;
    });
  },
});
