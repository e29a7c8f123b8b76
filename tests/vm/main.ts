/**
 * `deno task test:vm [NAME…]`: plays the scripted runs of tests/vm/runs in guests under QEMU; all of them, or those whose names begin
 * with one of NAME. `--list` names the runs, `--verbose` shows each step with its seconds, `--arch arm64` takes guests of another
 * architecture.
 *
 * `--cuts N [--seed S] [--from F] [--only OPERATION,…]` cuts the power N times instead; from cut F of the seed's series on.
 *
 * `--bench [ROW…]` measures crun, nyx and Podman in one guest instead: rows run and pull.
 *
 * Needs root and what tests/setup.ts installs. Exit code 1 when anything failed.
 */

import { parseArgs } from "node:util";
import { installPackages, RUNTIME_PACKAGES, TEST_PACKAGES } from "../setup.ts";
import type { Arch } from "./base.ts";
import { bench, BENCH_ROWS, type BenchRow } from "./bench.ts";
import { cutPower } from "./cuts.ts";
import { play, readRuns, setStage } from "./play.ts";
import type { Run } from "./script.ts";

const RUNS = new URL("runs", import.meta.url).pathname;

/** Packages that only some commands need. */
const EMULATORS: Readonly<Record<Arch, string[]>> = { amd64: [], arm64: ["qemu-system-arm"] };

async function playAll(runs: Run[], arch: Arch, verbose: boolean): Promise<boolean> {
  let failed = 0;
  for (const run of runs) {
    const began = performance.now();
    const took = () => `${((performance.now() - began) / 1000).toFixed(1)} s`;
    try {
      await using stage = await setStage([run], arch);
      await play(run, stage, {
        onStep: (step, seconds, wrong) => {
          if (!verbose) return;
          console.log(`       ${run.name}:${step.line} ${step.command.split("\n")[0]} (${seconds.toFixed(1)} s)`);
          if (wrong !== undefined) console.log(wrong.replace(/^/gm, "         "));
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

interface CutArguments {
  cuts: string;
  seed?: string | undefined;
  from?: string | undefined;
  only?: string | undefined;
}

async function cuts({ cuts, seed: asked, from: first = "1", only }: CutArguments): Promise<boolean> {
  const [count, from] = [Number(cuts), Number(first)];
  const seed = Number(asked ?? Math.floor(Math.random() * 1e9));
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

function isArch(text: string): text is Arch {
  return text in EMULATORS;
}

async function main(): Promise<boolean> {
  const text = { type: "string" } as const;
  const flag = { type: "boolean", default: false } as const;
  const options = {
    list: flag,
    verbose: flag,
    bench: flag,
    cuts: text,
    seed: text,
    from: text,
    only: text,
    arch: text,
  };
  const { values: { cuts: count, arch = "amd64", ...values }, positionals: names } = parseArgs({
    args: Deno.args,
    options,
    allowPositionals: true,
  });
  if (!isArch(arch)) throw new Error(`There are no guests of ${arch}; use ${Object.keys(EMULATORS).join(" or ")}`);
  const runs = readRuns(RUNS);
  if (values.list) {
    for (const run of runs) {
      console.log(`${run.name}${run.ci ? " (also in the normal test command)" : ""}: ${run.title}`);
    }
    return true;
  }
  await installPackages([...RUNTIME_PACKAGES, ...TEST_PACKAGES, ...EMULATORS[arch]]);
  if (count !== undefined) return await cuts({ ...values, cuts: count });
  if (values.bench) {
    const rows = names.length === 0 ? BENCH_ROWS : BENCH_ROWS.filter((r: BenchRow) => names.includes(r));
    await bench(rows);
    return true;
  }
  const chosen = names.length === 0 ? runs : runs.filter((r) => names.some((n) => r.name.startsWith(n)));
  if (chosen.length === 0) throw new Error(`No run begins with ${names.join(" or ")}; see --list`);
  return await playAll(chosen, arch, values.verbose);
}

if (import.meta.main) {
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, () => Deno.exit(130));
  Deno.exit(await main() ? 0 : 1);
}
