/** Printing of inspected objects: what is found is printed, what is not is told. */

import type { Context } from "./context.ts";
import { EXIT, reportFailure } from "./failure.ts";
import { renderObjects } from "./render/rows.ts";

/** Looks all names up and prints what was found, as JSON or by a template. @returns 1 when one was not found */
export async function inspectAll(
  context: Context,
  names: readonly string[],
  format: string | undefined,
  lookup: (name: string) => Promise<unknown>,
): Promise<number> {
  const settled = await Promise.allSettled(names.map(lookup));
  const found = settled.flatMap((result) => result.status === "fulfilled" ? [result.value] : []);
  if (found.length > 0 || format === undefined) context.out.text(renderObjects(found, format, context.out.isTerminal));
  let code: number = EXIT.ok;
  for (const result of settled) {
    if (result.status === "fulfilled") continue;
    reportFailure(context, result.reason);
    code = EXIT.failure;
  }
  return code;
}

/** The option that every inspecting command has. */
export const INSPECT_FLAGS = {
  format: {
    type: "value",
    short: "f",
    value: "FORMAT",
    help: "json, or a Go template such as '{{.state.pid}}'",
    complete: ["json"],
  },
} as const;
