import assert from "node:assert/strict";
import { cleanName, meaningOf, splitName } from "./name.ts";

Deno.test("cleanName: ., empty parts and slashes go; .. is resolved inside and refused outside", () => {
  const cases: [string, string][] = [
    ["a/b", "a/b"],
    ["./a//b/./", "a/b"],
    ["/etc/passwd", "etc/passwd"],
    ["a/../b", "b"],
    ["a/b/../../c", "c"],
    [".", ""],
    ["./", ""],
    ["/", ""],
    ["...", "..."],
    ["a..", "a.."],
  ];
  for (const [name, path] of cases) assert.equal(cleanName(name), path, name);
  for (const name of ["..", "../a", "a/../..", "/..", "a/../../b"]) {
    assert.throws(() => cleanName(name), { code: "invalid_argument", message: /leaves the layer's root/ }, name);
  }
});

Deno.test("cleanName property: no outcome has an empty, . or .. part, whatever goes in", () => {
  const alphabet = ["a", ".", "..", "/", "", "b/", "./", "../", "\xff"];
  for (let i = 0; i < 5000; i++) {
    let name = "";
    for (let j = 0, x = i; j < 8; j++, x = Math.imul(x, 2654435761) >>> 3) name += alphabet[x % alphabet.length];
    try {
      const path = cleanName(name);
      if (path !== "") {
        for (const part of path.split("/")) assert.ok(part !== "" && part !== "." && part !== "..", name);
      }
    } catch (e) {
      assert.equal((e as { code?: string }).code, "invalid_argument");
    }
  }
});

Deno.test("meaningOf: entries, whiteouts, opaque marks and AUFS metadata", () => {
  const of = (path: string) => meaningOf(path, splitName(path).base);
  assert.deepEqual(of("a/b"), { kind: "entry" });
  assert.deepEqual(of("a.wh.b"), { kind: "entry" });
  assert.deepEqual(of("a/.wh.b"), { kind: "whiteout", base: "b" });
  assert.deepEqual(of(".wh..hidden"), { kind: "whiteout", base: ".hidden" });
  assert.deepEqual(of(".wh..wh..opq"), { kind: "opaque" });
  assert.deepEqual(of("a/.wh..wh..opq"), { kind: "opaque" });
  for (const path of [".wh..wh.aufs", "a/.wh..wh.plnk", ".wh..wh.plnk/1.2", ".wh..wh.orph/.wh..wh..opq"]) {
    assert.deepEqual(of(path), { kind: "metadata" }, path);
  }
  for (const path of [".wh.", ".wh..", ".wh...", "a/.wh.", ".wh.a/b", ".wh.a/.wh..wh..opq"]) {
    assert.throws(() => of(path), { code: "invalid_argument" }, path);
  }
});
