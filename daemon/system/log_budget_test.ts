import assert from "node:assert/strict";
import { LogBudget, type LogPartInfo, parseLogName, partsToRemove, type TrimmedLog } from "./log_budget.ts";

const [A, B, C] = ["a", "b", "c"].map((c) => c.repeat(64)) as [string, string, string];
const part = (id: string, number: number | undefined, bytes: number): LogPartInfo => ({
  id,
  name: `${id}.log${number === undefined ? "" : `.${number}`}`,
  ...(number === undefined ? {} : { number }),
  bytes,
});

Deno.test("partsToRemove: the oldest rotated part of the largest log first, until all fit; what is written stays", () => {
  const files = [
    part(A, undefined, 10),
    part(A, 9, 40),
    part(A, 10, 40),
    part(A, 11, 40),
    part(B, undefined, 10),
    part(B, 1, 60),
    part(C, undefined, 500),
  ];
  const names = (budget: number) => partsToRemove(files, budget).map((f) => `${f.id[0]}${f.number}`);
  assert.deepEqual(names(700), []);
  assert.deepEqual(names(660), ["a9"]);
  assert.deepEqual(names(620), ["a9", "a10"]);
  assert.deepEqual(names(600), ["a9", "a10", "b1"]);
  assert.deepEqual(names(0), ["a9", "a10", "b1", "a11"]);
});

Deno.test("parseLogName: parts, compressed ones, and nothing that is no log's", () => {
  assert.deepEqual(parseLogName(`${A}.log`), { id: A });
  assert.deepEqual(parseLogName(`${A}.log.12.gz`), { id: A, number: 12 });
  for (const name of [`${A}.log.1.gz.tmp`, "x.log", `${A}.log.`, `${A}.json`]) {
    assert.equal(parseLogName(name), undefined, name);
  }
});

Deno.test("LogBudget.check: removes and tells; says once that what is written is too much", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-budget-" });
  try {
    const write = (name: string, bytes: number) => Deno.writeFileSync(`${dir}/${name}`, new Uint8Array(bytes));
    write(`${A}.log`, 100);
    write(`${A}.log.1`, 1000);
    write(`${A}.log.2.gz`, 500);
    write("foreign", 5000);
    const trimmed: TrimmedLog[] = [];
    const said: string[] = [];
    const log = { warn: (message: string) => void said.push(message) };
    const budget = new LogBudget({ dir, budgetBytes: 700, log, onTrimmed: (t) => trimmed.push(t) });
    await budget.check();
    assert.deepEqual(trimmed, [{ id: A, files: 1, bytes: 1000 }]);
    const left = () => [...Deno.readDirSync(dir)].map((e) => e.name.slice(64)).sort();
    assert.deepEqual(left(), ["", ".log", ".log.2.gz"]);
    assert.equal(said.length, 1);
    write(`${A}.log`, 2000);
    await budget.check();
    await budget.check();
    assert.deepEqual(left(), ["", ".log"]);
    assert.equal(said.filter((s) => s.includes("what is being written")).length, 1);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("LogBudget.start: without a budget nothing is read; with one the logs are looked at, at once", async () => {
  const said: string[] = [];
  const log = { warn: (message: string) => void said.push(message) };
  // A directory that cannot be read says whether somebody tried to.
  const dir = "/nonexistent-nyx-logs";
  const off = new LogBudget({ dir, budgetBytes: Infinity, log, onTrimmed: () => {} });
  off.start();
  const on = new LogBudget({ dir, budgetBytes: 1, log, onTrimmed: () => {} });
  on.start();
  // The look that is under way.
  await on.check();
  await new Promise((resolve) => setTimeout(resolve, 20));
  for (const budget of [off, on]) budget.stop();
  assert.equal(said.length, 1);
  assert.equal(off.budgetBytes, Infinity);
});
