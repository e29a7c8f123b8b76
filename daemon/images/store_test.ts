import { strict as assert } from "node:assert";
import { buildImage, buildIndex } from "../../tests/support/oci.ts";
import {
  assertConsistent,
  code,
  doubledStore,
  filesBelow,
  layer,
  withLayouts,
} from "../../tests/support/images_store.ts";
import { NyxError } from "../spec/errors.ts";
import type { PullEvent } from "../spec/image.ts";

Deno.test("ImageStore.pull writes exact documents where interface.md says, after all layers", async () => {
  using layouts = withLayouts("example.com/team/app");
  await using t = await doubledStore();
  layouts.attach(t);
  const built = buildImage({ dir: layouts.dir("example.com/team/app"), tag: "v1", layers: [layer("a"), layer("b")] });
  const events: PullEvent[] = [];
  const result = await t.store.pull("example.com/team/app:v1", { onEvent: (e) => events.push(e) });
  assert.equal(result.id, built.configDigest);
  assert.equal(result.digest, built.manifestDigest);
  const dir = `${t.baseDir}/images/images/example.com/team/app/v1`;
  assert.deepEqual(Deno.readFileSync(`${dir}/manifest.json`), built.manifestBytes);
  assert.deepEqual(Deno.readFileSync(`${dir}/config.json`), built.configBytes);
  assert.equal(events[0]?.phase, "begin");
  assert.equal(events.at(-1)?.phase, "done");
  assert.equal(events.filter((e) => e.phase === "layer").length, 2);
  assert.equal(filesBelow(`${t.baseDir}/images`).filter((f) => f.includes("pending")).length, 0);
  await assertConsistent(t);
});

Deno.test("ImageStore.ensure with policy missing touches no worker and no disk when the image is present", async () => {
  using layouts = withLayouts("example.com/app");
  await using t = await doubledStore();
  layouts.attach(t);
  const built = buildImage({ dir: layouts.dir("example.com/app"), layers: [layer("a"), layer("b"), layer("a")] });
  await t.store.pull("example.com/app", {});
  t.stages.pull.calls.length = 0;
  t.stages.extract.calls.length = 0;
  await Deno.rename(`${t.baseDir}/images`, `${t.baseDir}/hidden`);
  const handle = await t.store.ensure("example.com/app", { policy: "missing" });
  await Deno.rename(`${t.baseDir}/hidden`, `${t.baseDir}/images`);
  assert.deepEqual([...t.stages.pull.calls, ...t.stages.extract.calls], []);
  assert.equal(handle.imageId, built.configDigest);
  assert.equal(handle.ref, "example.com/app:latest");
  // The layer that comes twice counts at its top place.
  assert.deepEqual(handle.layers, [built.diffIds[1], built.diffIds[2]]);
  handle[Symbol.dispose]();
});

Deno.test("ImageStore.ensure honours always, never and a platform that is not the present one", async () => {
  using layouts = withLayouts("example.com/app");
  await using t = await doubledStore();
  layouts.attach(t);
  const arm = { os: "linux", architecture: "arm64" };
  const built = buildIndex([{ layers: [layer("amd")] }, { layers: [layer("arm")], platform: arm }], {
    dir: layouts.dir("example.com/app"),
  });
  await assert.rejects(t.store.ensure("example.com/app", { policy: "never" }), code("not_found", /nyx pull/));
  using amd = await t.store.ensure("example.com/app", { policy: "missing" });
  assert.equal(amd.imageId, built.images[0]?.configDigest);
  using other = await t.store.ensure("example.com/app", { policy: "missing", platform: "linux/arm64" });
  assert.equal(other.imageId, built.images[1]?.configDigest);
  const before = t.stages.pull.calls.length;
  using again = await t.store.ensure("example.com/app", { policy: "always" });
  assert.ok(t.stages.pull.calls.length > before);
  assert.equal(again.imageId, built.images[0]?.configDigest);
  assert.deepEqual((await t.store.inspect("example.com/app")).digests, [`example.com/app@${built.indexDigest}`]);
});

