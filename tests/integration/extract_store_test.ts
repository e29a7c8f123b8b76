import assert from "node:assert/strict";
import { DURABLE_MARKER, layerDir, layerRecordPath } from "../../daemon/spec/layer_store.ts";
import { linuxFile } from "../../ffi/linux/file.ts";
import { DurabilityKeeper } from "../../workers/extract/durability.ts";
import { LayerStore } from "../../workers/extract/store.ts";
import { faultyKernel } from "../support/fake_kernel.ts";
import { LayerFixture } from "../support/layer_fixture.ts";
import { tar } from "../support/tar_writer.ts";

const CONTENT = tar([{ path: "a", data: "x".repeat(5000) }, { path: "d/b", data: "y" }, {
  path: "l",
  type: "symlink",
  link: "a",
}]);
const names = (dir: string) => [...Deno.readDirSync(dir)].map((e) => e.name).sort();

function finish<T>(slices: Generator<void, T, void>): T {
  for (let step = slices.next();; step = slices.next()) if (step.done === true) return step.value;
}

for (
  const { call, errno, code } of [
    { call: "write", errno: "ENOSPC", code: "resource_exhausted" },
    { call: "write", errno: "EIO", code: "internal" },
    { call: "openat", errno: "EMFILE", code: "internal" },
    { call: "mkdirat", errno: "ENOSPC", code: "resource_exhausted" },
    { call: "symlinkat", errno: "EDQUOT", code: "resource_exhausted" },
    { call: "fchown", errno: "EPERM", code: "permission_denied" },
    { call: "futimens", errno: "EIO", code: "internal" },
    { call: "close", errno: "EIO", code: "internal" },
  ]
) {
  Deno.test(`extractLayer: ${errno} from ${call} fails the layer and leaves nothing`, async () => {
    using f = new LayerFixture();
    const { kernel } = faultyKernel(linuxFile(), [{ call, errno, nth: 1 }]);
    await f.refuses(CONTENT, code as "internal", /Could not extract/, { kernel });
    const { root } = await f.extract(CONTENT);
    assert.deepEqual(names(root), ["a", "d", "l"]);
  });
}

Deno.test("extractLayer: a failing rename at commit leaves no layer and no temporary directory", async () => {
  using f = new LayerFixture();
  const { kernel } = faultyKernel(linuxFile(), [{ call: "renameat2", nth: 1, errno: "EIO" }]);
  using store = new LayerStore(kernel, f.layersDir);
  await assert.rejects(f.extract(CONTENT, { store }), { code: "EIO" });
  assert.deepEqual(names(f.layersDir), []);
});

Deno.test("extractLayer: descriptors are all closed, after success and after failure", async () => {
  using f = new LayerFixture();
  const open = () => [...Deno.readDirSync("/proc/self/fd")].length;
  await f.extract(CONTENT);
  const before = open();
  await f.extract(tar(Array.from({ length: 200 }, (_, i) => ({ path: `d${i}/f`, data: "x" }))));
  await assert.rejects(f.extract(tar([{ path: "a/b/c", data: "x" }, { path: "../x" }])));
  assert.equal(open(), before);
});

Deno.test("extractLayer: an aborted extraction ends as canceled and leaves nothing", async () => {
  using f = new LayerFixture();
  const abort = new AbortController();
  const big = tar(Array.from({ length: 300 }, (_, i) => ({ path: `f${i}`, data: "x".repeat(10_000) })));
  const work = f.extract(big, { signal: abort.signal, chunk: 10_000, onProgress: (n) => n > 1e6 && abort.abort() });
  await assert.rejects(work, { name: "AbortError" });
  assert.deepEqual(names(f.layersDir), []);
});

Deno.test("LayerStore.commit: two extractions of one layer at once both succeed, with one directory left", async () => {
  using f = new LayerFixture();
  const both = await Promise.all([f.extract(CONTENT, { chunk: 700 }), f.extract(CONTENT, { chunk: 900 })]);
  assert.deepEqual(both[0].record, both[1].record);
  assert.deepEqual(names(f.layersDir).length, 1);
});

Deno.test("LayerStore.find: only the layer of the whole diffID, with a readable record", async () => {
  using f = new LayerFixture();
  const { diffId, record } = await f.extract(CONTENT);
  assert.deepEqual(f.store.find(diffId), record);
  const samePrefix = diffId.slice(0, 40) + "0".repeat(31);
  assert.equal(f.store.find(samePrefix), undefined);
  Deno.writeTextFileSync(layerRecordPath(f.layersDir, diffId), "{half");
  assert.equal(f.store.find(diffId), undefined);
  assert.throws(() => f.store.find("sha256:../../../etc"), { code: "invalid_argument" });
});

