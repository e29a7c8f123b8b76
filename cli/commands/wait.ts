/** `nyx wait`. */

import { invalid, type WaitCondition } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { eachOf } from "../batch.ts";

const CONDITIONS: readonly WaitCondition[] = ["not-running", "next-exit", "removed", "healthy"];

/** `nyx wait`. */
export const command = defineCommand({
  summary: "Wait until containers stop, then print their exit codes",
  flags: {
    condition: {
      type: "value",
      value: "CONDITION",
      help: "not-running, next-exit, removed or healthy (default not-running)",
      complete: CONDITIONS,
    },
  },
  operands: [{ name: "CONTAINER", variadic: true, complete: "containers" }],
  async run(context, flags, operands) {
    const condition = CONDITIONS.find((word) => word === (flags.condition ?? "not-running"));
    if (condition === undefined) throw invalid("condition", flags.condition, `use ${CONDITIONS.join(", ")}`);
    const client = await context.client();
    return await eachOf(
      context,
      operands,
      async (ref) => String((await client.containers.wait(ref, condition)).exitCode),
    );
  },
});
