/** `nyx tag`. */

import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";

/** `nyx tag`. */
export const command = defineCommand({
  summary: "Give an image another reference",
  flags: {},
  operands: [{ name: "IMAGE", complete: "images" }, { name: "NEW-REFERENCE", complete: "images" }],
  async run(context, _flags, [source = "", target = ""]) {
    await (await context.client()).images.tag(source, target);
    return EXIT.ok;
  },
});
