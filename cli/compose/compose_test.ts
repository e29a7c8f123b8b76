import assert from "node:assert/strict";
import { hoistGroupFlags } from "../args/tree.ts";
import { UsageError } from "../args/definition.ts";
import { COMMANDS } from "../commands/table.ts";
import { processContext } from "../context.ts";
import { labelOf, LineWriter } from "./log_lines.ts";
import { parseScale, PLAN_FLAGS, planOptions } from "./plan_flags.ts";
import { parseArgs } from "../args/parse.ts";
import { readPlanFile, writePlanFile } from "./plan_file.ts";

Deno.test("hoistGroupFlags: options before a compose command go behind it by their long names, others stay", () => {
  const hoist = (...words: string[]) => hoistGroupFlags(COMMANDS, words);
  assert.deepEqual(hoist("compose", "-f", "a.yaml", "-fb.yaml", "-p", "shop", "logs", "-f", "web"), [
    "compose",
    "logs",
    "--file=a.yaml",
    "--file=b.yaml",
    "--project-name=shop",
    "-f",
    "web",
  ]);
  assert.deepEqual(hoist("compose", "up", "-d"), ["compose", "up", "-d"]);
  assert.deepEqual(hoist("compose", "--help"), ["compose", "--help"]);
  assert.deepEqual(hoist("ps", "-a"), ["ps", "-a"]);
  assert.throws(() => hoist("compose", "--nonsense", "up"), UsageError);
});

Deno.test("labelOf: the project's name is left out, and only that", () => {
  assert.deepEqual([labelOf("shop-web-1", "shop"), labelOf("mine", "shop")], ["web-1", "mine"]);
});

Deno.test("parseScale and planOptions: numbers by service; contradictions and unknown policies are refused", () => {
  assert.deepEqual(parseScale(["web=3", "a=b=0"].slice(0, 1)), { web: 3 });
  assert.throws(() => parseScale(["web"]), /SERVICE=NUMBER/);
  assert.throws(() => parseScale(["web=-1"]), /SERVICE=NUMBER/);
  const options = (...argv: string[]) =>
    planOptions(parseArgs(PLAN_FLAGS, argv).flags as Parameters<typeof planOptions>[0], []);
  assert.deepEqual(options("--force-recreate", "--pull", "always", "--scale", "a=2"), {
    force_recreate: true,
    pull: "always",
    scale: { a: 2 },
  });
  assert.throws(() => options("--force-recreate", "--no-recreate"), /contradicts/);
  assert.throws(() => options("--pull", "often"), /always, missing or never/);
  assert.deepEqual(options("--build"), { build: true });
  assert.throws(() => options("--build", "--no-build"), /contradicts --build/);
});

Deno.test("LineWriter: lines of several containers stay whole, each behind its name, columns in line", async () => {
  const written: Uint8Array[] = [];
  const context = Object.create(processContext({ debug: false }), {
    out: { value: { isTerminal: false, bytes: (bytes: Uint8Array) => Promise.resolve(void written.push(bytes)) } },
  });
  const writer = new LineWriter(context, { prefix: true, color: false });
  writer.expect(["a-1", "long-10"]);
  await Promise.all(["a-1", "long-10", "a-1"].map((label, i) => writer.line(label, new TextEncoder().encode(`${i}`))));
  const text = written.map((bytes) => new TextDecoder().decode(bytes)).join("");
  assert.equal(text, "a-1      | 0\nlong-10  | 1\na-1      | 2\n");
});

Deno.test("readPlanFile: gives back what was written, for nobody else to read, and refuses anything else", () => {
  const dir = Deno.makeTempDirSync();
  try {
    const path = `${dir}/plan.json`;
    const plan = { project: "shop", steps: [], blocked: [], warnings: [], world: "0" };
    writePlanFile(path, { options: { scale: { a: 1 } }, plan });
    assert.deepEqual(readPlanFile(path), { options: { scale: { a: 1 } }, plan });
    assert.equal((Deno.statSync(path).mode ?? 0) & 0o777, 0o600);
    Deno.writeTextFileSync(path, "{}");
    assert.throws(() => readPlanFile(path), /it is not what nyx compose plan --output writes/);
    assert.throws(() => readPlanFile(`${dir}/none`), /there is no such file/);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
