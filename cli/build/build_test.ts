import assert from "node:assert/strict";
import { packContexts, walk } from "./context.ts";
import { IgnoreRules } from "./ignore.ts";

Deno.test("IgnoreRules excludes as Docker does: globs, **, exceptions, parents, comments, the last rule wins", () => {
  const rules = new IgnoreRules(
    "# no\n*/temp*\n**/*.log\nnode_modules/\n/dist\n!dist/keep\ndocs/**\n!docs/README.md\n*.md\n!R?ADME.md\nsecret[0-9]\n\\!x\n",
  );
  const out = (path: string) => rules.excludes(path);
  const excluded = [
    "a/temp",
    "a/temp1/x",
    "x.log",
    "a/b/c.log",
    "node_modules",
    "node_modules/a/b",
    "dist/x",
    "docs/a/b",
  ];
  for (const path of [...excluded, "a.md", "secret1"]) assert.equal(out(path), true, path);
  for (const path of ["temp", "a/b/temp", "dist/keep", "README.md", "docs/README.md", "src/a.md", "secretx", "no"]) {
    assert.equal(out(path), false, path);
  }
  assert.equal(out("!x"), true);
  assert.ok(rules.mayHoldExceptions("dist") && rules.mayHoldExceptions("docs"));
  assert.equal(rules.mayHoldExceptions("node_modules"), false);
});

Deno.test("IgnoreRules with * and exceptions sends what is named alone, as the widespread allow-list style wants", () => {
  const rules = new IgnoreRules("*\n!src\n!package*.json\n!**/go.mod\nsrc/**/*.tmp\n");
  for (const path of ["src", "src/a/b.ts", "package-lock.json", "deep/down/go.mod"]) {
    assert.equal(rules.excludes(path), false, path);
  }
  for (const path of ["README", "lib/x", "src/a/b.tmp", "srcs"]) assert.equal(rules.excludes(path), true, path);
  assert.ok(rules.mayHoldExceptions("deep/down"));
});

Deno.test("packContexts sends what is not ignored, with links as they are, owned by root, and further directories beside it", async () => {
  const dir = await Deno.makeTempDir();
  try {
    for (const path of ["a/src/x", "a/node_modules/y", "b"]) await Deno.mkdir(`${dir}/${path}`, { recursive: true });
    await Deno.writeTextFile(`${dir}/a/src/f\nname`, "1");
    await Deno.writeTextFile(`${dir}/a/-C`, "dash");
    await Deno.writeTextFile(`${dir}/a/node_modules/y/z`, "no");
    await Deno.symlink("/etc/passwd", `${dir}/a/link`);
    await Deno.writeTextFile(`${dir}/b/g`, "2");
    assert.deepEqual([...walk(`${dir}/a`, new IgnoreRules("node_modules"))], [
      "-C",
      "link",
      "src/",
      "src/f\nname",
      "src/x/",
    ]);
    const file = `${dir}/t.tar`;
    using out = await Deno.open(file, { write: true, create: true });
    for await (const bytes of packContexts([{ path: `${dir}/a`, ignore: "node_modules" }, { path: `${dir}/b` }])) {
      for (let at = 0; at < bytes.byteLength;) at += await out.write(bytes.subarray(at));
    }
    const listed = await new Deno.Command("tar", { args: ["-tvf", file] }).output();
    const lines = new TextDecoder().decode(listed.stdout).trim().split("\n");
    assert.deepEqual(lines.map((l) => l.replace(/^(\S+)\s+(\S+)\s+\d+\s+\S+\s+\S+\s+/, "$1 $2 ")), [
      "-rw-r--r-- 0/0 0/-C",
      "lrwxrwxrwx 0/0 0/link -> /etc/passwd",
      "drwxr-xr-x 0/0 0/src/",
      "-rw-r--r-- 0/0 0/src/f\\nname",
      "drwxr-xr-x 0/0 0/src/x/",
      "-rw-r--r-- 0/0 1/g",
    ]);
    await assert.rejects(async () => {
      for await (const _ of packContexts([{ path: `${dir}/none` }]));
    }, /Reading the build context/);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
