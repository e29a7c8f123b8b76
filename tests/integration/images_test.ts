/** The image store over real workers and a real registry. Needs root, docker-registry and skopeo. */

import { strict as assert } from "node:assert";
import { existsSync } from "node:fs";
import { layerDiffPath } from "../../daemon/spec/layer_store.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import type { PullEvent } from "../../daemon/spec/image.ts";
import { type RealStore, realStore } from "../support/images_real.ts";
import { filesBelow } from "../support/images_store.ts";
import { du } from "../support/images_stages.ts";
import { buildImage, buildIndex, busyboxImage, pushLayout, skopeo, tar } from "../support/oci.ts";
import { startRegistry } from "../support/registry.ts";

if (Deno.uid() !== 0) throw new Error("tests/integration/images_test.ts needs root");

function temporary(prefix = "nyx-images-t-") {
  const path = Deno.makeTempDirSync({ prefix });
  return { path, [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }) };
}

function code(expected: string, pattern?: RegExp) {
  return (e: unknown) => {
    assert.ok(e instanceof NyxError, String(e));
    assert.equal(e.code, expected, e.message);
    if (pattern) assert.match(e.message, pattern);
    return true;
  };
}

/** df's numbers against du's, within 1 % and mostly exact. */
async function assertUsage(t: RealStore): Promise<void> {
  const usage = await t.store.usage();
  const [images = 0, layers = 0] = await du(`${t.baseDir}/images`, `${t.baseDir}/layers`);
  const whole = images + layers;
  assert.ok(Math.abs(usage.images - whole) <= whole / 100, `df ${usage.images}, du ${whole}`);
  for (const row of await t.store.list()) {
    const { layers } = await t.store.inspect(row.id);
    for (const l of layers) {
      const [disk = 0] = await du(layerDiffPath(`${t.baseDir}/layers`, l.diffId));
      assert.ok(Math.abs(l.diskBytes - disk) <= Math.max(8192, disk / 100), `${l.diffId}: ${l.diskBytes}, du ${disk}`);
    }
  }
}

/** Stops every worker from outliving the test's own store, and checks that nothing is left below the base directory. */
function assertEmpty(t: RealStore): void {
  assert.deepEqual(filesBelow(`${t.baseDir}/images`), []);
  assert.deepEqual(filesBelow(`${t.baseDir}/layers`), []);
}

const file = (path: string, data: string) => [{ path, data }];

