import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { LayerFixture, sha256 } from "../support/layer_fixture.ts";
import { base256, gnuLong, paxHeader, rawMember, rawTar } from "../support/raw_tar.ts";
import { tar, type TarEntry } from "../support/tar_writer.ts";

/** An attack, what refuses it, and the words that must name the entry. */
function attack(title: string, entries: (f: LayerFixture) => TarEntry[], message: RegExp): void {
  Deno.test(`extract refuses: ${title}`, async () => {
    using f = new LayerFixture();
    await f.refuses(tar(entries(f)), "invalid_argument", message);
  });
}

attack(
  "a name that climbs out by ..",
  (f) => [{ path: `../../canary/new`, data: "x" }, { path: f.canary }],
  /entry "\.\.\/\.\.\/canary\/new": its path leaves the layer's root by \.\./,
);
attack(
  "a name that climbs out in its middle",
  () => [{ path: "a/../../../etc/x", data: "x" }],
  /leaves the layer's root/,
);
attack(
  "a hard link target that climbs out",
  () => [{ path: "x", type: "link", link: "../../canary/passwd" }],
  /entry "x".*leaves/,
);
attack(
  "a hard link to an absolute path outside",
  (f) => [{ path: "x", type: "link", link: `${f.canary}/passwd` }],
  /entry "x": a part of its path is missing/,
);
attack(
  "a hard link to outside through a symbolic link",
  (f) => [{ path: "out", type: "symlink", link: f.canary }, { path: "x", type: "link", link: "out/passwd" }],
  /entry "x": a part of its path is missing, or is a symbolic link that leads nowhere inside the layer/,
);
attack(
  "a hard link to a directory",
  () => [{ path: "d/" }, { path: "x", type: "link", link: "d" }],
  /hard link to a directory/,
);
attack("a hard link to the root", () => [{ path: "x", type: "link", link: "/" }], /hard link to the layer's root/);
attack("a hard link to nothing", () => [{ path: "x", type: "link", link: "later" }], /not in the layer/);
attack(
  "a hard link into the directory it replaces",
  () => [{ path: "d/f", data: "x" }, { path: "d", type: "link", link: "d/f" }],
  /into what it replaces/,
);
attack(
  "writing through a symbolic link to an absolute path",
  (f) => [{ path: "out", type: "symlink", link: f.canary }, { path: "out/passwd", data: "owned" }],
  /entry "out\/passwd": a part of its path is missing, or is a symbolic link that leads nowhere inside/,
);
attack(
  "writing through a symbolic link that climbs",
  () => [{ path: "out", type: "symlink", link: "../../canary" }, { path: "out/passwd", data: "owned" }],
  /entry "out\/passwd"/,
);
attack(
  "writing through a chain of symbolic links",
  (f) => [
    { path: "a", type: "symlink", link: "b" },
    { path: "b", type: "symlink", link: f.canary },
    { path: "a/dir/new", data: "x" },
  ],
  /entry "a\/dir\/new"/,
);
attack(
  "symbolic links that loop",
  () => [{ path: "a", type: "symlink", link: "a" }, { path: "a/x", data: "x" }],
  /loops/,
);
attack(
  "an empty symbolic link",
  () => [{ path: "a", type: "symlink", link: "" }],
  /entry "a": it is a symbolic link to nothing/,
);
attack(
  "a symbolic link target over PATH_MAX",
  () => [{ path: "a", type: "symlink", link: "t".repeat(5000) }],
  /entry "a".*ENAMETOOLONG/,
);
attack(
  "a file as the root",
  () => [{ path: "./.", type: "symlink", link: "/etc" }],
  /symlink cannot be the layer's root/,
);
attack("a whiteout of the root", () => [{ path: ".wh." }], /entry "\.wh\.": it is a whiteout of nothing/);
attack("a whiteout of .", () => [{ path: "a/.wh.." }], /whiteout of "\."/);
attack("a whiteout of ..", () => [{ path: "a/.wh..." }], /whiteout of "\.\."/);
attack("a whiteout that climbs", () => [{ path: "../.wh.canary" }], /leaves the layer's root/);
attack("a whiteout through a symbolic link", (f) => [
  { path: "out", type: "symlink", link: f.canary },
  { path: "out/.wh.passwd" },
], /entry "out\/\.wh\.passwd"/);
attack("an opaque mark through a symbolic link", (f) => [
  { path: "out", type: "symlink", link: f.canary },
  { path: "out/.wh..wh..opq" },
], /entry "out\/\.wh\.\.wh\.\.opq"/);
attack("a whiteout used as a directory", () => [{ path: ".wh.a/b", data: "x" }], /whiteout stands in the middle/);
attack("a part of a name over 255 bytes", () => [{ path: "n".repeat(256) }], /256 bytes long; file systems take 255/);
attack("a name over PATH_MAX", () => [{ path: "d/".repeat(2500) + "x" }], /5001 bytes long; the kernel takes 4095/);
attack(
  "a file below a file",
  () => [{ path: "f", data: "x" }, { path: "f/g", data: "x" }],
  /entry "f\/g": a part of its path is not a directory/,
);
attack("a NUL inside a PAX path", () => [{ path: "ok", pax: { path: "a\0b" } }], /holds a NUL/);
attack("an owner that chown would not set", () => [{ path: "x", uid: 4294967295 }], /uid 4294967295 is not between/);

Deno.test("extract: a leading slash means the layer's root, as in Docker", async () => {
  using f = new LayerFixture();
  const { root } = await f.extract(tar([{ path: `${f.canary}/passwd`, data: "inside" }]));
  assert.equal(Deno.readTextFileSync(`${root}${f.canary}/passwd`), "inside");
  f.assertUntouched();
});

Deno.test("extract: links that lead outside are kept as they are, and followed only inside", async () => {
  using f = new LayerFixture();
  const { root } = await f.extract(tar([
    { path: "run/" },
    { path: "var/run", type: "symlink", link: "/run" },
    { path: "var/run/pid", data: "1" },
    { path: "etc", type: "symlink", link: "../../../etc" },
  ]));
  assert.equal(Deno.readTextFileSync(`${root}/run/pid`), "1");
  assert.equal(Deno.readLinkSync(`${root}/etc`), "../../../etc");
  f.assertUntouched();
});

Deno.test("extract: devices are nodes inside the layer, never opened; a file in a device's place does not write to it", async () => {
  using f = new LayerFixture();
  const { root } = await f.extract(tar([
    { path: "sda", type: "block", major: 8, minor: 0 },
    { path: "full", type: "char", major: 1, minor: 7 },
    { path: "pipe", type: "fifo" },
    { path: "full", data: "a plain file" },
    { path: "pipe", data: "another" },
  ]));
  assert.ok(Deno.lstatSync(`${root}/sda`).isBlockDevice);
  assert.equal(Deno.readTextFileSync(`${root}/full`), "a plain file");
  assert.equal(Deno.readTextFileSync(`${root}/pipe`), "another");
});

Deno.test("extract: of entries with one name the last holds, and a link in its place is not written through", async () => {
  using f = new LayerFixture();
  const { root } = await f.extract(tar([
    { path: "a", type: "symlink", link: `${f.canary}/passwd` },
    { path: "a", data: "mine" },
    { path: "b", data: "first" },
    { path: "hard", type: "link", link: "b" },
    { path: "b", data: "second" },
    { path: "d", type: "symlink", link: f.canary },
    { path: "d/" },
    { path: "d/passwd", data: "mine" },
  ]));
  assert.equal(Deno.readTextFileSync(`${root}/a`), "mine");
  assert.equal(Deno.readTextFileSync(`${root}/b`), "second");
  assert.equal(Deno.readTextFileSync(`${root}/hard`), "first");
  assert.equal(Deno.readTextFileSync(`${root}/d/passwd`), "mine");
  f.assertUntouched();
});

Deno.test("extract: a directory swapped for a link while its descriptor is kept does not receive later files", async () => {
  using f = new LayerFixture();
  await f.refuses(
    tar([
      { path: "d/one", data: "1" },
      { path: "d", type: "symlink", link: f.canary },
      { path: "d/two", data: "2" },
    ]),
    "invalid_argument",
    /entry "d\/two"/,
  );
});

Deno.test("extract: overlay's own attributes and host labels of the archive are not set", async () => {
  using f = new LayerFixture();
  const { root } = await f.extract(tar([{
    path: "d/",
    xattrs: {
      "trusted.overlay.redirect": "/etc",
      "trusted.overlay.opaque": "y",
      "security.selinux": "x",
      "user.kept": "1",
    },
  }]));
  const { linuxFile } = await import("../../ffi/linux/file.ts");
  assert.deepEqual(linuxFile().llistxattr(`${root}/d`), ["user.kept"]);
});

Deno.test("extract refuses: streams that are cut, at every kind of place", async () => {
  using f = new LayerFixture();
  const whole = tar([{ path: "a", data: "x".repeat(1000) }, { path: "b".repeat(150), data: "y" }]);
  for (const length of [100, 700, 1400, 1536 + 20, 1536 + 512 + 3, 1536 + 1024 + 2]) {
    await f.refuses(whole.slice(0, length), "data_loss", /ends in the middle of/);
  }
});

Deno.test("extract refuses: damaged headers", async () => {
  using f = new LayerFixture();
  const bad = (...members: Uint8Array[]) =>
    f.refuses(rawTar(...members), "data_loss", /Could not read the layer's tar at byte \d+/);
  await bad(rawMember({ name: "a", badChecksum: true }));
  await bad(rawMember({ name: "a", size: "89999999999\0" }));
  await bad(rawMember({ name: "a" }), new Uint8Array(512), rawMember({ name: "b" }));
  await bad(rawMember({ name: "a", size: base256(2n ** 80n, 12) }));
  await bad(rawMember({ name: "x", flag: "x", data: "999 path=a\n" }));
  await bad(rawMember({ name: "x", flag: "x", data: "nonsense" }));
  await bad(rawMember({ name: "x", flag: "x", data: "9 path=a\n" }));
  await bad(paxHeader([["size", "-5"]]), rawMember({ name: "a" }));
  await bad(paxHeader([["size", "1e9"]]), rawMember({ name: "a" }));
  await bad(paxHeader([["mtime", "soon"]]), rawMember({ name: "a" }));
  await bad(rawMember({ name: "x", flag: "L", format: "gnu", size: 2 ** 31 }));
  await bad(paxHeader([["path", "a"]]));
});

Deno.test("extract refuses: negative sizes and unknown types, by the entry's name", async () => {
  using f = new LayerFixture();
  await f.refuses(
    rawTar(rawMember({ name: "neg", size: base256(-1n, 12) })),
    "invalid_argument",
    /"neg": its size -1 is negative/,
  );
  await f.refuses(
    rawTar(rawMember({ name: "multi", flag: "M", format: "gnu" })),
    "invalid_argument",
    /"multi": members of type "M"/,
  );
  await f.refuses(rawTar(rawMember({ name: "id", uid: base256(-2n, 8) })), "invalid_argument", /"id": its uid -2/);
});

Deno.test("extract refuses: a PAX size that lies about the data", async () => {
  using f = new LayerFixture();
  const lie = (size: string) => rawTar(paxHeader([["size", size]]), rawMember({ name: "a", data: "x".repeat(600) }));
  await f.refuses(lie("999999999999"), "data_loss", /ends in the middle of entry "a"/);
  await f.refuses(lie("10"), "data_loss", /no tar header/);
  await f.refuses(lie("9007199254740993"), "data_loss", /not a whole number/);
});

Deno.test("extract refuses: sparse maps that overlap, leave the file, or do not match the data", async () => {
  using f = new LayerFixture();
  const map = (numbers: string, size: string, data = "abcd") =>
    rawTar(
      paxHeader([["GNU.sparse.size", size], ["GNU.sparse.map", numbers], ["GNU.sparse.name", "s"]]),
      rawMember({ name: "GNUSparseFile/s", data }),
    );
  await f.refuses(map("0,2,1,2", "100"), "data_loss", /overlaps itself or leaves/);
  await f.refuses(map("98,4", "100"), "data_loss", /overlaps itself or leaves/);
  await f.refuses(map("0,3", "100"), "data_loss", /speaks of 3 bytes, the archive stores 4/);
  await f.refuses(map("0,4,9", "100"), "data_loss", /3 numbers/);
  await f.refuses(map("0,four", "100"), "data_loss", /no number/);
  const leading = (data: string) =>
    rawTar(
      paxHeader([["GNU.sparse.major", "1"], ["GNU.sparse.minor", "0"], ["GNU.sparse.realsize", "9"], [
        "GNU.sparse.name",
        "s",
      ]]),
      rawMember({ name: "x", data }),
    );
  await f.refuses(leading("99999999\n".padEnd(512, "0")), "data_loss", /more than 1000000 extents/);
  await f.refuses(leading("5\n0\n1\n".padEnd(512, "\0")), "data_loss", /longer than its file's data/);
});

Deno.test("extract refuses: a huge sparse file counts in full against the limit, though it takes no space", async () => {
  using f = new LayerFixture();
  const bomb = rawTar(
    paxHeader([["GNU.sparse.size", String(2 ** 50)], ["GNU.sparse.map", "0,1"], ["GNU.sparse.name", "huge"]]),
    rawMember({ name: "x", data: "y" }),
  );
  await f.refuses(bomb, "resource_exhausted", /entry "huge".*at most 1099511627776 are allowed/);
});

Deno.test("extract refuses: bombs by ratio and by size, without unpacking them whole", async () => {
  using f = new LayerFixture();
  const zeros = tar([{ path: "zeros", data: new Uint8Array(80 * 1024 * 1024) }]);
  await f.refuses(zeros, "resource_exhausted", /more than 100 times its size/, {
    gzip: true,
    limits: { maxRatio: 100 },
  });
  await f.refuses(zeros, "resource_exhausted", /at most 1000000 are allowed/, {
    gzip: true,
    limits: { maxBytes: 1_000_000 },
  });
});

Deno.test("extract refuses: more entries than allowed; a disk that would get too full", async () => {
  using f = new LayerFixture();
  const many = tar(Array.from({ length: 50 }, (_, i) => ({ path: `f${i}` })));
  await f.refuses(many, "resource_exhausted", /more than 49 entries/, { limits: { maxEntries: 49 } });
  await f.refuses(many, "resource_exhausted", /must stay free/, { limits: { minFreeBytes: 2 ** 60 } });
});

Deno.test("extract refuses: few names that ask for very many directories", async () => {
  using f = new LayerFixture();
  const deep = tar([0, 1, 2].map((i) => ({ path: `${i}/`.repeat(200) + "x", data: "" })));
  await f.refuses(deep, "resource_exhausted", /more than 500 directories/, { limits: { maxEntries: 500 } });
});

Deno.test("extract refuses: wrong digest, wrong diffID, short and long blobs; nothing is committed", async () => {
  using f = new LayerFixture();
  const { extractLayer } = await import("../../workers/extract/extract.ts");
  const { linuxFile } = await import("../../ffi/linux/file.ts");
  const { WIDE_LIMITS } = await import("../support/layer_fixture.ts");
  const content = tar([{ path: "a", data: "x" }]);
  const blob = new Uint8Array(gzipSync(content));
  const right = { digest: sha256(blob), size: blob.byteLength, diffId: sha256(content) };
  const run = ({ digest, size, diffId }: typeof right) =>
    extractLayer(linuxFile(), f.store, {
      blob: { mediaType: "", digest, size },
      diffId,
      source: [blob],
      limits: WIDE_LIMITS,
    });
  const wrong = sha256(new Uint8Array(1));
  for (
    const [change, field] of [[{ digest: wrong }, "digest"], [{ diffId: wrong }, "diffID"], [{ size: 5 }, "size"], [{
      size: 5000,
    }, "size"]] as const
  ) {
    await assert.rejects(run({ ...right, ...change }), (e: { code?: string; message?: string }) => {
      assert.equal(e.code, "data_loss");
      assert.match(e.message ?? "", new RegExp(`its ${field} is`));
      return true;
    });
  }
  await assert.rejects(run({ ...right, diffId: "sha256:../../etc" }), { code: "invalid_argument" });
  await assert.rejects(run({ ...right, digest: "md5:00" }), { code: "invalid_argument" });
  assert.deepEqual([...Deno.readDirSync(f.layersDir)], []);
  assert.equal((await run(right)).diffId, right.diffId);
});

Deno.test("extract: removal of a refused layer copes with trees deeper than PATH_MAX", async () => {
  using f = new LayerFixture();
  const deep = "d/".repeat(1900);
  await f.refuses(
    tar([
      { path: `${deep}end/` },
      { path: "s", type: "symlink", link: "d/".repeat(1900) },
      { path: `s/end/${"e/".repeat(1900)}x`, data: "x" },
      { path: "../out" },
    ]),
    "invalid_argument",
    /entry "\.\.\/out"/,
  );
});

Deno.test("extract: a GNU long name that climbs is refused like any other", async () => {
  using f = new LayerFixture();
  await f.refuses(
    rawTar(gnuLong("L", "../".repeat(50) + "x"), rawMember({ name: "short", format: "gnu" })),
    "invalid_argument",
    /leaves the layer's root/,
  );
});
