/** `nyx compose kill`. */

import { defineCommand } from "../args/definition.ts";
import { act } from "../compose/action.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";

/** `nyx compose kill`. */
export const command = defineCommand({
  summary: "Send a signal to a project's containers",
  flags: {
    ...PROJECT_FLAGS,
    signal: { type: "value", short: "s", value: "SIGNAL", help: "Signal (default SIGKILL)", complete: "signals" },
  },
  operands: [{ name: "SERVICE", optional: true, variadic: true }],
  run: (context, flags, services) =>
    act(context, "kill", flags, services, flags.signal === undefined ? {} : { signal: flags.signal }),
});
