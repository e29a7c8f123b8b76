/** `nyx compose rm`. */

import { NyxError } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { act } from "../compose/action.ts";
import { LONG_PROJECT_FLAGS } from "../compose/flags.ts";
import { EXIT } from "../failure.ts";

/** `nyx compose rm`. */
export const command = defineCommand({
  summary: "Remove a project's containers that do not run",
  flags: {
    ...LONG_PROJECT_FLAGS,
    force: { type: "bool", short: "f", help: "Do not ask" },
    stop: { type: "bool", short: "s", help: "Stop what runs first" },
    volumes: { type: "bool", short: "v", help: "Also their anonymous volumes" },
  },
  operands: [{ name: "SERVICE", optional: true, variadic: true }],
  async run(context, flags, services) {
    if (flags.force !== true) {
      if (!Deno.stdin.isTerminal()) {
        throw new NyxError(
          "failed_precondition",
          "Cannot ask whether to remove containers: give -f to remove them unasked",
        );
      }
      const { askLine } = await import("../terminal/prompt.ts");
      const answer = await askLine("Remove containers of the project? [y/N] ", true);
      if (!/^y(es)?$/i.test(answer.trim())) return EXIT.failure;
    }
    return await act(context, "rm", flags, services, {
      ...(flags.stop === true ? { stop: true } : {}),
      ...(flags.volumes === true ? { volumes: true } : {}),
    });
  },
});
