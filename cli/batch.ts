/** One action on several objects: side by side, results in the order asked for, every failure told, none in the way of the others. */

import type { Context } from "./context.ts";
import { EXIT, reportFailure } from "./failure.ts";

/** Most actions under way at once. */
const PARALLEL = 32;

/**
 * Acts on each name and prints what the action gives back, one line each, in order, as soon as it and those before it are through.
 *
 * @returns exit code: 1 when any failed
 */
export async function eachOf(
  context: Context,
  names: readonly string[],
  action: (name: string) => Promise<string | undefined>,
): Promise<number> {
  const pending: Promise<() => boolean>[] = [];
  const free: Promise<unknown>[] = [];
  let code: number = EXIT.ok;
  const finish = async (settled: Promise<() => boolean>) => {
    if (!(await settled)()) code = EXIT.failure;
  };
  for (const name of names) {
    if (free.length >= PARALLEL) await free.shift();
    const outcome = action(name).then(
      (line) => () => {
        if (line !== undefined) context.out.text(`${line}\n`);
        return true;
      },
      (e: unknown) => () => {
        reportFailure(context, e);
        return false;
      },
    );
    pending.push(outcome);
    free.push(outcome);
  }
  for (const outcome of pending) await finish(outcome);
  return code;
}
