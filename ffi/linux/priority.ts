/** Thread priority on Linux. */

import type { PriorityKernel } from "../priority.ts";
import { check, openLibc } from "./libc.ts";

const PRIO_PROCESS = 0;
/** With PRIO_PROCESS: the calling thread. */
const SELF = 0;

/** The kernel's calls. */
export function linuxPriority(): PriorityKernel {
  const { symbols } = openLibc({
    setpriority: { parameters: ["i32", "u32", "i32"], result: "i32" },
    getpriority: { parameters: ["i32", "u32"], result: "i32" },
  });
  return {
    setNice(nice) {
      // Before the call: nothing may come between it and the read of errno.
      const text = String(nice);
      check(symbols.setpriority(PRIO_PROCESS, SELF, nice), "setpriority", text);
    },
    // -1 is a valid result, and for the calling thread the call cannot fail.
    nice: () => symbols.getpriority(PRIO_PROCESS, SELF),
  };
}
