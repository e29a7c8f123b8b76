/** Thread priority on Linux. */

import type { PriorityKernel } from "../priority.ts";
import { check, checkBig, openLibc } from "./libc.ts";

const PRIO_PROCESS = 0;
/** With PRIO_PROCESS: the calling thread. */
const SELF = 0;

/** The same numbers on all but x86-64. */
const [SYS_SCHED_SETATTR, SYS_SCHED_GETATTR] = Deno.build.arch === "x86_64" ? [314n, 315n] : [274n, 275n];
/** struct sched_attr of linux/sched/types.h, in its first version: size, policy, flags, nice, priority, runtime, deadline, period. */
const ATTR_SIZE = 48;
const ATTR = { policy: 4, flags: 8, runtime: 24 } as const;
const SCHED_NORMAL = 0;
const SCHED_FLAG_RESET_ON_FORK = 1n;

/** The kernel's calls. */
export function linuxPriority(): PriorityKernel {
  const { symbols } = openLibc({
    setpriority: { parameters: ["i32", "u32", "i32"], result: "i32" },
    getpriority: { parameters: ["i32", "u32"], result: "i32" },
    syscall: { parameters: ["i64", "i64", "buffer", "i64", "i64"], result: "i64" },
  });
  const attributes = (tid: number) => {
    const bytes = new Uint8Array(ATTR_SIZE);
    checkBig(symbols.syscall(SYS_SCHED_GETATTR, BigInt(tid), bytes, BigInt(ATTR_SIZE), 0n), "sched_getattr", tid);
    return { bytes, view: new DataView(bytes.buffer) };
  };
  return {
    setNice(nice) {
      // Before the call: nothing may come between it and the read of errno.
      const text = String(nice);
      check(symbols.setpriority(PRIO_PROCESS, SELF, nice), "setpriority", text);
    },
    // -1 is a valid result, and for the calling thread the call cannot fail.
    nice: () => symbols.getpriority(PRIO_PROCESS, SELF),
    setSlice(tid, ns) {
      const { bytes, view } = attributes(tid);
      if (view.getUint32(ATTR.policy, true) !== SCHED_NORMAL) return;
      view.setBigUint64(ATTR.flags, SCHED_FLAG_RESET_ON_FORK, true);
      view.setBigUint64(ATTR.runtime, BigInt(ns), true);
      checkBig(symbols.syscall(SYS_SCHED_SETATTR, BigInt(tid), bytes, 0n, 0n), "sched_setattr", tid);
    },
    slice: (tid) => Number(attributes(tid).view.getBigUint64(ATTR.runtime, true)),
  };
}
