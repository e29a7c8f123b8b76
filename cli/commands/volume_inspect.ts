/** `nyx volume inspect`. */

import { defineCommand } from "../args/definition.ts";
import { INSPECT_FLAGS, inspectAll } from "../inspect_objects.ts";

/** `nyx volume inspect`. */
export const command = defineCommand({
  summary: "Show all about volumes",
  flags: INSPECT_FLAGS,
  operands: [{ name: "VOLUME", variadic: true, complete: "volumes" }],
  async run(context, flags, operands) {
    const client = await context.client();
    return await inspectAll(context, operands, flags.format, (name) => client.volumes.inspect(name));
  },
});
