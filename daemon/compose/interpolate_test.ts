import assert from "node:assert/strict";
import { interpolate, InterpolationError, variablesOf } from "./interpolate.ts";

const VALUES: Record<string, string> = { SET: "value", EMPTY: "", A_1: "x", NESTED: "${SET}" };
const expand = (text: string) => interpolate(text, (name) => Object.hasOwn(VALUES, name) ? VALUES[name] : undefined);

Deno.test("interpolate: every form of the specification", () => {
  const cases: [string, string][] = [
    ["$SET", "value"],
    ["${SET}", "value"],
    ["a${SET}b$A_1-c", "avaluebx-c"],
    ["${UNSET-d}", "d"],
    ["${EMPTY-d}", ""],
    ["${EMPTY:-d}", "d"],
    ["${SET:-d}", "value"],
    ["${SET?e}", "value"],
    ["${EMPTY?e}", ""],
    ["${SET:?e}", "value"],
    ["${SET+r}", "r"],
    ["${EMPTY+r}", "r"],
    ["${EMPTY:+r}", ""],
    ["${UNSET+r}", ""],
    ["${UNSET:-${EMPTY:-${SET}}}", "value"],
    ["${UNSET:-${UNSET:-a}b}c", "abc"],
    ["${UNSET:-$SET}", "value"],
    ["${SET:+pre-${SET}-post}", "pre-value-post"],
    ["$$SET", "$SET"],
    ["$${SET}", "${SET}"],
    ["$$$SET", "$value"],
    ["${UNSET:-$$}", "$"],
    ["${UNSET:-a:b?c-d}", "a:b?c-d"],
    ["${UNSET:-}", ""],
    ["${UNSET:-two\nlines}", "two\nlines"],
    ["no variables", "no variables"],
    ["$NESTED", "${SET}"],
  ];
  for (const [text, expected] of cases) assert.equal(expand(text), expected, text);
});

Deno.test("interpolate: faults name the place and the fix", () => {
  for (
    const text of ["$", "a $ b", "$1", "${", "${}", "${1}", "${SET", "${SET:-${A}", "${SET:x}", "${SET!}", "${ SET }"]
  ) {
    assert.throws(() => expand(text), InterpolationError, text);
  }
  assert.throws(
    () => expand("${UNSET:?set it to ${SET}}"),
    /required variable UNSET is missing a value: set it to value/,
  );
  assert.throws(() => expand("${EMPTY:?}"), /required variable EMPTY is missing a value$/);
  assert.throws(() => expand("${UNSET?}"), /required variable UNSET/);
});

Deno.test("interpolate: what is unset is reported once per use, and a default's own variables only when it counts", () => {
  const missing: string[] = [];
  const hooks = { missing: (name: string) => void missing.push(name) };
  assert.equal(interpolate("$A ${B} ${C:-d} ${D-$E}", () => undefined, hooks), "  d ");
  assert.deepEqual(missing, ["A", "B", "E"]);
});

Deno.test("interpolate: hostile nesting and growth end with an error, not with the stack or the memory", () => {
  const deep = "${A:-".repeat(10_000) + "}".repeat(10_000);
  assert.throws(() => interpolate(deep, () => undefined), /nested too deeply/);
  const long = "x".repeat(1024 * 1024);
  assert.throws(() => interpolate("$A".repeat(10), () => long), /too long/);
});

Deno.test("variablesOf: names, defaults and requirements, nested ones too", () => {
  assert.deepEqual(variablesOf("${A:-${B:-c}} ${D:?e} $F $$G"), [
    { name: "A", required: false, defaultValue: "${B:-c}" },
    { name: "B", required: false, defaultValue: "c" },
    { name: "D", required: true },
    { name: "F", required: false },
  ]);
});