Deno.test("ImageStore pulls gzip, zstd, plain, Docker schema 2 and multi-platform images from a real registry", async () => {
  await using registry = await startRegistry();
  await using t = await realStore();
  using dir = temporary();
  const kinds = [
    { tag: "gzip", compression: "gzip" },
    { tag: "zstd", compression: "zstd" },
    { tag: "plain", compression: "none" },
    { tag: "docker", compression: "gzip", docker: true },
  ] as const;
  for (const kind of kinds) {
    const built = buildImage({
      dir: dir.path,
      ...kind,
      layers: [file("base", "same in all"), [{ path: "etc/", type: "dir" }, ...file("etc/kind", kind.tag)]],
      config: { Cmd: ["sh"], Env: ["A=1"], Labels: { kind: kind.tag } },
    });
    await pushLayout(dir.path, kind.tag, `${registry.host}/kinds:${kind.tag}`);
    const events: PullEvent[] = [];
    const result = await t.store.pull(`${registry.host}/kinds:${kind.tag}`, { onEvent: (e) => events.push(e) });
    assert.equal(result.id, built.configDigest);
    assert.equal(result.digest, built.manifestDigest);
    assert.deepEqual(result.config.cmd, ["sh"]);
    assert.equal(events.at(-1)?.phase, "done");
    const top = layerDiffPath(`${t.baseDir}/layers`, built.diffIds[1] ?? "");
    assert.equal(Deno.readTextFileSync(`${top}/etc/kind`), kind.tag);
    assert.equal((await t.store.inspect(result.id)).labels.kind, kind.tag);
    // A base for buildah, written unless buildah has it.
    const image = { manifestDigest: built.manifestDigest };
    const base = await t.store.builds.exportBase(image, `${dir.path}/known`, () => true);
    assert.equal(existsSync(`${dir.path}/known`), false);
    const asked: string[] = [];
    const written = await t.store.builds.exportBase(image, `${dir.path}/base-${kind.tag}`, (id) => asked.push(id) < 0);
    assert.deepEqual([written.imageId, ...asked], [base.imageId, base.imageId]);
    assert.ok(existsSync(`${dir.path}/base-${kind.tag}/manifest.json`));
    // The base layer is unpacked already: other compressions of it are not even downloaded.
    const cached = events.filter((e) => e.phase === "layer").map((e) => e.cached);
    assert.deepEqual(cached.sort(), kind.tag === "gzip" ? [false, false] : [false, true]);
  }
  for (const docker of [false, true]) {
    const tag = docker ? "list" : "index";
    const arm = { os: "linux", architecture: "arm64", variant: "v8" };
    const built = buildIndex([
      { docker, layers: [file("arch", `${tag} amd64`)] },
      { docker, layers: [file("arch", `${tag} arm64`)], platform: arm },
    ], { dir: dir.path, tag, docker });
    await pushLayout(dir.path, tag, `${registry.host}/kinds:${tag}`, { all: true });
    const native = await t.store.pull(`${registry.host}/kinds:${tag}`, {});
    assert.equal(native.id, built.images[0]?.configDigest);
    assert.equal(native.digest, built.indexDigest);
    const other = await t.store.pull(`${registry.host}/kinds:${tag}`, { platform: "linux/arm64" });
    assert.equal(other.id, built.images[1]?.configDigest);
    await assert.rejects(t.store.pull(`${registry.host}/kinds:${tag}`, { platform: "linux/s390x" }), code("not_found"));
    using byDigest = await t.store.ensure(`${registry.host}/kinds@${built.indexDigest}`, { policy: "never" });
    assert.equal(byDigest.imageId, built.images[1]?.configDigest);
  }
  await assertUsage(t);
  const rows = await t.store.list();
  await t.restart();
  assert.deepEqual(await t.store.list(), rows);
  await t.store.collectGarbage();
  assert.deepEqual(await t.store.list(), rows);
  await assertUsage(t);
});

