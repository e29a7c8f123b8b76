import assert from "node:assert/strict";
import { randomId, randomName, resolveRef } from "./names.ts";

const all = [
  { id: "abc1".padEnd(64, "0"), name: "web" },
  { id: "abc2".padEnd(64, "0"), name: "abc1" },
  { id: "fff0".padEnd(64, "0"), name: "database" },
];

Deno.test("resolveRef: whole id, name, short id and unique prefix, a name before a prefix", () => {
  assert.equal(resolveRef("f".repeat(3), all, "container").name, "database");
  assert.equal(resolveRef("abc1", all, "container").name, "abc1");
  assert.equal(resolveRef("/web", all, "container").name, "web");
  assert.equal(resolveRef("abc1".padEnd(12, "0"), all, "container").name, "web");
});

Deno.test("resolveRef: ambiguous is invalid_argument, none is not_found with the nearest name", () => {
  assert.throws(() => resolveRef("abc", all, "container"), { code: "invalid_argument", message: /matches 2/ });
  assert.throws(() => resolveRef("wed", all, "container"), { code: "not_found", message: /did you mean "web"/ });
  assert.throws(() => resolveRef("../../etc", all, "container"), { code: "not_found" });
});

Deno.test("randomName and randomId: fresh ones, also when the first choices are taken", () => {
  const seen = new Set<string>();
  for (let i = 0; i < 100; i++) seen.add(randomName((n) => seen.has(n)));
  assert.equal(seen.size, 100);
  assert.match(randomName(() => true), /^[a-z]+_[a-z]+_[0-9a-f]{6}$/);
  assert.match(randomId(), /^[0-9a-f]{64}$/);
});
