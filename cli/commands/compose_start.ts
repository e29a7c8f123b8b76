/** `nyx compose start`. */

import { defineCommand } from "../args/definition.ts";
import { act } from "../compose/action.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";

/** `nyx compose start`. */
export const command = defineCommand({
  summary: "Start a project's containers, dependencies first",
  flags: PROJECT_FLAGS,
  operands: [{ name: "SERVICE", optional: true, variadic: true }],
  run: (context, flags, services) => act(context, "start", flags, services),
});
