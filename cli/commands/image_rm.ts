/** `nyx rmi` and `nyx image rm`. */

import { defineCommand } from "../args/definition.ts";
import { NyxError } from "../../mod.ts";
import { eachOf } from "../batch.ts";

/** `nyx rmi`. */
export const command = defineCommand({
  summary: "Remove images",
  flags: {
    force: {
      type: "bool",
      short: "f",
      help: "Also when a stopped container uses it; one that is not there is no error",
    },
    "no-prune": { type: "bool", help: "", refuse: "layers that nothing uses are always collected" },
  },
  operands: [{ name: "IMAGE", variadic: true, complete: "images" }],
  async run(context, flags, operands) {
    const client = await context.client();
    const force = flags.force === true;
    return await eachOf(context, operands, async (ref) => {
      try {
        const { untagged, deleted } = await client.images.remove(ref, { force });
        return [...untagged.map((name) => `Untagged: ${name}`), ...deleted.map((id) => `Deleted: ${id}`)].join("\n") ||
          ref;
      } catch (e) {
        if (force && e instanceof NyxError && e.code === "not_found") return undefined;
        throw e;
      }
    });
  },
});
