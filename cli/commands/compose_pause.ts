/** `nyx compose pause`. */

import { defineCommand } from "../args/definition.ts";
import { act } from "../compose/action.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";

/** `nyx compose pause`. */
export const command = defineCommand({
  summary: "Freeze a project's containers",
  flags: PROJECT_FLAGS,
  operands: [{ name: "SERVICE", optional: true, variadic: true }],
  run: (context, flags, services) => act(context, "pause", flags, services),
});
