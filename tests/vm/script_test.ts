import assert from "node:assert/strict";
import { compare, difference, linesMatch, parseRun } from "./script.ts";

Deno.test("parseRun: title, guest, steps with continuation, output, exit code", () => {
  const run = parseRun(
    "x.run",
    [
      "# A title",
      "@vm data=64 systemd append=a=b append=c forward=WEB:80",
      "@ci",
      "",
      "$ first \\",
      "> second",
      "one",
      "",
      "two",
      "[3]",
      "",
      "# A remark",
      "~host$ third",
      "guest2$ fourth",
      "@cut",
    ].join("\n"),
  );
  assert.equal(run.title, "A title");
  assert.ok(run.ci && !run.registry);
  assert.deepEqual(run.machine, {
    dataMiB: 64,
    systemd: true,
    append: ["a=b", "c"],
    forward: [{ name: "WEB", guest: 80 }],
    neighbour: true,
  });
  const base = { code: 0, eventually: false, expected: [] };
  assert.deepEqual(run.steps, [
    { ...base, line: 5, kind: "guest", command: "first \\\nsecond", expected: ["one", "", "two"], code: 3 },
    { ...base, line: 13, kind: "host", command: "third", eventually: true },
    { ...base, line: 14, kind: "guest2", command: "fourth" },
    { ...base, line: 15, kind: "cut", command: "@cut" },
  ]);
});

Deno.test("parseRun: what it does not understand is an error that names the line", () => {
  assert.throws(() => parseRun("x.run", "no title"), /x\.run:1/);
  assert.throws(() => parseRun("x.run", "# T\nstray"), /x\.run:2: a line of output without a command/);
  assert.throws(() => parseRun("x.run", "# T\n@vm disk=1"), /x\.run:2: @vm does not know "disk=1"/);
  assert.throws(() => parseRun("x.run", "# T\n@nope"), /x\.run:2: unknown directive @nope/);
});

Deno.test("linesMatch: literal lines, expressions that fit whole lines, and any number of lines", () => {
  assert.ok(linesMatch(["a", "[0-9]+ (re)"], ["a", "12"]));
  assert.ok(!linesMatch(["[0-9]+ (re)"], ["12 x"]));
  assert.ok(linesMatch(["...", "b"], ["a", "b", "b"]));
  assert.ok(linesMatch(["a", "..."], ["a"]));
  assert.ok(!linesMatch(["...", "b", "..."], ["a", "c"]));
  assert.ok(!linesMatch(["a"], ["a", "b"]) && !linesMatch(["a", "b"], ["a"]));
});

Deno.test("compare: silence when right, else the missing and the surplus lines and codes", () => {
  const step = {
    line: 1,
    kind: "guest",
    command: "x",
    expected: ["a", "b.* (re)", "d"],
    code: 1,
    eventually: false,
  } as const;
  const wanted = { ...step, expected: [...step.expected] };
  assert.equal(compare(wanted, 1, "a\nbcd \nd\n\n"), undefined);
  assert.equal(compare(wanted, 0, "a\nc\nd\n"), "  a\n+ c\n- b.* (re)\n  d\n- [1]\n+ [0]");
  assert.equal(difference(["x"], []), "- x");
});
