/** Tells a nyxd with fault points (faulty_nyxd.ts) what is to go wrong. */

import type { Nyxd } from "./daemon.ts";
import type { Fault } from "./faulty_nyxd.ts";

let faults = 0;

/** Arms a fault; without a step nyxd only records its steps. */
export function arm(nyxd: Nyxd, fault: Omit<Fault, "id">): void {
  Deno.writeTextFileSync(`${nyxd.baseDir}/fault.json`, JSON.stringify({ id: `f${++faults}`, ...fault }));
}

/** Takes it back, and what nyxd wrote about it. */
export function disarm(nyxd: Nyxd): void {
  for (const name of ["fault.json", "struck.json", "trace.json"]) {
    try {
      Deno.removeSync(`${nyxd.baseDir}/${name}`);
    } catch {
      // It was not written.
    }
  }
}

/** One step of an operation: its name, and which occurrence of it. */
export interface Step {
  step: string;
  nth: number;
}

/** The steps that nyxd takes while a job runs, in order. */
export async function traced(nyxd: Nyxd, job: () => Promise<unknown>): Promise<Step[]> {
  arm(nyxd, {});
  await job();
  // What goes on after the answer belongs to it.
  await new Promise((r) => setTimeout(r, 150));
  const steps: string[] = JSON.parse(Deno.readTextFileSync(`${nyxd.baseDir}/trace.json`));
  disarm(nyxd);
  return steps.map((s) => {
    const [step = "", nth] = s.split(" ");
    return { step, nth: Number(nth) };
  });
}
