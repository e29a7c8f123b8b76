/** `nyx export`. */

import { OUTPUT_FLAG, writeArchive } from "../archive_output.ts";
import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";

/** `nyx export`. */
export const command = defineCommand({
  summary: "Write a container's file system as a tar archive",
  flags: {
    output: OUTPUT_FLAG,
  },
  operands: [{ name: "CONTAINER", complete: "containers" }],
  notes: "What is in volumes is not in the archive.",
  async run(context, flags, [ref = ""]) {
    const source = (await context.client()).containers.export(ref);
    await writeArchive(context, flags.output, source);
    return EXIT.ok;
  },
});
