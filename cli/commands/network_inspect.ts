/** `nyx network inspect`. */

import { defineCommand } from "../args/definition.ts";
import { INSPECT_FLAGS, inspectAll } from "../inspect_objects.ts";
import { dockerNetwork } from "../render/network_view.ts";

/** `nyx network inspect`. */
export const command = defineCommand({
  summary: "Show all about networks",
  flags: INSPECT_FLAGS,
  operands: [{ name: "NETWORK", variadic: true, complete: "networks" }],
  async run(context, flags, operands) {
    const client = await context.client();
    const plain = flags.format === undefined || flags.format === "json";
    return await inspectAll(context, operands, flags.format, async (name) => {
      const info = await client.networks.inspect(name);
      return plain ? info : dockerNetwork(info);
    });
  },
});
