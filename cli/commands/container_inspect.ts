/** `nyx container inspect`. */

import { defineCommand } from "../args/definition.ts";
import { INSPECT_FLAGS, inspectAll } from "../inspect_objects.ts";
import { dockerNames } from "../render/inspect_view.ts";

/** `nyx container inspect`. */
export const command = defineCommand({
  summary: "Show all about containers",
  flags: INSPECT_FLAGS,
  operands: [{ name: "CONTAINER", variadic: true, complete: "containers" }],
  async run(context, flags, operands) {
    const plain = flags.format === undefined || flags.format === "json";
    const client = await context.client();
    return await inspectAll(
      context,
      operands,
      flags.format,
      (name) => client.containers.inspect(name).then((details) => plain ? details : dockerNames(details)),
    );
  },
});
