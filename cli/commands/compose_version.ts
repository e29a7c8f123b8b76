/** `nyx compose version`. */

import { VERSION } from "../../daemon/spec/version.ts";
import { defineCommand } from "../args/definition.ts";
import { LONG_PROJECT_FLAGS } from "../compose/flags.ts";
import { EXIT } from "../failure.ts";

/** `nyx compose version`. */
export const command = defineCommand({
  summary: "Show the version of nyx",
  flags: {
    ...LONG_PROJECT_FLAGS,
    format: {
      type: "value",
      short: "f",
      value: "FORMAT",
      help: "pretty (default) or json",
      complete: ["pretty", "json"],
    },
    short: { type: "bool", help: "Only the number" },
  },
  operands: [],
  run(context, flags) {
    const text = flags.short === true
      ? VERSION
      : flags.format === "json"
      ? JSON.stringify({ version: VERSION })
      : `nyx compose version ${VERSION}`;
    context.out.text(`${text}\n`);
    return Promise.resolve(EXIT.ok);
  },
});
