import assert from "node:assert/strict";
import { layerDiffPath } from "../../daemon/spec/layer_store.ts";
import { linuxFile } from "../../ffi/linux/file.ts";
import { extractLayer } from "../../workers/extract/extract.ts";
import { fileChunks } from "../../workers/extract/source.ts";
import { debianRoot } from "../support/debian_root.ts";
import { LayerFixture, WIDE_LIMITS } from "../support/layer_fixture.ts";
import { run } from "../support/random_tree.ts";
import { snapshotDifference, treeSnapshot } from "../support/tree_snapshot.ts";

/** Bytes of a text as a umoci layout: one image whose only layer is the root. */
function umociLayout(dir: string, layer: string): void {
  run("umoci", ["init", "--layout", dir]);
  run("umoci", ["new", "--image", `${dir}:root`]);
  run("umoci", ["raw", "add-layer", "--image", `${dir}:root`, layer]);
}

Deno.test("extract: a Debian root of 15,000+ entries is what GNU tar and umoci unpack: content, owner, mode, links, xattrs, times", async () => {
  const debian = await debianRoot();
  assert.ok(debian.entries >= 15_000, `${debian.entries} entries`);
  using f = new LayerFixture();
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

  umociLayout(`${f.base}/oci`, debian.tar);
  run("umoci", ["raw", "unpack", "--image", `${f.base}/oci:root`, `${f.base}/umoci`]);
  assert.deepEqual(snapshotDifference(treeSnapshot(`${f.base}/umoci`), ours), []);
});
