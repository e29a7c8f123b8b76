/** The question before anything is pruned. */

import { NyxError } from "../mod.ts";
import type { Context } from "./context.ts";
import { confirm } from "./terminal/prompt.ts";

/**
 * Asks unless told not to. Without a terminal nothing is asked, and nothing is done.
 *
 * @throws NyxError failed_precondition without a terminal and without `force`
 */
export async function confirmPrune(context: Context, force: boolean, warning: string): Promise<boolean> {
  if (force) return true;
  if (!Deno.stdin.isTerminal()) {
    throw new NyxError("failed_precondition", `${warning}: give -f to do so without being asked`);
  }
  context.err.text(`${context.paintErr.yellow("WARNING!")} ${warning}.\n`);
  return await confirm("Continue?");
}
