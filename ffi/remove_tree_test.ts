import assert from "node:assert/strict";
import { AT_FDCWD, O, OwnedFd, S } from "./file.ts";
import { linuxFile } from "./linux/file.ts";
import { removeTree, removeTreeSlices } from "./remove_tree.ts";

const k = linuxFile();

Deno.test("removeTree: files, links, devices and directories go; what links point at stays; missing is no error", () => {
  const base = Deno.makeTempDirSync({ prefix: "nyx-remove-" });
  try {
    Deno.mkdirSync(`${base}/keep`);
    Deno.writeTextFileSync(`${base}/keep/file`, "x");
    Deno.mkdirSync(`${base}/tree/a/b`, { recursive: true });
    Deno.symlinkSync(`${base}/keep`, `${base}/tree/a/out`);
    Deno.linkSync(`${base}/keep/file`, `${base}/tree/hard`);
    k.mknodat(AT_FDCWD, `${base}/tree/a/b/wh`, S.IFCHR, 0, 0);
    const seen: number[] = [];
    assert.equal(removeTree(k, AT_FDCWD, `${base}/tree`, { onRemove: (s) => seen.push(s.mode & S.IFMT) }), true);
    assert.deepEqual(seen.sort(), [S.IFCHR, S.IFREG, S.IFLNK].sort());
    assert.equal(removeTree(k, AT_FDCWD, `${base}/tree`), false);
    assert.equal(Deno.readTextFileSync(`${base}/keep/file`), "x");
    Deno.symlinkSync(`${base}/keep`, `${base}/link`);
    assert.equal(removeTree(k, AT_FDCWD, `${base}/link`), true);
    assert.deepEqual([...Deno.readDirSync(base)].map((e) => e.name), ["keep"]);
  } finally {
    Deno.removeSync(base, { recursive: true });
  }
});

Deno.test("removeTree: a tree far deeper than PATH_MAX, with few descriptors, in slices", () => {
  const base = Deno.makeTempDirSync({ prefix: "nyx-remove-" });
  try {
    let fd = k.openat(AT_FDCWD, base, O.PATH | O.DIRECTORY | O.CLOEXEC);
    using top = new OwnedFd(k, k.openat(AT_FDCWD, base, O.PATH | O.DIRECTORY | O.CLOEXEC));
    for (let i = 0; i < 5000; i++) {
      k.mkdirat(fd, "d", 0o700);
      if (i % 100 === 0) k.mknodat(fd, "f", S.IFREG, 0, 0);
      const next = k.openat(fd, "d", O.PATH | O.DIRECTORY | O.CLOEXEC);
      k.close(fd);
      fd = next;
    }
    k.close(fd);
    let slices = 0;
    for (const _ of removeTreeSlices(k, top.fd, "d")) slices++;
    assert.ok(slices > 5);
    assert.deepEqual([...Deno.readDirSync(base)].map((e) => e.name), ["f"]);
  } finally {
    new Deno.Command("rm", { args: ["-rf", base] }).outputSync();
  }
});
