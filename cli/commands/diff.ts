/** `nyx diff`. */

import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";
import { escapeControls, safeJson } from "../render/escape.ts";

/** `nyx diff`. */
export const command = defineCommand({
  summary: "Show what a container changed in its file system",
  flags: { json: { type: "bool", help: "Print the changes as JSON lines" } },
  operands: [{ name: "CONTAINER", complete: "containers" }],
  notes: "A: added, C: changed, D: deleted.",
  async run(context, flags, [ref = ""]) {
    const changes = await (await context.client()).containers.changes(ref);
    const lines = changes.map((change) =>
      flags.json === true ? safeJson(change) : `${change.kind} ${escapeControls(change.path)}`
    );
    context.out.text(lines.map((line) => `${line}\n`).join(""));
    return EXIT.ok;
  },
});
