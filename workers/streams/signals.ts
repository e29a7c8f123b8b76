/** Signals by name or number, and processes with all their descendants. */

import { SIGNALS } from "../../ffi/process.ts";
import { invalid } from "../../daemon/spec/errors.ts";
import { directory, tryReadText } from "./proc.ts";

const SIGRTMIN = 34;
const SIGRTMAX = 64;

/** Number of a signal: `SIGTERM`, `term`, `15`, `SIGRTMIN+3`. */
export function parseSignal(signal: string): number {
  const name = signal.trim().toUpperCase();
  if (/^\d+$/.test(name)) {
    const n = Number(name);
    if (n >= 1 && n <= SIGRTMAX) return n;
  }
  const full = name.startsWith("SIG") ? name : `SIG${name}`;
  const known = SIGNALS[full];
  if (known !== undefined) return known;
  const m = /^SIGRT(MIN|MAX)([+-]\d+)?$/.exec(full);
  if (m !== null) {
    const n = (m[1] === "MIN" ? SIGRTMIN : SIGRTMAX) + Number(m[2] ?? 0);
    if (n >= SIGRTMIN && n <= SIGRTMAX) return n;
  }
  throw invalid("signal", signal, "use a name such as SIGTERM or a number from 1 to 64");
}

/** A process and everything it started that is still below it, parents first. */
export function processTree(pid: number): number[] {
  const tree = [pid];
  for (let i = 0; i < tree.length; i++) {
    const parent = tree[i];
    for (const { name: task } of directory(`/proc/${parent}/task`)) {
      const children = tryReadText(`/proc/${parent}/task/${task}/children`)?.trim() ?? "";
      if (children !== "") tree.push(...children.split(" ").map(Number));
    }
  }
  return tree;
}
