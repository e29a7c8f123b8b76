import { strict as assert } from "node:assert";
import { parseReference } from "../spec/reference.ts";
import { closestNames, tryFindImage } from "./names.ts";
import { reachable, unreachable } from "./reachability.ts";
import { ImageIndex, type ImageRecord } from "./records.ts";
import { planPrune, planRemoval } from "./remove.ts";

const d = (c: string) => `sha256:${c.padStart(64, "0")}`;

function image(manifest: string, id: string, layers: [diffId: string, blob: string, stored?: string][]): ImageRecord {
  const blob = (c: string) => ({ mediaType: "x", digest: d(c), size: 1 });
  return {
    manifestDigest: d(manifest),
    manifestMediaType: "m",
    manifestSize: 1,
    imageId: d(id),
    configSize: 1,
    config: { os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: [] } },
    layers: layers.map(([diffId, b, stored]) => ({ diffId: d(diffId), blob: blob(b), stored: blob(stored ?? b) })),
  };
}

function index(images: [ImageRecord, ...string[]][]): ImageIndex {
  const out = new ImageIndex();
  for (const [record, ...refs] of images) {
    out.addImage(record);
    for (const ref of refs) {
      const reference = parseReference(ref);
      out.setRef({
        reference,
        manifestDigest: record.manifestDigest,
        addedAt: "",
        source: "pull",
        indexDigest: d("f0"),
      });
    }
    if (refs.length === 0) {
      out.untagged.set(record.manifestDigest, { manifestDigest: record.manifestDigest, addedAt: "" });
    }
  }
  return out;
}

const one = image("a1", "c1", [["d1", "b1"], ["d2", "b2", "b9"]]);
const two = image("a2", "c2", [["d1", "b1"], ["d3", "b3"]]);
const none = { images: [], layers: [] };

Deno.test("reachable keeps documents, indexes, layers and the blob that stands in for another", () => {
  const keep = reachable(index([[one, "app:1"], [two]]), none);
  for (const b of ["a1", "c1", "a2", "c2", "b1", "b2", "b9", "b3", "f0"]) assert.ok(keep.blobs.has(d(b)), b);
  for (const l of ["d1", "d2", "d3"]) assert.ok(keep.layers.has(d(l)), l);
});

Deno.test("unreachable names what only a removed image had, never what containers or pulls hold", () => {
  const all = { blobs: ["a1", "a2", "b1", "b2", "b3"].map(d), layers: ["d1", "d2", "d3"].map(d) };
  const without = new Set([two.manifestDigest]);
  const gone = unreachable(all, reachable(index([[one, "app:1"], [two, "app:2"]]), none, without));
  assert.deepEqual(gone, { blobs: [d("a2"), d("b3")], layers: [d("d3")] });
  const held = unreachable(all, reachable(index([[one, "app:1"]]), { images: [], layers: [d("d3")] }));
  assert.deepEqual(held.layers, []);
  const pulling = unreachable(all, reachable(index([[one, "app:1"]]), { images: [two], layers: [] }));
  assert.deepEqual(pulling, { blobs: [], layers: [] });
});

Deno.test("planRemoval: names, last name, in use, force, several repositories", () => {
  const idx = index([[one, "app:1", "app:2", "other.example/app:1"], [two]]);
  const unused = () => [];
  assert.deepEqual(planRemoval(idx, "app:1", false, unused).deletes, false);
  assert.throws(() => planRemoval(idx, one.imageId, false, unused), /several repositories/);
  assert.equal(planRemoval(idx, one.imageId, true, unused).refs.length, 3);
  const forced = planRemoval(idx, one.imageId, true, () => ["web"]);
  assert.deepEqual([forced.deletes, forced.keeps], [false, true]);
  assert.throws(() => planRemoval(idx, two.imageId, true, () => ["web"]), /no name to take/);
  assert.equal(planRemoval(idx, two.imageId, false, unused).deletes, true);
  assert.throws(() => planRemoval(idx, "nothere", false, unused), /No image "nothere"/);
});

Deno.test("planPrune takes untagged images, with all also named ones, and spares those in use", () => {
  const idx = index([[one, "app:1"], [two]]);
  const users = (id: string) => (id === one.imageId ? ["web"] : []);
  assert.deepEqual(planPrune(idx, false, users), { remove: [two.imageId], inUse: [one.imageId] });
  assert.deepEqual(planPrune(idx, true, () => []).remove, [one.imageId, two.imageId]);
});

Deno.test("tryFindImage: whole id, reference, digest reference, then prefix; a name that looks like hex is a name first", () => {
  const idx = index([[one, "deadbeef", "x.example/app:1"], [two]]);
  assert.equal(tryFindImage(idx, "deadbeef")?.by, "ref");
  assert.equal(tryFindImage(idx, one.imageId)?.by, "id");
  assert.equal(tryFindImage(idx, one.imageId.slice(7))?.by, "id");
  assert.equal(tryFindImage(idx, `x.example/app@${d("f0")}`)?.record, one);
  assert.equal(tryFindImage(idx, `y.example/app@${d("f0")}`), undefined);
  assert.throws(() => tryFindImage(idx, "0000"), /fits 2 images/);
  assert.equal(tryFindImage(idx, "f".repeat(64)), undefined);
  assert.deepEqual(closestNames(idx, "deadbef"), ["deadbeef:latest"]);
  assert.deepEqual(closestNames(idx, "wrong.example/app:9"), ["x.example/app:1"]);
});
