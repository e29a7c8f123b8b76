import assert from "node:assert/strict";
import { LayerFixture } from "../support/layer_fixture.ts";
import { run } from "../support/random_tree.ts";
import { tar, type TarEntry } from "../support/tar_writer.ts";

/** The lower layer of every case. */
const LOWER: TarEntry[] = [
  { path: "file", data: "lower" },
  { path: "dir/" },
  { path: "dir/low", data: "lower" },
  { path: "dir/sub/deep", data: "lower" },
  { path: "other", data: "lower" },
];

/** Every path of the two layers mounted as an overlay, with file contents. */
async function merged(f: LayerFixture, upper: TarEntry[]): Promise<Record<string, string>> {
  const lower = await f.extract(tar(LOWER));
  const top = await f.extract(tar(upper));
  const mnt = `${f.base}/mnt`;
  Deno.mkdirSync(mnt, { recursive: true });
  const lowers = top.record.opaqueRoot ? `${top.root}:${f.canary}` : `${top.root}:${lower.root}`;
  run("mount", ["-t", "overlay", "nyx-test", "-o", `ro,lowerdir=${lowers}`, mnt]);
  try {
    const found: Record<string, string> = {};
    const walk = (dir: string, prefix: string) => {
      for (const e of Deno.readDirSync(dir)) {
        found[`${prefix}${e.name}`] = e.isFile
          ? Deno.readTextFileSync(`${dir}/${e.name}`)
          : e.isDirectory
          ? "dir"
          : "?";
        if (e.isDirectory) walk(`${dir}/${e.name}`, `${prefix}${e.name}/`);
      }
    };
    walk(mnt, "");
    return found;
  } finally {
    run("umount", [mnt]);
  }
}

function whiteout(title: string, upper: TarEntry[], expected: Record<string, string>): void {
  Deno.test(`extract whiteouts on a real overlay: ${title}`, async () => {
    using f = new LayerFixture();
    assert.deepEqual(await merged(f, upper), expected);
  });
}

const OTHER = { other: "lower" };
const DIR = { dir: "dir", "dir/low": "lower", "dir/sub": "dir", "dir/sub/deep": "lower" };

whiteout("a file and a whole directory are hidden", [{ path: ".wh.file" }, { path: ".wh.dir" }], OTHER);
whiteout("a name that is not there is no error", [{ path: ".wh.nothing" }], { file: "lower", ...DIR, ...OTHER });
whiteout("a file after its whiteout is the new one", [{ path: ".wh.file" }, { path: "file", data: "upper" }], {
  file: "upper",
  ...DIR,
  ...OTHER,
});
whiteout("a file before its whiteout survives", [{ path: "file", data: "upper" }, { path: ".wh.file" }], {
  file: "upper",
  ...DIR,
  ...OTHER,
});
whiteout("a directory after its whiteout hides the lower one's contents", [
  { path: ".wh.dir" },
  { path: "dir/" },
  { path: "dir/new", data: "upper" },
], { file: "lower", dir: "dir", "dir/new": "upper", ...OTHER });
whiteout("a directory before its whiteout survives, without the lower one's contents", [
  { path: "dir/" },
  { path: "dir/new", data: "upper" },
  { path: ".wh.dir" },
], { file: "lower", dir: "dir", "dir/new": "upper", ...OTHER });
whiteout("an entry below a whited-out directory brings it back empty", [
  { path: ".wh.dir" },
  { path: "dir/sub/new", data: "upper" },
], { file: "lower", dir: "dir", "dir/sub": "dir", "dir/sub/new": "upper", ...OTHER });
whiteout("an opaque mark hides the lower contents; entries before and after it survive", [
  { path: "dir/" },
  { path: "dir/before", data: "upper" },
  { path: "dir/.wh..wh..opq" },
  { path: "dir/after", data: "upper" },
], { file: "lower", dir: "dir", "dir/before": "upper", "dir/after": "upper", ...OTHER });
whiteout("an opaque mark before its directory, and none of its entries", [
  { path: "dir/.wh..wh..opq" },
  { path: "dir/" },
], { file: "lower", dir: "dir", ...OTHER });
whiteout("a whiteout inside an opaque directory", [
  { path: "dir/" },
  { path: "dir/.wh..wh..opq" },
  { path: "dir/.wh.low" },
], { file: "lower", dir: "dir", ...OTHER });
whiteout("whiteouts anywhere below an opaque directory, before and after the mark", [
  { path: "dir/sub/.wh.deep" },
  { path: "dir/.wh..wh..opq" },
  { path: "dir/sub/.wh.more" },
], { file: "lower", dir: "dir", "dir/sub": "dir", ...OTHER });
whiteout("a whiteout deeper than the layer goes", [{ path: "dir/sub/.wh.deep" }], {
  file: "lower",
  dir: "dir",
  "dir/low": "lower",
  "dir/sub": "dir",
  ...OTHER,
});
whiteout("a file in place of a directory, and the reverse", [{ path: "dir", data: "upper" }, { path: "file/" }], {
  dir: "upper",
  file: "dir",
  ...OTHER,
});
whiteout("a whiteout twice", [{ path: ".wh.file" }, { path: ".wh.file" }], { ...DIR, ...OTHER });
whiteout("AUFS metadata is left out", [
  { path: ".wh..wh.aufs", data: "x" },
  { path: ".wh..wh.plnk/" },
  { path: ".wh..wh.plnk/123.456", data: "x" },
  { path: ".wh..wh.orph/" },
], { file: "lower", ...DIR, ...OTHER });

Deno.test("extract whiteouts: an opaque mark on the root is on the record, because the kernel ignores it there", async () => {
  using f = new LayerFixture();
  const upper = tar([{ path: "new", data: "x" }, { path: ".wh..wh..opq" }]);
  assert.equal((await f.extract(upper)).record.opaqueRoot, true);
  assert.deepEqual(Object.keys(await merged(f, [{ path: "new", data: "x" }, { path: "./.wh..wh..opq" }])).sort(), [
    "dir",
    "link",
    "new",
    "passwd",
  ]);
});
