import assert from "node:assert/strict";
import { cutPower } from "./cuts.ts";
import { play, readRuns, setStage } from "./play.ts";

const RUNS = new URL("runs", import.meta.url).pathname;

Deno.test("nyx on Debian's kernel 6.1 with cgroup v2, in a guest", async (t) => {
  const runs = readRuns(RUNS).filter((r) => r.ci);
  await using stage = await setStage(runs);
  for (const run of runs) await t.step(`${run.name}: ${run.title}`, () => play(run, stage));
});

Deno.test("power cuts during pull and run: images are whole, records true, and the work can be done again", async () => {
  const reports = await cutPower({ count: 2, seed: 20, operations: ["pull", "run"] });
  assert.equal(reports.length, 2);
  assert.deepEqual(reports.filter((r) => r.faults.length > 0), []);
});
