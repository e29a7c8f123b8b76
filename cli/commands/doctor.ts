/** `nyx doctor`. */

import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";
import { escapeControls, safeJson } from "../render/escape.ts";

/** `nyx doctor`. */
export const command = defineCommand({
  summary: "Look for what on this host hinders nyx",
  flags: { json: { type: "bool", help: "Print the findings as JSON lines" } },
  operands: [],
  notes: "Ends with 1 when something keeps containers from working.",
  async run(context, flags) {
    const findings = await (await context.client()).system.doctor();
    for (const f of findings) {
      if (flags.json === true) {
        context.out.text(`${safeJson(f)}\n`);
        continue;
      }
      context.out.text(`${f.state.padEnd(4)}  ${f.name}: ${escapeControls(f.found)}\n`);
      if (f.fix !== undefined && f.fix !== f.found) context.out.text(`      fix: ${escapeControls(f.fix)}\n`);
    }
    return findings.some((f) => f.state === "fail") ? EXIT.failure : EXIT.ok;
  },
});
