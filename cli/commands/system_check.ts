/** `nyx system check`. */

import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";

/** `nyx system check`. */
export const command = defineCommand({
  summary: "Compare records with what is there, and repair",
  flags: { repair: { type: "bool", help: "Remove what belongs to no container" } },
  operands: [],
  notes: `Looks at records, mounts, namespaces, cgroups, leases, port rules, monitors, logs and layers.
Ends with 1 when something differs.`,
  async run(context, flags) {
    const { findings, repaired } = await (await context.client()).system.check({ repair: flags.repair === true });
    for (const f of repaired) context.out.text(`repaired  ${f.id.slice(0, 12)}  ${f.message}\n`);
    for (const f of findings) context.out.text(`${f.kind.padEnd(8)}  ${f.id.slice(0, 12)}  ${f.message}\n`);
    if (findings.length === 0) context.out.text("Everything is as it is recorded.\n");
    return findings.length === 0 ? EXIT.ok : EXIT.failure;
  },
});
