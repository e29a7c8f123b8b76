import assert from "node:assert/strict";
import { linuxFile } from "../../ffi/linux/file.ts";
import { LayerFixture } from "../support/layer_fixture.ts";
import { fullTree, run, type TreeOptions } from "../support/random_tree.ts";
import { base256, gnuLong, paxHeader, rawMember, rawTar } from "../support/raw_tar.ts";
import { snapshotDifference, type SnapshotOptions, treeSnapshot } from "../support/tree_snapshot.ts";

const ALL: TreeOptions = { xattrs: true, longNames: true, largeIds: true, sparse: true, negativeTimes: true };

interface Format {
  name: string;
  args: string[];
  tree: TreeOptions;
  snapshot?: SnapshotOptions;
}

const PAX = ["--format=pax", "--xattrs", "--xattrs-include=*"];
const FORMATS: Format[] = [
  { name: "pax, sparse 1.0", args: [...PAX, "--sparse", "--sparse-version=1.0"], tree: ALL },
  { name: "pax, sparse 0.1", args: [...PAX, "--sparse", "--sparse-version=0.1"], tree: ALL },
  { name: "pax, sparse 0.0", args: [...PAX, "--sparse", "--sparse-version=0.0"], tree: ALL },
  { name: "gnu with sparse", args: ["--format=gnu", "--sparse"], tree: { ...ALL, xattrs: false } },
  { name: "oldgnu with sparse", args: ["--format=oldgnu", "--sparse"], tree: { ...ALL, xattrs: false } },
  { name: "ustar", args: ["--format=ustar"], tree: {} },
  { name: "v7", args: ["--format=v7", "--exclude=./disk", "--exclude=./null", "--exclude=./fifo"], tree: {} },
];

for (const { name, args, tree } of FORMATS) {
  Deno.test(`extract: a tree with everything, written as ${name}, comes out as GNU tar unpacks it`, async () => {
    using f = new LayerFixture();
    const [source, reference] = [`${f.base}/source`, `${f.base}/reference`];
    Deno.mkdirSync(source);
    Deno.mkdirSync(reference);
    fullTree(source, tree);
    run("tar", ["-C", source, ...args, "-cf", `${f.base}/a.tar`, "."]);
    run("tar", ["-C", reference, "--numeric-owner", "-p", "--xattrs", "--xattrs-include=*", "-xf", `${f.base}/a.tar`]);
    const { root, record } = await f.extract(Deno.readFileSync(`${f.base}/a.tar`), { chunk: 100_003 });
    assert.deepEqual(snapshotDifference(treeSnapshot(reference), treeSnapshot(root)), []);
    const du = Number(new TextDecoder().decode(run("du", ["-s", "-B1", root])).split("\t")[0]);
    assert.ok(Math.abs(record.diskBytes - du) <= du / 100, `${record.diskBytes} on record, du says ${du}`);
  });
}

Deno.test("extract: sparse files keep their holes, beyond 8 GiB too", async () => {
  for (const format of ["gnu", "pax"]) {
    using f = new LayerFixture();
    const size = 9_000_000_000;
    {
      using file = Deno.openSync(`${f.base}/sparse`, { create: true, write: true });
      file.seekSync(size - 4, Deno.SeekMode.Start);
      file.writeSync(new TextEncoder().encode("end\n"));
    }
    run("tar", ["-C", f.base, `--format=${format}`, "--sparse", "-cf", `${f.base}/a.tar`, "sparse"]);
    const { root } = await f.extract(Deno.readFileSync(`${f.base}/a.tar`));
    const stat = Deno.statSync(`${root}/sparse`);
    assert.equal(stat.size, size);
    assert.ok((stat.blocks ?? 0) < 100, `${stat.blocks} blocks`);
    assert.equal(new TextDecoder().decode(run("tail", ["-c4", `${root}/sparse`])), "end\n");
  }
});

