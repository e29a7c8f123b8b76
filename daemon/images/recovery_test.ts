import { strict as assert } from "node:assert";
import { buildImage } from "../../tests/support/oci.ts";
import {
  assertConsistent,
  code,
  doubledStore,
  filesBelow,
  layer,
  withLayouts,
} from "../../tests/support/images_store.ts";
import { NyxError } from "../spec/errors.ts";

Deno.test("ImageStore: a manifest entry that rots is taken from its blob, or moved aside with a log line", async () => {
  using layouts = withLayouts("example.com/app", "example.com/gone");
  await using t = await doubledStore();
  layouts.attach(t);
  const built = buildImage({ dir: layouts.dir("example.com/app"), layers: [layer("a")] });
  buildImage({ dir: layouts.dir("example.com/gone"), layers: [layer("b")] });
  await t.store.pull("example.com/app", {});
  await t.store.pull("example.com/gone", {});
  const refs = `${t.baseDir}/images/images/example.com`;
  Deno.writeTextFileSync(`${refs}/app/latest/manifest.json`, "{}");
  Deno.writeTextFileSync(`${refs}/app/latest/config.json`, "rot");
  Deno.writeTextFileSync(`${refs}/gone/latest/manifest.json`, "not json");
  Deno.removeSync(`${refs}/gone/latest/ref.json`);
  const again = await t.reopen();
  assert.equal((await again.inspect("example.com/app")).id, built.configDigest);
  await assert.rejects(again.inspect("example.com/gone"), code("not_found"));
  const line = t.log.find((l) => /moved aside/.test(String(l.msg)));
  assert.ok(line);
  assert.equal(Deno.readTextFileSync(`${String(line.quarantine)}/manifest.json`), "not json");
});

Deno.test("ImageStore.collectGarbage keeps what an unfinished pull can resume for 7 days, and clears the rest", async () => {
  using layouts = withLayouts("example.com/app");
  await using t = await doubledStore();
  layouts.attach(t);
  const built = buildImage({ dir: layouts.dir("example.com/app"), layers: [layer("a"), layer("bb".repeat(5000))] });
  t.stages.faults.beforeFetch = (digest) =>
    digest === built.layers[0]?.digest
      ? Promise.reject(new NyxError("unavailable", "reset", { op: "pull.fetchBlob" }))
      : Promise.resolve();
  await assert.rejects(t.store.pull("example.com/app", {}), code("unavailable"));
  const ingest = `${t.baseDir}/images/ingest`;
  Deno.writeTextFileSync(`${ingest}/sha256-${built.layers[0]?.digest.slice(7)}`, "part");
  Deno.writeTextFileSync(`${ingest}/sha256-${"9".repeat(64)}`, "nobody's");
  Deno.mkdirSync(`${t.baseDir}/images/staging/left`, { recursive: true });
  Deno.writeTextFileSync(`${t.baseDir}/images/blobs/sha256/${"8".repeat(64)}`, "garbage");
  const again = await t.reopen();
  await again.collectGarbage();
  assert.deepEqual(filesBelow(ingest), [`sha256-${built.layers[0]?.digest.slice(7)}`]);
  assert.ok(!filesBelow(`${t.baseDir}/images`).some((f) => f.includes("8".repeat(64)) || f.startsWith("staging")));
  assert.equal(t.stages.downloads.length, 1);
  delete t.stages.faults.beforeFetch;
  await again.pull("example.com/app", {});
  assert.deepEqual(t.stages.downloads, [built.layers[1]?.digest, built.layers[0]?.digest]);
  await using old = await doubledStore({ baseDir: t.baseDir, limits: { pendingMs: 0 } });
  await old.store.collectGarbage();
  assert.deepEqual(filesBelow(ingest), []);
  assert.equal((await old.store.list()).length, 1);
});

Deno.test("ImageStore: a crash at any step of a pull, retag or removal leaves a store that opens and collects cleanly", async () => {
  using layouts = withLayouts("example.com/app");
  await using t = await doubledStore();
  layouts.attach(t);
  const dir = layouts.dir("example.com/app");
  buildImage({ dir, layers: [layer("base"), layer("one")] });
  await t.store.pull("example.com/app", {});
  const snapshots: string[] = [];
  const snapshot = async () => {
    const to = Deno.makeTempDirSync({ prefix: "nyx-images-crash-" });
    await new Deno.Command("cp", { args: ["-a", `${t.baseDir}/.`, to] }).output();
    snapshots.push(to);
  };
  // Every write, rename and removal of the store goes through these; a copy after each is what a crash would leave.
  const real = { rename: Deno.rename, remove: Deno.remove };
  try {
    Deno.rename = async (...args) => {
      await real.rename(...args);
      await snapshot();
    };
    Deno.remove = async (...args) => {
      await real.remove(...args);
      await snapshot();
    };
    buildImage({ dir, layers: [layer("base"), layer("two")] });
    await t.store.pull("example.com/app", {});
    await t.store.remove("example.com/app", false);
    await t.store.prune({ dryRun: false, all: true });
  } finally {
    Object.assign(Deno, real);
  }
  assert.ok(snapshots.length > 20, `${snapshots.length}`);
  for (const baseDir of snapshots) {
    await using s = await doubledStore({ baseDir });
    layouts.attach(s);
    await s.store.collectGarbage();
    await assertConsistent(s);
    for (const row of await s.store.list()) {
      using handle = await s.store.ensure(row.id, { policy: "never" });
      assert.equal(handle.layers.length, 2);
    }
    await s.store.pull("example.com/app", {});
    await s.store.prune({ dryRun: false, all: true });
    assert.deepEqual(filesBelow(baseDir), []);
  }
});
