import { strict as assert } from "node:assert";
import { formatReference, parseReference } from "../spec/reference.ts";
import { decodeRefDir, encodeRefDir, hexOf, StorePaths } from "./layout.ts";

const digest = `sha256:${"a".repeat(64)}`;

Deno.test("encodeRefDir gives each reference a directory of its own and decodeRefDir gives it back", () => {
  const texts = [
    "docker.io/library/busybox:latest",
    "localhost:5000/library/busybox:latest",
    "one.example/a:b",
    "one.example/a/b:latest",
    "one.example/a/b/latest:latest",
    "one.example/a/manifest.json:latest",
    "one.example/a:manifest.json",
    "one.example/a/config.json/ref.json:ref.json",
    `one.example/a@${digest}`,
    "[::1]:5000/a:b",
    "one.example/manifest.json:config.json",
  ];
  const dirs = texts.map((t) => encodeRefDir(parseReference(t)));
  assert.equal(new Set(dirs).size, texts.length);
  for (const [i, dir] of dirs.entries()) {
    const parts = decodeRefDir(dir);
    assert.ok(parts);
    assert.equal(formatReference(parts), texts[i]);
    // No directory of a reference is a file of another one.
    for (const other of dirs) {
      for (const file of ["manifest.json", "config.json", "ref.json"]) {
        assert.ok(!`${dir}/`.startsWith(`${other}/${file}/`));
      }
    }
  }
});

Deno.test("encodeRefDir keeps plain names readable: images/images/<registry>/<repo>/<tag>", () => {
  const paths = new StorePaths("/base");
  assert.equal(paths.ref(parseReference("busybox")), "/base/images/images/docker.io/library/busybox/latest");
  assert.equal(paths.ref(parseReference(`x.org/a:b@${digest}`)), `/base/images/images/x.org/a/@${digest}`);
});

Deno.test("hexOf refuses everything but a sha256 digest, so that nothing else becomes part of a path", () => {
  assert.equal(hexOf(digest), "a".repeat(64));
  for (
    const bad of [
      "",
      "sha256:",
      "sha256:../../etc",
      `sha256:${"A".repeat(64)}`,
      `sha512:${"a".repeat(64)}`,
      `${digest}/x`,
    ]
  ) {
    assert.throws(() => hexOf(bad), TypeError);
  }
});
