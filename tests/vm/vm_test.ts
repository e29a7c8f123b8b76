import { play, readRuns, setStage } from "./play.ts";

const RUNS = new URL("runs", import.meta.url).pathname;

Deno.test("nyx on Debian's kernel 6.1 with cgroup v2, in a guest", async (t) => {
  const runs = readRuns(RUNS).filter((r) => r.ci);
  await using stage = await setStage(runs);
  for (const run of runs) await t.step(`${run.name}: ${run.title}`, () => play(run, stage));
});
