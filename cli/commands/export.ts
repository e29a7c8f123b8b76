/** `nyx export`. */

import { archiveToFile, archiveToStdout } from "../archive_output.ts";
import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";

/** `nyx export`. */
export const command = defineCommand({
  summary: "Write a container's file system as a tar archive",
  flags: {
    output: {
      type: "value",
      short: "o",
      value: "FILE",
      help: "File to write (default standard output)",
      complete: "files",
    },
  },
  operands: [{ name: "CONTAINER", complete: "containers" }],
  notes: "What is in volumes is not in the archive.",
  async run(context, flags, [ref = ""]) {
    const source = (await context.client()).containers.export(ref);
    if (flags.output === undefined || flags.output === "-") await archiveToStdout(context, source);
    else await archiveToFile(flags.output, source);
    return EXIT.ok;
  },
});