Deno.test("extract: the same whatever the size of chunks, down to single bytes", async () => {
  const content = (() => {
    using f = new LayerFixture();
    Deno.mkdirSync(`${f.base}/s`);
    Deno.writeTextFileSync(`${f.base}/s/file`, "x".repeat(700));
    Deno.symlinkSync("y".repeat(150), `${f.base}/s/link`);
    Deno.writeTextFileSync(`${f.base}/s/${"n".repeat(180)}`, "");
    run("tar", ["-C", `${f.base}/s`, "--format=pax", "-cf", `${f.base}/a.tar`, "."]);
    return Deno.readFileSync(`${f.base}/a.tar`);
  })();
  const outcomes = new Set<string>();
  for (const chunk of [1, 7, 511, 512, 513, 10_240]) {
    using f = new LayerFixture();
    const { root } = await f.extract(content, { chunk, gzip: chunk % 2 === 1 });
    outcomes.add(treeSnapshot(root, { ignoreTimes: true }).join("\n"));
  }
  assert.equal(outcomes.size, 1);
});

Deno.test("extract: missing parents are made 0755 root, and a later mention sets them right", async () => {
  using f = new LayerFixture();
  const { root } = await f.extract(rawTar(
    rawMember({ name: "x/y/z/file", data: "1", uid: 7 }),
    rawMember({ name: "x/y/", flag: "5", mode: 0o700, uid: 3, mtime: 1000 }),
  ));
  const [x, y] = [Deno.statSync(`${root}/x`), Deno.statSync(`${root}/x/y`)];
  assert.deepEqual([(x.mode ?? 0) & 0o7777, x.uid], [0o755, 0]);
  assert.deepEqual([(y.mode ?? 0) & 0o7777, y.uid, y.mtime?.getTime()], [0o700, 3, 1_000_000]);
});

Deno.test("extract: ./ and trailing slashes; the root's own entry; an archive without zero blocks; an empty layer", async () => {
  using f = new LayerFixture();
  const { root } = await f.extract(
    new Uint8Array([
      ...rawMember({ name: "./", flag: "5", mode: 0o711, uid: 9, mtime: 5 }),
      ...rawMember({ name: ".//a//./f", data: "x" }),
      ...rawMember({ name: "v7dir/", flag: "0", format: "v7" }),
    ]),
  );
  const top = Deno.statSync(root);
  assert.deepEqual([(top.mode ?? 0) & 0o7777, top.uid, top.mtime?.getTime()], [0o711, 9, 5000]);
  assert.equal(Deno.readTextFileSync(`${root}/a/f`), "x");
  assert.ok(Deno.statSync(`${root}/v7dir`).isDirectory);
  const empty = await f.extract(new Uint8Array(1024), { gzip: true });
  assert.deepEqual([...Deno.readDirSync(empty.root)], []);
  assert.equal(empty.record.entries, 0);
  const none = await f.extract(new Uint8Array(0));
  assert.equal(none.record.tarSize, 0);
  const trailing = await f.extract(
    new Uint8Array([...rawTar(rawMember({ name: "f" })), ...new Uint8Array(999).fill(65)]),
  );
  assert.deepEqual([...Deno.readDirSync(trailing.root)].map((e) => e.name), ["f"]);
});

Deno.test("extract: PAX global records hold until changed, a local one wins, an empty one takes back; a global path names nobody", async () => {
  using f = new LayerFixture();
  const { root } = await f.extract(rawTar(
    paxHeader([["uid", "11"], ["mtime", "77.5"], ["path", "evil"], ["SCHILY.xattr.user.g", "all"]], "g"),
    rawMember({ name: "a" }),
    paxHeader([["uid", "12"]]),
    rawMember({ name: "b" }),
    paxHeader([["uid", ""]]),
    rawMember({ name: "c", uid: 13 }),
    paxHeader([["uid", ""]], "g"),
    rawMember({ name: "d", uid: 14 }),
  ));
  const uids = ["a", "b", "c", "d"].map((n) => Deno.statSync(`${root}/${n}`).uid);
  assert.deepEqual(uids, [11, 12, 13, 14]);
  assert.equal(Deno.statSync(`${root}/a`).mtime?.getTime(), 77_500);
  assert.equal(
    new TextDecoder().decode(linuxFile().lgetxattr(`${root}/b`, "user.g")),
    "all",
  );
});

