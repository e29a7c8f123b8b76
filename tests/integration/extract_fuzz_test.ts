import assert from "node:assert/strict";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { linuxFile } from "../../ffi/linux/file.ts";
import { extractLayer } from "../../workers/extract/extract.ts";
import { LayerFixture, sha256, WIDE_LIMITS } from "../support/layer_fixture.ts";
import { fullTree, randomTree, run, seeded } from "../support/random_tree.ts";
import { snapshotDifference, treeSnapshot } from "../support/tree_snapshot.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Members given to one flipped archive at most, so that a forged size cannot make the test slow. */
const LIMITS = { ...WIDE_LIMITS, maxBytes: 64 * 1024 * 1024, maxEntries: 10_000 };

Deno.test("extract property: random trees written by GNU tar as gnu, pax and ustar come out equal", async () => {
  for (let seed = 1; seed <= 8; seed++) {
    using f = new LayerFixture();
    Deno.mkdirSync(`${f.base}/source`);
    const short = seed % 2 === 0;
    randomTree(`${f.base}/source`, seed, short);
    const expected = treeSnapshot(`${f.base}/source`);
    for (const format of short ? ["gnu", "pax", "ustar"] : ["gnu", "pax"]) {
      run("tar", ["-C", `${f.base}/source`, `--format=${format}`, "-cf", `${f.base}/${format}.tar`, "."]);
      const content = Deno.readFileSync(`${f.base}/${format}.tar`);
      const { root } = await f.extract(content, { chunk: 4096 + seed, gzip: short });
      Deno.mkdirSync(`${f.base}/${format}`);
      run("tar", ["-C", `${f.base}/${format}`, "--numeric-owner", "-p", "-xf", `${f.base}/${format}.tar`]);
      const reference = format === "pax" ? expected : treeSnapshot(`${f.base}/${format}`);
      assert.deepEqual(snapshotDifference(reference, treeSnapshot(root)), [], `seed ${seed}, ${format}`);
    }
  }
});

/** Extracts bytes whatever they are, with digests that fit them, so that every byte reaches the parser. */
async function attempt(f: LayerFixture, blob: Bytes, diffId: string): Promise<"kept" | "refused"> {
  const job = {
    blob: { mediaType: "", digest: sha256(blob), size: blob.byteLength },
    diffId,
    source: [blob],
    limits: LIMITS,
  };
  try {
    await extractLayer(linuxFile(), f.store, job);
    return "kept";
  } catch (e) {
    assert.ok(e instanceof Error);
    assert.notEqual(e.name, "TypeError", e.stack);
    assert.notEqual(e.name, "RangeError", e.stack);
    return "refused";
  }
}

Deno.test("extract fuzz: flipped bytes of a tar never escape, crash or hang, and a refusal leaves nothing", async () => {
  using f = new LayerFixture();
  Deno.mkdirSync(`${f.base}/source`);
  fullTree(`${f.base}/source`, { xattrs: true, longNames: true });
  Deno.removeSync(`${f.base}/source/a/big`);
  const next = seeded(20_260_101);
  const counts = { kept: 0, refused: 0 };
  for (const format of ["pax", "gnu"]) {
    run("tar", ["-C", `${f.base}/source`, `--format=${format}`, "--xattrs", "-cf", `${f.base}/a.tar`, "."]);
    const whole = Deno.readFileSync(`${f.base}/a.tar`);
    for (let round = 0; round < 150; round++) {
      const flipped = whole.slice();
      for (let i = 0; i <= next(6); i++) flipped[next(flipped.byteLength)] = next(256);
      if (round % 5 === 0) repairChecksums(flipped, next);
      counts[await attempt(f, flipped, sha256(flipped))]++;
    }
  }
  f.assertUntouched();
  assert.ok(counts.kept > 0 && counts.refused > 0, JSON.stringify(counts));
  assert.deepEqual([...Deno.readDirSync(f.layersDir)].filter((e) => e.name.startsWith(".tmp-")), []);
});

/** Places in a header: name, mode, size, type, link name, devices. */
const FIELDS = [0, 5, 100, 105, 124, 130, 134, 156, 157, 160, 335, 343];

/** Changes a byte of a header and makes its checksum right, so that the change is believed. */
function repairChecksums(archive: Bytes, next: (below: number) => number): void {
  const blocks = archive.byteLength / 512;
  for (let tries = 0; tries < 50; tries++) {
    const at = next(blocks) * 512;
    const isHeader = archive[at + 257] === 0x75 && archive[at + 258] === 0x73 && archive[at + 261] !== undefined;
    if (!isHeader) continue;
    archive[at + (FIELDS[next(FIELDS.length)] ?? 0)] = 32 + next(96);
    archive.fill(0x20, at + 148, at + 156);
    const sum = archive.subarray(at, at + 512).reduce((n, b) => n + b, 0);
    archive.set(new TextEncoder().encode(`${sum.toString(8).padStart(6, "0")}\0 `), at + 148);
    return;
  }
}

Deno.test("extract fuzz: flipped bytes of gzip and zstd streams are refused or harmless", async () => {
  using f = new LayerFixture();
  Deno.mkdirSync(`${f.base}/source`);
  randomTree(`${f.base}/source`, 99);
  run("tar", ["-C", `${f.base}/source`, "-cf", `${f.base}/a.tar`, "."]);
  const content = Deno.readFileSync(`${f.base}/a.tar`);
  const diffId = sha256(content);
  const next = seeded(7);
  for (const packed of [gzipSync(content), zstdCompressSync(content)]) {
    for (let round = 0; round < 80; round++) {
      const flipped = new Uint8Array(packed);
      flipped[next(flipped.byteLength)] = next(256);
      // A flip may lie in a header field that does not matter; then the content was verified all the same.
      if (await attempt(f, flipped, diffId) === "kept") assert.ok(f.store.find(diffId) !== undefined);
      assert.deepEqual([...Deno.readDirSync(f.layersDir)].filter((e) => e.name.startsWith(".tmp-")), []);
    }
  }
  f.assertUntouched();
});
