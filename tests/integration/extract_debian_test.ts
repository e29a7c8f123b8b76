import assert from "node:assert/strict";
import { layerDiffPath } from "../../daemon/spec/layer_store.ts";
import { linuxFile } from "../../ffi/linux/file.ts";
import { extractLayer } from "../../workers/extract/extract.ts";
import { fileChunks } from "../../workers/extract/source.ts";
import { MEDIA_TYPES } from "../../daemon/spec/image.ts";
import { type CachedLayer, debianLayers, debianRoot } from "../support/debian_root.ts";
import { LayerFixture, sha256, WIDE_LIMITS } from "../support/layer_fixture.ts";
import { run } from "../support/random_tree.ts";
import { snapshotDifference, treeSnapshot } from "../support/tree_snapshot.ts";

/** An OCI layout whose one image has the layer and nothing else. */
function writeLayout(dir: string, layer: CachedLayer): void {
  const blobs = `${dir}/blobs/sha256`;
  Deno.mkdirSync(blobs, { recursive: true });
  const put = (value: unknown, mediaType: string) => {
    const bytes = new TextEncoder().encode(JSON.stringify(value));
    Deno.writeFileSync(`${blobs}/${sha256(bytes).slice(7)}`, bytes);
    return { mediaType, digest: sha256(bytes), size: bytes.byteLength };
  };
  Deno.symlinkSync(layer.path, `${blobs}/${layer.digest.slice(7)}`);
  const rootfs = { type: "layers", diff_ids: [layer.diffId] };
  const config = put({ architecture: "amd64", os: "linux", config: {}, rootfs, history: [{}] }, MEDIA_TYPES.ociConfig);
  const layers = [{ mediaType: MEDIA_TYPES.ociLayerGzip, digest: layer.digest, size: layer.size }];
  const manifest = put(
    { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers },
    MEDIA_TYPES.ociManifest,
  );
  const annotations = { "org.opencontainers.image.ref.name": "root" };
  Deno.writeTextFileSync(`${dir}/oci-layout`, JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  Deno.writeTextFileSync(
    `${dir}/index.json`,
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
  );
}

/** Memory where there is enough, because three roots take a slow disk a minute. */
function workDir(): string | undefined {
  const space = linuxFile().statfs("/dev/shm");
  return space.blocksAvailable * space.blockSize > 4 * 2 ** 30 ? "/dev/shm" : undefined;
}

Deno.test("extract: a Debian root of 15,000+ entries is what GNU tar and umoci unpack: content, owner, mode, links, xattrs, times", async () => {
  const debian = await debianRoot();
  assert.ok(debian.entries >= 15_000, `${debian.entries} entries`);
  using f = new LayerFixture(workDir());
  const k = linuxFile();
  const { path, digest, size, diffId } = debian.layer;
  const blob = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest, size };
  const record = await extractLayer(k, f.store, { blob, diffId, source: fileChunks(k, path), limits: WIDE_LIMITS });
  const ours = treeSnapshot(layerDiffPath(f.layersDir, diffId));

  const byTar = `${f.base}/tar`;
  Deno.mkdirSync(byTar);
  run("tar", ["-C", byTar, "--numeric-owner", "-p", "--xattrs", "--xattrs-include=*", "-xf", debian.tar]);
  assert.deepEqual(snapshotDifference(treeSnapshot(byTar), ours), []);
  const du = Number(new TextDecoder().decode(run("du", ["-s", "-B1", byTar])).split("\t")[0]);
  assert.ok(Math.abs(record.diskBytes - du) <= du / 100, `${record.diskBytes} on record, du says ${du}`);
  run("rm", ["-rf", byTar]);

  writeLayout(`${f.base}/oci`, debian.layer);
  run("umoci", ["raw", "unpack", "--image", `${f.base}/oci:root`, `${f.base}/umoci`]);
  assert.deepEqual(snapshotDifference(treeSnapshot(`${f.base}/umoci`), ours), []);
});

Deno.test("extract: the same root as 10 layers at once is, mounted as an overlay, the same tree", async () => {
  using f = new LayerFixture(workDir());
  const k = linuxFile();
  const layers = await debianLayers(10);
  await Promise.all(layers.map(({ path, digest, size, diffId }) => {
    const blob = { mediaType: MEDIA_TYPES.ociLayerGzip, digest, size };
    return extractLayer(k, f.store, { blob, diffId, source: fileChunks(k, path), limits: WIDE_LIMITS });
  }));
  const lowers = layers.map((l) => layerDiffPath(f.layersDir, l.diffId)).reverse().join(":");
  const [merged, byTar] = [`${f.base}/merged`, `${f.base}/tar`];
  Deno.mkdirSync(merged);
  Deno.mkdirSync(byTar);
  run("tar", ["-C", byTar, "--numeric-owner", "-p", "--xattrs", "--xattrs-include=*", "-xf", (await debianRoot()).tar]);
  run("mount", ["-t", "overlay", "nyx-test", "-o", `ro,lowerdir=${lowers}`, merged]);
  try {
    assert.deepEqual(snapshotDifference(treeSnapshot(byTar), treeSnapshot(merged)), []);
  } finally {
    run("umount", [merged]);
  }
});
