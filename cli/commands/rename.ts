/** `nyx rename`. */

import { parseName } from "../../daemon/spec/parse/modes.ts";
import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";

/** `nyx rename`. */
export const command = defineCommand({
  summary: "Rename a container",
  flags: {},
  operands: [{ name: "CONTAINER", complete: "containers" }, { name: "NEW-NAME" }],
  async run(context, _flags, [ref = "", name = ""]) {
    await (await context.client()).containers.rename(ref, parseName(name));
    return EXIT.ok;
  },
});