Deno.test("ImageStore: two pulls of one image share each download, and each caller sees all phases", async () => {
  using layouts = withLayouts("example.com/app", "other.org/app");
  await using t = await doubledStore();
  layouts.attach(t);
  buildImage({ dir: layouts.dir("example.com/app"), layers: [layer("a"), layer("b")] });
  buildImage({ dir: layouts.dir("other.org/app"), layers: [layer("a"), layer("b")], created: "2025-01-01T00:00:00Z" });
  const seen: PullEvent[][] = [[], [], []];
  const pull = (ref: string, i: number) => t.store.pull(ref, { onEvent: (e) => seen[i]?.push(e) });
  await Promise.all([pull("example.com/app", 0), pull("example.com/app", 1), pull("other.org/app", 2)]);
  assert.equal(t.stages.downloads.length, 2);
  for (const events of seen) {
    assert.equal(events[0]?.phase, "begin");
    assert.equal(events.at(-1)?.phase, "done");
    assert.equal(events.filter((e) => e.phase === "layer").length, 2);
  }
  assert.equal((await t.store.list()).length, 2);
});

Deno.test("ImageStore: a client that leaves does not cancel another's pull; the last one does", async () => {
  using layouts = withLayouts("example.com/app");
  await using t = await doubledStore();
  layouts.attach(t);
  buildImage({ dir: layouts.dir("example.com/app"), layers: [layer("a")] });
  const started = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  let aborted = false;
  t.stages.faults.beforeFetch = async (_, signal) => {
    signal?.addEventListener("abort", () => {
      aborted = true;
      gate.reject(new NyxError("canceled", "stopped", { op: "pull.fetchBlob" }));
    });
    started.resolve();
    await gate.promise;
  };
  const first = new AbortController(), second = new AbortController();
  const a = t.store.pull("example.com/app", { signal: first.signal });
  const b = t.store.pull("example.com/app", { signal: second.signal });
  await started.promise;
  first.abort();
  await assert.rejects(a, code("canceled"));
  assert.equal(aborted, false);
  second.abort();
  await assert.rejects(b, code("canceled"));
  assert.equal(aborted, true);
  assert.deepEqual(await t.store.list(), []);
  // What was begun stays resumable, and a later pull succeeds.
  assert.equal(filesBelow(`${t.baseDir}/images/pending`).length, 3);
  delete t.stages.faults.beforeFetch;
  await t.store.pull("example.com/app", {});
  assert.equal(filesBelow(`${t.baseDir}/images/pending`).length, 0);
});

Deno.test("ImageStore: a caller whose shared download failed for another's want of access tries with its own", async () => {
  using layouts = withLayouts("private.example/app", "example.com/app");
  await using t = await doubledStore();
  layouts.attach(t);
  for (const r of ["private.example/app", "example.com/app"]) buildImage({ dir: layouts.dir(r), layers: [layer("a")] });
  const begun = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  let calls = 0;
  t.stages.faults.beforeFetch = async () => {
    if (calls++ > 0) return;
    begun.resolve();
    await gate.promise;
    throw new NyxError("unauthenticated", "401", { op: "pull.fetchBlob" });
  };
  const refused = t.store.pull("private.example/app", {});
  await begun.promise;
  const welcome = t.store.pull("example.com/app", {});
  const joined = setTimeout(gate.resolve, 50);
  await assert.rejects(refused, code("unauthenticated"));
  assert.equal((await welcome).ref, "example.com/app:latest");
  clearTimeout(joined);
  assert.equal(calls, 2);
});

Deno.test("ImageStore: a worker that dies during a layer is not the end of the pull", async () => {
  using layouts = withLayouts("example.com/app");
  await using t = await doubledStore();
  layouts.attach(t);
  buildImage({ dir: layouts.dir("example.com/app"), layers: [layer("a")] });
  let deaths = 2;
  t.stages.faults.beforeCommit = () =>
    deaths-- > 0
      ? Promise.reject(new NyxError("unavailable", "Worker extract died: out of memory", { retryable: true }))
      : Promise.resolve();
  await t.store.pull("example.com/app", {});
  // The blob survived the deaths: it is unpacked from disk, not downloaded again.
  assert.equal(t.stages.downloads.length, 1);
  deaths = 99;
  await t.store.remove("example.com/app", false);
  await assert.rejects(t.store.pull("example.com/app", {}), code("unavailable", /out of memory/));
});

