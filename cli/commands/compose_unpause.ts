/** `nyx compose unpause`. */

import { defineCommand } from "../args/definition.ts";
import { act } from "../compose/action.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";

/** `nyx compose unpause`. */
export const command = defineCommand({
  summary: "Thaw a project's containers",
  flags: PROJECT_FLAGS,
  operands: [{ name: "SERVICE", optional: true, variadic: true }],
  run: (context, flags, services) => act(context, "unpause", flags, services),
});
