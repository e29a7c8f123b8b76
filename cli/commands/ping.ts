/** `nyx ping`. */

import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";

/** `nyx ping`. */
export const command = defineCommand({
  summary: "Check whether nyxd answers",
  flags: { json: { type: "bool", help: "Print the answer as JSON" } },
  operands: [],
  async run(context, flags) {
    const began = performance.now();
    const ok = await (await context.client()).system.ping();
    const ms = performance.now() - began;
    context.out.text(
      flags.json === true
        ? `${JSON.stringify({ ok, ms })}\n`
        : `nyxd answers on ${context.socket} (${ms.toFixed(1)} ms)\n`,
    );
    return ok ? EXIT.ok : EXIT.failure;
  },
});
