import assert from "node:assert/strict";
import {
  LAYER_VERSION,
  layerDiffPath,
  layerDir,
  layerKey,
  layerRecordPath,
  relativeDiffPath,
  shortName,
  tryParseLayerRecord,
} from "./layer_store.ts";

const DIFF_ID = `sha256:${"0123456789abcdef".repeat(4)}`;
/** Options of mount(2): one page, with its NUL. */
const PAGE = 4096;

Deno.test("layer paths: below the layers directory, by the diffID's first 32 digits", () => {
  const key = "0123456789abcdef0123456789abcdef";
  assert.equal(layerKey(DIFF_ID), key);
  assert.equal(layerDir("/s", DIFF_ID), `/s/${key}`);
  assert.equal(layerDiffPath("/s", DIFF_ID), `/s/${key}/fs`);
  assert.equal(layerRecordPath("/s", DIFF_ID), `/s/${key}/layer.json`);
  assert.equal(relativeDiffPath(DIFF_ID), `${key}/fs`);
});

Deno.test("layerKey: refuses whatever is not a sha256 diffID", () => {
  for (
    const bad of [
      "",
      "sha256:",
      `${DIFF_ID}0`,
      DIFF_ID.toUpperCase(),
      `sha256:${"../".repeat(21)}a`,
      `sha512:${"0".repeat(128)}`,
    ]
  ) {
    assert.throws(() => layerKey(bad), { code: "invalid_argument" }, bad);
  }
});

Deno.test("overlay options fit a page: 100 layers by relative path, 500 by short name", () => {
  const upper = `,upperdir=/${"u".repeat(200)},workdir=/${"w".repeat(200)}`;
  const relative = Array.from({ length: 100 }, () => relativeDiffPath(DIFF_ID)).join(":");
  assert.ok(`lowerdir=${relative}`.length + upper.length < PAGE);
  const short = Array.from({ length: 500 }, (_, i) => shortName(i));
  assert.equal(new Set(short).size, 500);
  assert.ok(`lowerdir=${short.join(":")}`.length + upper.length < PAGE);
});

Deno.test("tryParseLayerRecord: a whole record of this version and diffID, else undefined", () => {
  const record = { version: LAYER_VERSION, diffId: DIFF_ID, tarSize: 1, diskBytes: 2, entries: 3, bootId: "b" };
  assert.deepEqual(tryParseLayerRecord(JSON.stringify(record), DIFF_ID), record);
  assert.deepEqual(tryParseLayerRecord(JSON.stringify(record)), record);
  assert.equal(tryParseLayerRecord(JSON.stringify(record), DIFF_ID.replace("0", "1")), undefined);
  for (
    const bad of [
      "",
      "null",
      "[]",
      "{",
      JSON.stringify({ ...record, version: 99 }),
      JSON.stringify({ ...record, tarSize: "1" }),
    ]
  ) {
    assert.equal(tryParseLayerRecord(bad), undefined, bad);
  }
});
