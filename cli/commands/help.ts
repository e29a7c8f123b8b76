/** `nyx help`: its work is done where commands are found; this gives completion something to read. */

import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";

/** `nyx help`. */
export const command = defineCommand({
  summary: "Show help on a command",
  flags: {},
  operands: [{ name: "COMMAND", optional: true, variadic: true, complete: "commands" }],
  run: () => Promise.resolve(EXIT.ok),
});
