/** `nyx volume export`. */

import { OUTPUT_FLAG, writeArchive } from "../archive_output.ts";
import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";

/** `nyx volume export`. */
export const command = defineCommand({
  summary: "Write what is in a volume as a tar archive",
  flags: {
    output: OUTPUT_FLAG,
  },
  operands: [{ name: "VOLUME", complete: "volumes" }],
  notes: "Owners, modes, links, times and extended attributes are kept. What containers write meanwhile\n" +
    "may be in it or not: stop them for a copy that fits together.",
  async run(context, flags, [name = ""]) {
    const source = (await context.client()).volumes.exportTar(name);
    await writeArchive(context, flags.output, source);
    return EXIT.ok;
  },
});
