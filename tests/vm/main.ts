/**
 * `deno task test:vm [NAME…]`: plays the scripted runs of tests/vm/runs in guests under QEMU; all of them, or those whose names begin
 * with one of NAME. `--list` names the runs, `--verbose` shows each step with its seconds. Needs root and what tests/setup.ts installs. Exit code 1 when anything failed.
 */

import { installPackages, RUNTIME_PACKAGES, TEST_PACKAGES } from "../setup.ts";
import { play, readRuns, setStage } from "./play.ts";
import type { Run } from "./script.ts";

const RUNS = new URL("runs", import.meta.url).pathname;

async function playAll(runs: Run[], verbose: boolean): Promise<boolean> {
  let failed = 0;
  for (const run of runs) {
    const began = performance.now();
    const took = () => `${((performance.now() - began) / 1000).toFixed(1)} s`;
    try {
      await using stage = await setStage([run]);
      await play(run, stage, {
        onStep: (step, seconds) => {
          if (verbose) {
            console.log(`       ${run.name}:${step.line} ${step.command.split("\n")[0]} (${seconds.toFixed(1)} s)`);
          }
        },
      });
      console.log(`ok     ${run.name} ${run.title} (${took()})`);
    } catch (e) {
      failed++;
      console.log(`FAILED ${run.name} ${run.title} (${took()})\n${e instanceof Error ? e.message : e}`);
    }
  }
  console.log(`${runs.length - failed} passed, ${failed} failed`);
  return failed === 0;
}

async function main(): Promise<boolean> {
  const runs = readRuns(RUNS);
  if (Deno.args.includes("--list")) {
    for (const run of runs) {
      console.log(`${run.name}${run.ci ? " (also in the normal test command)" : ""}: ${run.title}`);
    }
    return true;
  }
  await installPackages([...RUNTIME_PACKAGES, ...TEST_PACKAGES]);
  const names = Deno.args.filter((a) => !a.startsWith("-"));
  const chosen = names.length === 0 ? runs : runs.filter((r) => names.some((n) => r.name.startsWith(n)));
  if (chosen.length === 0) throw new Error(`No run begins with ${names.join(" or ")}; see --list`);
  return await playAll(chosen, Deno.args.includes("--verbose"));
}

if (import.meta.main) Deno.exit(await main() ? 0 : 1);
