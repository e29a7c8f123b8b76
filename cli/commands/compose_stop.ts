/** `nyx compose stop`. */

import { parseInteger } from "../../daemon/spec/parse/cpus.ts";
import { defineCommand } from "../args/definition.ts";
import { act } from "../compose/action.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";

/** `nyx compose stop`. */
export const command = defineCommand({
  summary: "Stop a project's containers, dependents first",
  flags: {
    ...PROJECT_FLAGS,
    timeout: { type: "value", short: "t", value: "SECONDS", help: "Grace between the stop signal and KILL" },
  },
  operands: [{ name: "SERVICE", optional: true, variadic: true }],
  run: (context, flags, services) =>
    act(context, "stop", flags, services, {
      ...(flags.timeout === undefined ? {} : { timeout_s: parseInteger(flags.timeout, "timeout", -1) }),
    }),
});