Deno.test("extract: GNU base-256 numbers, long names and links, LIBARCHIVE attributes, star device numbers", async () => {
  using f = new LayerFixture();
  const long = "dir/" + "n".repeat(200);
  const { root } = await f.extract(rawTar(
    gnuLong("L", long),
    rawMember({ name: "short", format: "gnu", uid: base256(3_000_000_000n, 8), mtime: base256(-10n, 12), data: "x" }),
    gnuLong("K", long),
    rawMember({ name: "hard", flag: "1", link: "short", format: "gnu" }),
    paxHeader([["LIBARCHIVE.xattr.user.a%20b", btoa("v")]]),
    rawMember({ name: "attr" }),
    paxHeader([["SCHILY.devmajor", "300"], ["SCHILY.devminor", "70000"]]),
    rawMember({ name: "dev", flag: "3" }),
    rawMember({ name: "contiguous", flag: "7", data: "c" }),
    rawMember({ name: "label", flag: "V", format: "gnu" }),
  ));
  const [named, hard] = [Deno.statSync(`${root}/${long}`), Deno.statSync(`${root}/hard`)];
  assert.deepEqual([named.uid, named.mtime?.getTime(), named.ino], [3_000_000_000, -10_000, hard.ino]);
  const lines = treeSnapshot(root, { ignoreTimes: true });
  assert.ok(lines.some((l) => l.startsWith("attr ") && l.endsWith("user.a b=76")), lines.join("\n"));
  assert.ok(lines.some((l) => l.includes("dev=300:70000")));
  assert.ok(!lines.some((l) => l.startsWith("label")));
  assert.equal(Deno.readTextFileSync(`${root}/contiguous`), "c");
});

Deno.test("extract: a directory replaced by a file and the reverse, with contents; a hard link to a replaced file keeps the old one", async () => {
  using f = new LayerFixture();
  const { root, record } = await f.extract(rawTar(
    rawMember({ name: "d/sub/f", data: "x".repeat(9000) }),
    rawMember({ name: "d", data: "now a file" }),
    rawMember({ name: "e", data: "file first" }),
    rawMember({ name: "e/", flag: "5", mode: 0o750 }),
    rawMember({ name: "e/f", data: "in it" }),
    rawMember({ name: "g/", flag: "5" }),
    rawMember({ name: "g/f", data: "kept" }),
    rawMember({ name: "g/", flag: "5", mode: 0o700 }),
    rawMember({ name: "h", data: "old" }),
    rawMember({ name: "i", flag: "1", link: "h" }),
    rawMember({ name: "i", flag: "1", link: "i" }),
    rawMember({ name: "h", data: "new" }),
  ));
  assert.equal(Deno.readTextFileSync(`${root}/d`), "now a file");
  assert.equal(Deno.readTextFileSync(`${root}/e/f`), "in it");
  assert.equal(Deno.readTextFileSync(`${root}/g/f`), "kept");
  assert.equal((Deno.statSync(`${root}/g`).mode ?? 0) & 0o777, 0o700);
  assert.deepEqual([Deno.readTextFileSync(`${root}/i`), Deno.readTextFileSync(`${root}/h`)], ["old", "new"]);
  const du = Number(new TextDecoder().decode(run("du", ["-s", "-B1", root])).split("\t")[0]);
  assert.equal(record.diskBytes, du);
});

Deno.test("extract: modes are the archive's, whatever the daemon's umask", async () => {
  using f = new LayerFixture();
  const k = linuxFile();
  const before = k.umask(0o077);
  try {
    const { root } = await f.extract(rawTar(
      rawMember({ name: "implied/f", mode: 0o666 }),
      rawMember({ name: "d/", flag: "5", mode: 0o777 }),
      rawMember({ name: "p", flag: "6", mode: 0o622 }),
    ));
    const mode = (path: string) => (Deno.lstatSync(`${root}${path}`).mode ?? 0) & 0o7777;
    assert.deepEqual(["", "/implied", "/implied/f", "/d", "/p"].map(mode), [0o755, 0o755, 0o666, 0o777, 0o622]);
  } finally {
    k.umask(before);
  }
});
