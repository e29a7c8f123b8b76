/** Options of `stop` and `restart`. */

import { parseInteger } from "../daemon/spec/parse/cpus.ts";
import { parseSignal } from "../daemon/spec/parse/signal.ts";
import type { FlagSpecs } from "./args/definition.ts";

/** Flags that say how to stop. */
export const STOP_FLAGS = {
  signal: {
    type: "value",
    short: "s",
    value: "SIGNAL",
    help: "Signal to send instead of the container's own",
    complete: "signals",
  },
  time: {
    type: "value",
    short: "t",
    value: "SECONDS",
    aliases: ["timeout"],
    help: "Seconds until KILL (default: the container's, else 10; -1: never)",
  },
} as const satisfies FlagSpecs;

/** The same as the API wants it. */
export function stopOptions(
  flags: { signal: string | undefined; time: string | undefined },
): { timeoutS?: number; signal?: string } {
  return {
    ...(flags.time === undefined ? {} : { timeoutS: parseInteger(flags.time, "time", -1, 2_147_483) }),
    ...(flags.signal === undefined ? {} : { signal: parseSignal(flags.signal).name }),
  };
}
