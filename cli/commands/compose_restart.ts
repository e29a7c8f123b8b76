/** `nyx compose restart`. */

import { parseInteger } from "../../daemon/spec/parse/cpus.ts";
import { defineCommand } from "../args/definition.ts";
import { act } from "../compose/action.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";

/** `nyx compose restart`. */
export const command = defineCommand({
  summary: "Restart a project's containers, dependencies first",
  flags: {
    ...PROJECT_FLAGS,
    "no-deps": { type: "bool", help: "Leave alone what depends on them" },
    timeout: { type: "value", short: "t", value: "SECONDS", help: "Grace between the stop signal and KILL" },
  },
  operands: [{ name: "SERVICE", optional: true, variadic: true }],
  run: (context, flags, services) =>
    act(context, "restart", flags, services, {
      ...(flags["no-deps"] === true ? { no_deps: true } : {}),
      ...(flags.timeout === undefined ? {} : { timeout_s: parseInteger(flags.timeout, "timeout", -1) }),
    }),
});