Deno.test("ImageStore: a wrong diffID is data_loss and leaves nothing behind", async () => {
  using layouts = withLayouts("example.com/app");
  await using t = await doubledStore();
  layouts.attach(t);
  const fake = `sha256:${"0".repeat(64)}`;
  buildImage({
    dir: layouts.dir("example.com/app"),
    layers: [layer("a"), layer("b")],
    configPatch: {
      rootfs: {
        type: "layers",
        diff_ids: [
          buildImage({ dir: layouts.dir("example.com/app"), tag: "x", layers: [layer("a")] }).diffIds[0],
          fake,
        ],
      },
    },
  });
  await assert.rejects(t.store.pull("example.com/app", {}), code("data_loss", /diffID/));
  assert.deepEqual(filesBelow(`${t.baseDir}/images`), []);
  assert.deepEqual(filesBelow(`${t.baseDir}/layers`), []);
});

Deno.test("ImageStore: a stored blob that rotted is downloaded again, a sound one is unpacked without the network", async () => {
  using layouts = withLayouts("example.com/app");
  await using t = await doubledStore();
  layouts.attach(t);
  const built = buildImage({ dir: layouts.dir("example.com/app"), layers: [layer("a"), layer("b")] });
  await t.store.pull("example.com/app", {});
  for (const e of Deno.readDirSync(`${t.baseDir}/layers`)) {
    Deno.removeSync(`${t.baseDir}/layers/${e.name}`, { recursive: true });
  }
  const again = await t.reopen();
  t.layouts.clear();
  using handle = await again.ensure("example.com/app", { policy: "missing" });
  assert.equal(handle.imageId, built.configDigest);
  assert.equal(t.stages.downloads.length, 2);
  const rotten = `${t.baseDir}/images/blobs/sha256/${built.layers[0]?.digest.slice(7)}`;
  for (const e of Deno.readDirSync(`${t.baseDir}/layers`)) {
    Deno.removeSync(`${t.baseDir}/layers/${e.name}`, { recursive: true });
  }
  Deno.writeTextFileSync(rotten, "rot");
  const third = await t.reopen();
  await assert.rejects(third.ensure("example.com/app", { policy: "never" }), code("not_found", /pull again/));
  layouts.attach(t);
  using fresh = await third.ensure("example.com/app", { policy: "missing" });
  assert.equal(fresh.imageId, built.configDigest);
  assert.equal(t.stages.downloads.length, 3);
});

Deno.test("ImageStore: a tag that moves leaves the old image untagged and usable, also after a restart", async () => {
  using layouts = withLayouts("example.com/app");
  await using t = await doubledStore();
  layouts.attach(t);
  const dir = layouts.dir("example.com/app");
  const first = buildImage({ dir, layers: [layer("base"), layer("one")] });
  await t.store.pull("example.com/app", {});
  const second = buildImage({ dir, layers: [layer("base"), layer("two")] });
  await t.store.pull("example.com/app", {});
  for (const store of [t.store, await t.reopen()]) {
    await store.collectGarbage();
    const rows = await store.list();
    assert.equal(rows.length, 2);
    assert.deepEqual(rows.find((r) => r.id === first.configDigest)?.refs, []);
    assert.deepEqual(rows.find((r) => r.id === second.configDigest)?.refs, ["example.com/app:latest"]);
    using handle = await store.ensure(first.configDigest.slice(7, 19), { policy: "never" });
    assert.deepEqual(handle.layers, first.diffIds);
    using byDigest = await store.ensure(`example.com/app@${first.manifestDigest}`, { policy: "never" });
    assert.equal(byDigest.imageId, first.configDigest);
  }
  const pruned = await t.store.prune({ dryRun: true, all: false });
  assert.deepEqual(pruned.removed, [first.configDigest.slice(7, 19)]);
  const before = (await t.store.usage()).images;
  const done = await t.store.prune({ dryRun: false, all: false });
  const after = (await t.store.usage()).images;
  assert.equal((await t.store.list()).length, 1);
  assert.ok(
    done.reclaimed > 0 && Math.abs(before - after - done.reclaimed) <= 16_384,
    `${before} ${after} ${done.reclaimed}`,
  );
  await assertConsistent(t);
});