Deno.test("extractLayer: a damaged layer in its place is replaced; one of another diffID with the same key is not", async () => {
  using f = new LayerFixture();
  const { diffId, record, root } = await f.extract(CONTENT);
  const path = layerRecordPath(f.layersDir, diffId);
  for (const damage of ["", "{", JSON.stringify({ ...record, bootId: "earlier" })]) {
    Deno.writeTextFileSync(path, damage);
    Deno.writeTextFileSync(`${root}/stale`, "x");
    assert.deepEqual((await f.extract(CONTENT)).record, record);
    assert.deepEqual(names(root), ["a", "d", "l"]);
  }
  const other = diffId.slice(0, 40) + "0".repeat(31);
  Deno.writeTextFileSync(path, JSON.stringify({ ...record, diffId: other }));
  await assert.rejects(f.extract(CONTENT), { code: "data_loss", message: /has the same key/ });
  assert.deepEqual(names(f.layersDir).length, 1);
});

Deno.test("LayerStore: makes its directory with the parents, for root alone", () => {
  using f = new LayerFixture();
  using _store = new LayerStore(linuxFile(), `${f.base}/overlay/deep/layers`);
  for (const dir of ["overlay", "overlay/deep", "overlay/deep/layers"]) {
    assert.equal((Deno.statSync(`${f.base}/${dir}`).mode ?? 0) & 0o777, 0o700);
  }
});

Deno.test("LayerStore.clean: removes what a killed extraction left, but not one under way", async () => {
  using f = new LayerFixture();
  const { diffId } = await f.extract(CONTENT);
  const underWay = f.store.begin(diffId);
  const killed = f.store.begin(diffId);
  Deno.mkdirSync(`${f.layersDir}/${killed.name}/fs/deep/er`, { recursive: true });
  killed[Symbol.dispose]();
  assert.deepEqual(finish(f.store.clean()), { temporary: 1, lost: [] });
  assert.ok(names(f.layersDir).includes(underWay.name));
  underWay[Symbol.dispose]();
  assert.deepEqual(finish(f.store.clean()), { temporary: 1, lost: [] });
  assert.equal(names(f.layersDir).length, 1);
});

Deno.test("LayerStore.clean: after another boot, a layer is kept only when it was marked durable", async () => {
  using f = new LayerFixture();
  const kept = await f.extract(CONTENT);
  await f.store.sync(f.store.unsynced());
  assert.ok(names(layerDir(f.layersDir, kept.diffId)).includes(DURABLE_MARKER));
  const lost = await f.extract(tar([{ path: "z", data: "half-written?" }]));
  for (const { diffId, record } of [kept, lost]) {
    Deno.writeTextFileSync(layerRecordPath(f.layersDir, diffId), JSON.stringify({ ...record, bootId: "earlier" }));
  }
  assert.deepEqual(finish(f.store.clean()), { temporary: 0, lost: [lost.diffId] });
  assert.ok(f.store.find(kept.diffId) !== undefined);
  assert.equal(f.store.find(lost.diffId), undefined);
});

Deno.test("LayerStore.sync: no marker when the disk reports an error", async () => {
  using f = new LayerFixture();
  await f.extract(CONTENT);
  const real = linuxFile();
  using store = new LayerStore({ ...real, syncfsAsync: () => Promise.reject(new Error("EIO")) }, f.layersDir);
  await assert.rejects(store.sync(store.unsynced()));
  assert.equal(store.unsynced().length, 1);
});

Deno.test("DurabilityKeeper: marks new layers after a quiet moment, and not while an extraction runs", async () => {
  using f = new LayerFixture();
  const keeper = new DurabilityKeeper(linuxFile(), (msg) => assert.fail(msg), 30);
  const [a, b] = [keeper.extracting(f.layersDir), keeper.extracting(f.layersDir)];
  const { diffId } = await f.extract(CONTENT);
  a[Symbol.dispose]();
  await new Promise((r) => setTimeout(r, 80));
  assert.equal(f.store.unsynced().length, 1);
  b[Symbol.dispose]();
  for (let i = 0; i < 200 && f.store.unsynced().length > 0; i++) await new Promise((r) => setTimeout(r, 50));
  assert.ok(names(layerDir(f.layersDir, diffId)).includes(DURABLE_MARKER));
});

Deno.test("DurabilityKeeper: a directory that is gone by then is not made again", async () => {
  using f = new LayerFixture();
  const gone = `${f.base}/gone`;
  const keeper = new DurabilityKeeper(linuxFile(), (msg) => assert.fail(msg), 10);
  keeper.extracting(gone)[Symbol.dispose]();
  await new Promise((r) => setTimeout(r, 60));
  assert.throws(() => Deno.statSync(gone), Deno.errors.NotFound);
});

Deno.test("LayerStore.discard: a committed layer goes whole; a missing one is no error", async () => {
  using f = new LayerFixture();
  const { diffId } = await f.extract(CONTENT);
  const key = layerDir("", diffId).slice(1);
  assert.equal(finish(f.store.discard(key)), true);
  assert.equal(finish(f.store.discard(key)), false);
  assert.deepEqual(names(f.layersDir), []);
});