Deno.test("ImageStore: two concurrent pulls of 60 layers share every download, and an image in the making stays", async () => {
  await using registry = await startRegistry();
  await using t = await realStore();
  using dir = temporary();
  const layers = Array.from({ length: 60 }, (_, i) => file(`f${i}`, `content ${i}`));
  const built = buildImage({ dir: dir.path, layers });
  await pushLayout(dir.path, "latest", `${registry.host}/many:latest`);
  const [a, b] = await Promise.all([
    t.store.pull(`${registry.host}/many`, {}),
    t.store.pull(`${registry.host}/many:latest`, {}),
  ]);
  assert.equal(a.id, b.id);
  const gets = registry.log().split("\n").filter((l) => /"GET \/v2\/many\/blobs\//.test(l));
  const blobGets = new Map<string, number>();
  for (const line of gets) {
    const digest = /sha256:[0-9a-f]{64}/.exec(line)?.[0] ?? "";
    blobGets.set(digest, (blobGets.get(digest) ?? 0) + 1);
  }
  for (const l of built.layers) assert.ok((blobGets.get(l.digest) ?? 0) <= 1, `${l.digest} was asked for again`);
  {
    using handle = await t.store.ensure(`${registry.host}/many`, { policy: "missing" });
    assert.deepEqual(handle.layers, built.diffIds);
    await assert.rejects(t.store.remove(`${registry.host}/many`, false), code("failed_precondition", /being made/));
  }
  assert.deepEqual((await t.store.remove(`${registry.host}/many`, false)).deleted.length, 61);
  assertEmpty(t);
});

Deno.test("ImageStore: a re-pulled tag moves, the old image stays; removal in any order leaves du consistent", async () => {
  await using registry = await startRegistry();
  await using t = await realStore();
  using dir = temporary();
  const base = file("base", "b".repeat(100_000));
  const ref = `${registry.host}/moving`;
  const ids: string[] = [];
  for (const version of ["one", "two", "three"]) {
    ids.push(buildImage({ dir: dir.path, layers: [base, file("version", version)] }).configDigest);
    await pushLayout(dir.path, "latest", `${ref}:latest`);
    assert.equal((await t.store.pull(ref, {})).id, ids.at(-1));
    await assertUsage(t);
  }
  await t.restart();
  await t.store.collectGarbage();
  assert.deepEqual(new Set((await t.store.list()).map((r) => r.id)), new Set(ids));
  assert.equal((await t.store.list()).filter((r) => r.refs.length === 0).length, 2);
  t.users.set(ids[0] ?? "", ["old-container"]);
  const pruned = await t.store.prune({ dryRun: false, all: false });
  assert.deepEqual(pruned.removed, [ids[1]?.slice(7, 19)]);
  assert.ok(pruned.reclaimed > 0);
  await assertUsage(t);
  await t.store.remove(ref, false);
  await assertUsage(t);
  t.users.clear();
  await t.store.remove(ids[0] ?? "", false);
  assertEmpty(t);
});

Deno.test("ImageStore refuses a diffID that lies and an image for another system, and keeps nothing of them", async () => {
  await using registry = await startRegistry();
  await using t = await realStore();
  using dir = temporary();
  const lie = `sha256:${"1".repeat(64)}`;
  const layers = [file("a", "a"), file("b", "b")];
  const honest = buildImage({ dir: dir.path, tag: "honest", layers });
  buildImage({
    dir: dir.path,
    tag: "lie",
    layers,
    configPatch: { rootfs: { type: "layers", diff_ids: [honest.diffIds[0], lie] } },
  });
  buildImage({ dir: dir.path, tag: "windows", layers, configPatch: { os: "windows" } });
  for (const tag of ["lie", "windows"]) await pushLayout(dir.path, tag, `${registry.host}/bad:${tag}`);
  await assert.rejects(t.store.pull(`${registry.host}/bad:lie`, {}), code("data_loss"));
  assertEmpty(t);
  await assert.rejects(t.store.pull(`${registry.host}/bad:windows`, {}), code("not_found", /windows/));
  assertEmpty(t);
  assert.deepEqual(await t.store.list(), []);
});

Deno.test("ImageStore: a gzip bomb is refused by the extract limits and nothing of it stays", async () => {
  await using registry = await startRegistry();
  await using t = await realStore({ limits: { maxBytes: 8 * 1024 * 1024 } });
  using dir = temporary();
  buildImage({ dir: dir.path, layers: [[{ path: "zeros", data: new Uint8Array(32 * 1024 * 1024) }]] });
  await pushLayout(dir.path, "latest", `${registry.host}/bomb:latest`);
  await assert.rejects(
    t.store.pull(`${registry.host}/bomb`, {}),
    (e) => e instanceof NyxError && e.code !== "internal",
  );
  assert.deepEqual(filesBelow(`${t.baseDir}/layers`), []);
  assert.deepEqual(await t.store.list(), []);
  await t.store.prune({ dryRun: false, all: true });
  assertEmpty(t);
});

Deno.test("ImageStore: a daemon killed during a pull resumes it and leaves no orphan", async () => {
  await using registry = await startRegistry();
  await using t = await realStore();
  using dir = temporary();
  const random = new Uint8Array(8 * 1024 * 1024);
  for (let at = 0; at < random.byteLength; at += 65536) crypto.getRandomValues(random.subarray(at, at + 65536));
  const built = buildImage({ dir: dir.path, layers: [file("small", "s"), [{ path: "big", data: random }]] });
  await pushLayout(dir.path, "latest", `${registry.host}/kill:latest`);
  const ready = Promise.withResolvers<void>();
  const pulling = t.store.pull(`${registry.host}/kill`, {
    onEvent: (e) => {
      if (e.phase === "progress" && (e.current ?? 0) > 0) ready.resolve();
    },
  });
  await Promise.race([ready.promise, pulling]);
  // Ends the workers in the middle of what they do, as a crash would.
  await t.restart();
  await assert.rejects(pulling, NyxError);
  await t.store.collectGarbage();
  assert.deepEqual(filesBelow(`${t.baseDir}/layers`).filter((f) => f.startsWith(".tmp-")), []);
  const done = await t.store.pull(`${registry.host}/kill`, {});
  assert.equal(done.id, built.configDigest);
  assert.deepEqual(filesBelow(`${t.baseDir}/images/ingest`), []);
  await t.store.remove(`${registry.host}/kill`, false);
  assertEmpty(t);
});

Deno.test("ImageStore.save and load: ids, names and digests survive; skopeo reads both kinds and writes what load reads", async () => {
  await using registry = await startRegistry();
  await using t = await realStore();
  using dir = temporary();
  const built = busyboxImage({ dir: dir.path, tag: "latest" });
  const twice = file("twice", "2");
  const second = buildImage({
    dir: dir.path,
    tag: "zstd",
    compression: "zstd",
    layers: [twice, file("b", "b"), twice],
  });
  for (const tag of ["latest", "zstd"]) await pushLayout(dir.path, tag, `${registry.host}/box:${tag}`);
  const names = [`${registry.host}/box:latest`, `${registry.host}/box:zstd`];
  for (const name of names) await t.store.pull(name, {});
  for (const format of ["docker-archive", "oci-archive"] as const) {
    const archive = `${dir.path}/${format}.tar`;
    await Deno.writeFile(archive, await t.store.save(names, format));
    // Each name by itself is what skopeo addresses.
    for (const [i, image] of [built, second].entries()) {
      const one = `${dir.path}/${format}-${i}.tar`;
      await Deno.writeFile(one, await t.store.save([names[i] ?? ""], format));
      const out = `${dir.path}/out-${format}-${i}`;
      await skopeo("copy", "--insecure-policy", `${format}:${one}`, `dir:${out}`);
      const manifest = JSON.parse(Deno.readTextFileSync(`${out}/manifest.json`));
      assert.equal(manifest.config.digest, image.configDigest);
      assert.equal(manifest.layers.length, image.diffIds.length);
      if (format === "oci-archive") assert.deepEqual(Deno.readFileSync(`${out}/manifest.json`), image.manifestBytes);
    }
    for (const compressor of ["cat", "gzip", "zstd"]) {
      await using fresh = await realStore();
      const child = new Deno.Command(compressor, {
        args: compressor === "cat" ? [archive] : ["-c", archive],
        stdout: "piped",
      })
        .spawn();
      const loaded = await fresh.store.load(child.stdout, new AbortController().signal);
      await child.status;
      assert.deepEqual(new Set(loaded.refs), new Set(names));
      assert.deepEqual(new Set(loaded.ids), new Set([built.configDigest, second.configDigest]));
      {
        using handle = await fresh.store.ensure(names[0] ?? "", { policy: "never" });
        assert.deepEqual(handle.layers, built.diffIds);
        if (format === "oci-archive") assert.equal(handle.manifestDigest, built.manifestDigest);
      }
      await assertUsage(fresh);
      for (const name of names) await fresh.store.remove(name, false);
      assertEmpty(fresh);
    }
  }
  await using other = await realStore();
  for (
    const [format, suffix] of [["docker-archive", ":example.com/by-skopeo:1"], [
      "oci-archive",
      ":example.com/by-skopeo:2",
    ]]
  ) {
    const archive = `${dir.path}/skopeo-${format}.tar`;
    await skopeo("copy", "--insecure-policy", `oci:${dir.path}:latest`, `${format}:${archive}${suffix}`);
    const loaded = await other.store.load((await Deno.open(archive)).readable, new AbortController().signal);
    assert.deepEqual(loaded.ids, [built.configDigest]);
    assert.deepEqual(loaded.refs, [suffix?.slice(1)]);
  }
});

Deno.test("ImageStore.saveLayout writes a directory that skopeo and umoci read", async () => {
  await using registry = await startRegistry();
  await using t = await realStore();
  using dir = temporary();
  const built = buildImage({ dir: `${dir.path}/in`, layers: [file("hello", "world")] });
  await pushLayout(built.dir, "latest", `${registry.host}/layout:latest`);
  await t.store.pull(`${registry.host}/layout`, {});
  await t.store.saveLayout([`${registry.host}/layout`], `${dir.path}/out`);
  const inspected = JSON.parse(await skopeo("inspect", "--raw", `oci:${dir.path}/out`));
  assert.equal(inspected.config.digest, built.configDigest);
});

Deno.test("ImageStore.load refuses hostile archives and keeps nothing of them", async (test) => {
  await using t = await realStore({ limits: { archiveEntries: 100 } });
  using dir = temporary();
  const built = buildImage({ dir: dir.path, layers: [file("a", "a")] });
  const blob = (digest: string) => Deno.readFileSync(`${dir.path}/blobs/sha256/${digest.slice(7)}`);
  const name = (digest: string) => `blobs/sha256/${digest.slice(7)}`;
  const layerDigest = built.layers[0]?.digest ?? "";
  const oci = {
    layout: { path: "oci-layout", data: `{"imageLayoutVersion":"1.0.0"}` },
    index: { path: "index.json", data: Deno.readTextFileSync(`${dir.path}/index.json`) },
    manifest: { path: name(built.manifestDigest), data: built.manifestBytes },
    config: { path: name(built.configDigest), data: built.configBytes },
    layer: { path: name(layerDigest), data: blob(layerDigest) },
  };
  const docker = (layers: string[]) => ({
    path: "manifest.json",
    data: JSON.stringify([{ Config: "c.json", RepoTags: ["x:1"], Layers: layers }]),
  });
  const config = { path: "c.json", data: built.configBytes };
  const cases: Record<string, [Uint8Array, string]> = {
    "a member that climbs out": [tar([{ path: "../../etc/passwd", data: "x" }]), "invalid_argument"],
    "an absolute member": [tar([{ path: "/etc/passwd", data: "x" }]), "invalid_argument"],
    "a layer that is a symlink out of the archive": [
      tar([docker(["l.tar"]), config, { path: "l.tar", type: "symlink", link: "../../../etc/shadow" }]),
      "invalid_argument",
    ],
    "a layer that is a symlink to itself": [
      tar([docker(["l.tar"]), config, { path: "l.tar", type: "symlink", link: "l.tar" }]),
      "invalid_argument",
    ],
    "a docker layer whose bytes are not its diffID": [
      tar([docker(["l.tar"]), config, { path: "l.tar", data: tar(file("evil", "evil")) }]),
      "data_loss",
    ],
    "a name that is no reference": [
      tar([{ path: "manifest.json", data: `[{"Config":"c.json","RepoTags":["../../x"],"Layers":["l.tar"]}]` }, config, {
        path: "l.tar",
        data: tar(file("a", "a")),
      }]),
      "invalid_argument",
    ],
    "a huge manifest.json": [
      tar([{ path: "manifest.json", data: new Uint8Array(5 * 1024 * 1024).fill(32) }]),
      "invalid_argument",
    ],
    "JSON nested to exhaust the stack": [
      tar([{ path: "manifest.json", data: "[".repeat(1_000_000) }]),
      "invalid_argument",
    ],
    "a wrong manifest digest": [tar([...Object.values(oci), { ...oci.manifest, data: "{}" }]), "data_loss"],
    "a wrong config digest": [tar([...Object.values(oci), { ...oci.config, data: "{}" }]), "data_loss"],
    "a wrong layer digest": [
      tar([...Object.values(oci), { ...oci.layer, data: blob(layerDigest).map((b) => b ^ 1) }]),
      "data_loss",
    ],
    "a missing blob": [tar([oci.layout, oci.index, oci.manifest, oci.config]), "invalid_argument"],
    "too many members": [tar(Array.from({ length: 101 }, (_, i) => ({ path: `f${i}`, data: "" }))), "invalid_argument"],
    "a tar that is cut off": [tar(Object.values(oci)).subarray(0, 1700), "invalid_argument"],
    "something that is no tar": [new TextEncoder().encode("#!/bin/sh\n".repeat(200)), "invalid_argument"],
    "nothing": [new Uint8Array(0), "invalid_argument"],
    "gzip that is cut off": [new Uint8Array([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1]), "invalid_argument"],
    "an archive of something else": [tar(file("README", "hi")), "invalid_argument"],
  };
  for (const [title, [bytes, expected]] of Object.entries(cases)) {
    await test.step(title, async () => {
      await assert.rejects(t.store.load(ReadableStream.from([bytes]), new AbortController().signal), code(expected));
      assertEmpty(t);
      assert.deepEqual(await t.store.list(), []);
    });
  }
  await test.step("and takes the honest one", async () => {
    const loaded = await t.store.load(ReadableStream.from([tar(Object.values(oci))]), new AbortController().signal);
    assert.deepEqual(loaded, { refs: [], ids: [built.configDigest] });
  });
  await test.step("and one that is both kinds, named by its manifest.json, as recent docker save writes it", async () => {
    const item = { Config: name(built.configDigest), RepoTags: ["named:1"], Layers: [name(layerDigest)] };
    const both = tar([...Object.values(oci), { path: "manifest.json", data: JSON.stringify([item]) }]);
    const loaded = await t.store.load(ReadableStream.from([both]), new AbortController().signal);
    assert.deepEqual(loaded, { refs: ["docker.io/library/named:1"], ids: [built.configDigest] });
    using handle = await t.store.ensure("named:1", { policy: "never" });
    assert.equal(handle.manifestDigest, built.manifestDigest);
  });
  await test.step("a load that is cancelled leaves nothing", async () => {
    await t.store.prune({ dryRun: false, all: true });
    const controller = new AbortController();
    const endless = new ReadableStream<Uint8Array>({
      pull(c) {
        c.enqueue(tar([{ path: "big", data: new Uint8Array(1024), size: 1e9 }]).subarray(0, 1024));
        controller.abort();
      },
    });
    await assert.rejects(t.store.load(endless, controller.signal));
    assertEmpty(t);
  });
});

Deno.test("ImageStore on a disk that is too small: resource_exhausted, nothing half-done, usable afterwards", async () => {
  await using registry = await startRegistry();
  using dir = temporary();
  const disk = `${dir.path}/disk`;
  await Deno.mkdir(disk);
  const mounted = await new Deno.Command("mount", { args: ["-t", "tmpfs", "-o", "size=24m", "nyx-images-small", disk] })
    .output();
  assert.ok(mounted.success);
  try {
    await using t = await realStore({ tempDir: disk, limits: { minFreeBytes: 1024 * 1024 } });
    const built = buildImage({ dir: dir.path, layers: [[{ path: "zeros", data: new Uint8Array(40 * 1024 * 1024) }]] });
    buildImage({ dir: dir.path, tag: "small", layers: [file("small", "small")] });
    for (const tag of ["latest", "small"]) await pushLayout(dir.path, tag, `${registry.host}/full:${tag}`);
    await assert.rejects(t.store.pull(`${registry.host}/full`, {}), code("resource_exhausted"));
    const layerTar = tar([{ path: "zeros", data: new Uint8Array(40 * 1024 * 1024) }]);
    const archive = tar([
      { path: "manifest.json", data: `[{"Config":"c","RepoTags":[],"Layers":["l"]}]` },
      { path: "c", data: built.configBytes },
      { path: "l", data: layerTar },
    ]);
    await assert.rejects(
      t.store.load(ReadableStream.from([archive]), new AbortController().signal),
      code("resource_exhausted"),
    );
    assert.deepEqual(filesBelow(`${t.baseDir}/layers`), []);
    await t.store.prune({ dryRun: false, all: true });
    assertEmpty(t);
    await t.store.pull(`${registry.host}/full:small`, {});
    assert.equal((await t.store.list()).length, 1);
  } finally {
    await new Deno.Command("umount", { args: [disk] }).output();
  }
});

Deno.test("ImageStore ends idle workers and starts them again when they are needed", async () => {
  await using registry = await startRegistry();
  await using t = await realStore({ idleMs: 100 });
  using dir = temporary();
  buildImage({ dir: dir.path, layers: [file("a", "a")] });
  await pushLayout(dir.path, "latest", `${registry.host}/idle:latest`);
  await t.store.pull(`${registry.host}/idle`, {});
  const { pull } = t.started;
  await new Promise((r) => setTimeout(r, 400));
  await t.store.pull(`${registry.host}/idle`, {});
  assert.equal(t.started.pull, pull + 1);
});
