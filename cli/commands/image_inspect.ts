/** `nyx image inspect`. */

import { defineCommand } from "../args/definition.ts";
import { INSPECT_FLAGS, inspectAll } from "../inspect_objects.ts";

/** `nyx image inspect`. */
export const command = defineCommand({
  summary: "Show all about images",
  flags: INSPECT_FLAGS,
  operands: [{ name: "IMAGE", variadic: true, complete: "images" }],
  async run(context, flags, operands) {
    const client = await context.client();
    return await inspectAll(context, operands, flags.format, (name) => client.images.inspect(name));
  },
});
