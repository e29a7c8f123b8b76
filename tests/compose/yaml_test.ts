import assert from "node:assert/strict";
import { Diagnostics } from "../../daemon/compose/diagnostics.ts";
import { emitYaml } from "../../daemon/compose/emit_yaml.ts";
import { type Plain, toPlain } from "../../daemon/compose/node.ts";
import { MAX_FILE_LENGTH, parseYaml, resolvePlain } from "../../daemon/compose/yaml.ts";
import { errorLines } from "./memory.ts";

function read(text: string): { value: Plain | undefined; errors: string[] } {
  const diagnostics = new Diagnostics();
  const [node] = parseYaml(text, "compose.yaml", diagnostics);
  return { value: node === undefined ? undefined : toPlain(node), errors: errorLines(diagnostics.all) };
}

Deno.test("resolvePlain: scalars have the types that Go's YAML gives them", () => {
  const cases: [string, string | number | boolean | null][] = [
    ["", null],
    ["~", null],
    ["Null", null],
    ["true", true],
    ["False", false],
    ["yes", "yes"],
    ["no", "no"],
    ["on", "on"],
    ["12", 12],
    ["-7", -7],
    ["0755", 493],
    ["0o17", 15],
    ["0x1F", 31],
    ["0b11", 3],
    ["1_000", 1000],
    ["08", 8],
    ["1.10", 1.1],
    [".5", 0.5],
    ["1e3", 1000],
    ["1.2.3", "1.2.3"],
    ["22:22", "22:22"],
    ["2024-01-01", "2024-01-01"],
    ["9007199254740993", "9007199254740993"],
    ["-", "-"],
    ["+x", "+x"],
  ];
  for (const [text, expected] of cases) assert.deepEqual(resolvePlain(text), expected, text);
});

Deno.test("parseYaml: anchors, aliases, merge keys with overrides, several documents, block texts", () => {
  const { value, errors } = read(
    "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc:\n  <<: [*a, *b]\n  x: 9\nd: *a\ne: |\n  one\n  two\nf: !!str 12\n",
  );
  assert.deepEqual(errors, []);
  assert.deepEqual(value, {
    a: { x: 1, y: 2 },
    b: { y: 3, z: 4 },
    c: { x: 9, y: 2, z: 4 },
    d: { x: 1, y: 2 },
    e: "one\ntwo\n",
    f: "12",
  });
});

Deno.test("parseYaml: duplicate keys are errors with both places", () => {
  assert.deepEqual(read("a: 1\nb: 2\na: 3\n").errors, ['3:1 a: the key "a" is given twice (first on line 1)']);
});

Deno.test("parseYaml: syntax errors have a place", () => {
  const { errors } = read("services:\n  web:\n\timage: x\n");
  assert.match(errors[0] ?? "", /^3:1 .*not valid YAML/);
});

Deno.test("parseYaml: an attacker's billion laughs end at the bound", () => {
  const lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"];
  for (let i = 1; i <= 20; i++) lines.push(`a${i}: &a${i} [${Array(10).fill(`*a${i - 1}`).join(", ")}]`);
  const began = performance.now();
  const { value, errors } = read(lines.join("\n"));
  assert.equal(value, undefined);
  assert.match(errors[0] ?? "", /more than 200000 values once aliases are written out/);
  assert.ok(performance.now() - began < 10_000);
});

Deno.test("parseYaml: an attacker's anchor that contains itself is refused", () => {
  assert.match(read("a: &a [1, *a]\n").errors[0] ?? "", /the alias \*a contains itself/);
  assert.match(read("a: &a\n  <<: *a\n  b: 1\n").errors[0] ?? "", /contains itself/);
  assert.match(read("a: *nowhere\n").errors[0] ?? "", /nowhere/);
});

Deno.test("parseYaml: an attacker's deep nesting is refused without exhausting the stack", () => {
  assert.match(read(`a: ${"[".repeat(5000)}${"]".repeat(5000)}`).errors[0] ?? "", /nested/);
  assert.match(read("- ".repeat(20_000)).errors[0] ?? "", /nested|valid YAML/);
});

Deno.test("parseYaml: an attacker's huge scalar is refused before it is parsed", () => {
  const began = performance.now();
  assert.match(read(`a: ${"x".repeat(MAX_FILE_LENGTH)}`).errors[0] ?? "", /characters/);
  assert.ok(performance.now() - began < 5000);
});

Deno.test("parseYaml: prototype keys are ordinary keys", () => {
  const { value } = read("__proto__: {polluted: 1}\nconstructor: 2\n");
  assert.equal(JSON.stringify(value), '{"__proto__":{"polluted":1},"constructor":2}');
  assert.equal(({} as { polluted?: number }).polluted, undefined);
});

Deno.test("emitYaml: what is written reads back the same, whatever the text", () => {
  const words = [
    "a",
    "yes",
    "No",
    "0755",
    "1_0",
    "12:30",
    "x: y",
    "- a",
    "#c",
    "a #b",
    " lead",
    "trail ",
    "",
    "~",
    "null",
    "true",
    "=",
    "<<",
    "*a",
    "&a",
    "!t",
    "%d",
    "@x",
    "`b",
    "a\nb",
    "a\nb\n",
    "\nx",
    "x\n\n",
    "tab\there",
    "é",
    "\u0085",
    "\u2028",
    "\\",
    '"q"',
    "'s'",
    "{}",
    "[]",
    "2024-01-01",
    "1e3",
    ".5",
    "0x1",
    "-",
    "?",
    ":",
    "a:",
    ":a",
    "a: ",
    "---",
    "...",
    "$$A",
    "${A}",
    "\u0000",
    "  two\n lines",
    "a\n\nb",
    "line \nend",
    "😀",
    "0o7",
    "1.",
    "+1",
    "~x",
  ];
  const value: Plain = {
    list: words,
    map: Object.fromEntries(words.map((w, i) => [w, i])),
    values: Object.fromEntries(words.map((w, i) => [`k${i}`, w])),
    nested: [[1, [2]], { a: [{ b: 1, c: "x\ny\n" }] }, [], {}, null, true, 1.5],
  };
  const { value: back, errors } = read(emitYaml(value));
  assert.deepEqual(errors, []);
  assert.deepEqual(back, value);
});

Deno.test("parseYaml: an attacker's texts that are slow to parse are left early", () => {
  const n = MAX_FILE_LENGTH / 8;
  const texts = [
    "[".repeat(n),
    "{".repeat(n),
    "- ".repeat(n),
    "? ".repeat(n),
    `a: [${",".repeat(4 * n)}`,
    ": :\n".repeat(n),
    "a: 1\n".repeat(n),
    "---\na: 1\n".repeat(n),
  ];
  for (const text of texts) {
    const began = performance.now();
    assert.ok(read(text).errors.length > 0, text.slice(0, 10));
    assert.ok(performance.now() - began < 10_000, text.slice(0, 10));
  }
});
