/**
 * `deno task test:vm [NAME…]`: plays the scripted runs of tests/vm/runs in guests under QEMU; all of them, or those whose names begin
 * with one of NAME. `--list` names the runs, `--verbose` shows each step with its seconds.
 *
 * `--cuts N [--seed S] [--from F] [--only OPERATION,…]` cuts the power N times instead; from cut F of the seed's series on.
 *
 * Needs root and what tests/setup.ts installs. Exit code 1 when anything failed.
 */

import { installPackages, RUNTIME_PACKAGES, TEST_PACKAGES } from "../setup.ts";
import { cutPower } from "./cuts.ts";
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

function option(name: string): string | undefined {
  const at = Deno.args.indexOf(`--${name}`);
  return at < 0 ? undefined : Deno.args[at + 1];
}

async function cuts(count: number): Promise<boolean> {
  const seed = Number(option("seed") ?? Math.floor(Math.random() * 1e9));
  const only = option("only");
  const from = Number(option("from") ?? 1);
  console.log(`Cutting the power ${count} times, --seed ${seed} --from ${from}`);
  const reports = await cutPower({
    count,
    seed,
    from,
    ...(only === undefined ? {} : { operations: only.split(",") }),
    onCut: ({ number, operation, afterMs, disk, faults }) => {
      console.log(
        `${faults.length === 0 ? "ok    " : "FAILED"} cut ${number}: ${operation}, after ${afterMs} ms, ${
          disk?.lost ?? 0
        } writes lost`,
      );
      for (const fault of faults) console.log(fault.replace(/^/gm, "       "));
    },
  });
  const failed = reports.filter((r) => r.faults.length > 0).length;
  console.log(`${reports.length - failed} passed, ${failed} failed`);
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
  const count = option("cuts");
  if (count !== undefined) return await cuts(Number(count));
  const names = Deno.args.filter((a) => !a.startsWith("-"));
  const chosen = names.length === 0 ? runs : runs.filter((r) => names.some((n) => r.name.startsWith(n)));
  if (chosen.length === 0) throw new Error(`No run begins with ${names.join(" or ")}; see --list`);
  return await playAll(chosen, Deno.args.includes("--verbose"));
}

if (import.meta.main) {
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, () => Deno.exit(130));
  Deno.exit(await main() ? 0 : 1);
}