Deno.test("ImageStore: images of two registries never collide, nor do tags and longer repositories", async () => {
  const refs = [
    "one.example/app/manifest.json:latest",
    "one.example/app:manifest.json",
    "two.example:5000/app/manifest.json:latest",
    "two.example/app/manifest.json:latest",
    "one.example/app/c:latest",
    "one.example/app:c",
    "one.example/app/c/latest:ref.json",
  ];
  const repositories = [...new Set(refs.map((r) => r.slice(0, r.lastIndexOf(":"))))];
  using layouts = withLayouts(...repositories);
  await using t = await doubledStore();
  layouts.attach(t);
  const ids = new Map<string, string>();
  for (const ref of refs) {
    const at = ref.lastIndexOf(":");
    const built = buildImage({ dir: layouts.dir(ref.slice(0, at)), tag: ref.slice(at + 1), layers: [layer(ref)] });
    await t.store.pull(ref, {});
    ids.set(ref, built.configDigest);
  }
  const again = await t.reopen();
  for (const store of [t.store, again]) {
    for (const [ref, id] of ids) assert.equal((await store.inspect(ref)).id, id);
  }
  for (const [ref] of [...ids].reverse()) {
    await again.remove(ref, false);
    await assertConsistent(t);
  }
  assert.deepEqual(filesBelow(`${t.baseDir}/images/images`, { dirs: true }), []);
  assert.deepEqual(filesBelow(`${t.baseDir}/layers`, { dirs: true }), []);
});

Deno.test("ImageStore.remove refuses an image in use; force takes the name and keeps the layers", async () => {
  using layouts = withLayouts("example.com/app");
  await using t = await doubledStore();
  layouts.attach(t);
  const built = buildImage({ dir: layouts.dir("example.com/app"), layers: [layer("a")] });
  await t.store.pull("example.com/app", {});
  t.users.set(built.configDigest, ["web"]);
  await assert.rejects(t.store.remove("example.com/app", false), code("failed_precondition", /used by web/));
  const forced = await t.store.remove("example.com/app", true);
  assert.deepEqual(forced.untagged, ["example.com/app:latest"]);
  assert.deepEqual(forced.deleted, []);
  await assert.rejects(t.store.remove(built.configDigest, true), code("failed_precondition"));
  assert.equal(filesBelow(`${t.baseDir}/layers`).length, 3);
  assert.deepEqual((await t.store.prune({ dryRun: false, all: true })).in_use, [built.configDigest.slice(7, 19)]);
  t.users.clear();
  assert.deepEqual((await t.store.remove(built.configDigest, false)).deleted, [built.configDigest, ...built.diffIds]);
  assert.deepEqual(filesBelow(`${t.baseDir}/layers`), []);
});

Deno.test("ImageStore.remove by name only untags while another name is left; by id it wants force across repositories", async () => {
  using layouts = withLayouts("example.com/app");
  await using t = await doubledStore();
  layouts.attach(t);
  const built = buildImage({ dir: layouts.dir("example.com/app"), layers: [layer("a")] });
  await t.store.pull("example.com/app", {});
  await t.store.tag("example.com/app", "mine:1");
  assert.deepEqual((await t.store.inspect("mine:1")).refs, ["docker.io/library/mine:1", "example.com/app:latest"]);
  const id = built.configDigest.slice(7, 19);
  await assert.rejects(t.store.remove(id, false), code("failed_precondition", /several repositories/));
  assert.deepEqual((await t.store.remove("mine:1", false)).deleted, []);
  await t.store.tag("example.com/app", "mine:2");
  assert.equal((await t.store.remove(id, true)).untagged.length, 2);
  assert.equal((await t.store.list()).length, 0);
  await assertConsistent(t);
});

Deno.test("ImageStore names: not_found comes with the name that was meant; an ambiguous prefix is refused", async () => {
  using layouts = withLayouts("docker.io/library/busybox");
  await using t = await doubledStore();
  layouts.attach(t);
  const dir = layouts.dir("docker.io/library/busybox");
  for (let i = 0; i < 20; i++) {
    buildImage({ dir, tag: `v${i}`, layers: [layer(`${i}`)] });
    await t.store.pull(`busybox:v${i}`, {});
  }
  await assert.rejects(t.store.inspect("busibox:v1"), code("not_found", /did you mean busybox:v1/));
  const ids = (await t.store.list()).map((r) => r.id.slice(7));
  const shared = ids.map((i) => i.slice(0, 1)).find((p, i, all) => all.indexOf(p) !== i);
  assert.ok(shared);
  await assert.rejects(t.store.inspect(shared), code("invalid_argument", /fits \d+ images/));
  await assert.rejects(t.store.inspect("Not/A Reference"), code("invalid_argument"));
});
