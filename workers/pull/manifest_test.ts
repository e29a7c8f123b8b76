import { strict as assert } from "node:assert";
import { type ErrorCode, NyxError } from "../../daemon/spec/errors.ts";
import { MEDIA_TYPES } from "../../daemon/spec/image.ts";
import { MAX_LAYERS, parseConfigDocument, parseManifestDocument } from "./manifest.ts";

const DIGEST = `sha256:${"a".repeat(64)}`;
const CONFIG = { mediaType: MEDIA_TYPES.ociConfig, digest: DIGEST, size: 100 };
const LAYER = { mediaType: MEDIA_TYPES.ociLayerGzip, digest: DIGEST, size: 100 };
const MANIFEST = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config: CONFIG, layers: [LAYER] };
const ENTRY = { mediaType: MEDIA_TYPES.ociManifest, digest: DIGEST, size: 100 };
const INDEX = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [ENTRY] };

function encode(document: unknown): Uint8Array {
  return new TextEncoder().encode(typeof document === "string" ? document : JSON.stringify(document));
}

function parse(document: unknown, contentType: string | null = null, expectedType?: string) {
  return parseManifestDocument({
    bytes: encode(document),
    contentType,
    what: "app:1",
    ...(expectedType === undefined ? {} : { expectedType }),
  });
}

function refused(code: ErrorCode, message: RegExp, run: () => unknown): void {
  assert.throws(run, (e) => {
    assert.ok(e instanceof NyxError, String(e));
    assert.equal(e.code, code, e.message);
    assert.match(e.message, message);
    return true;
  });
}

Deno.test("parseManifestDocument: OCI and Docker manifests and indexes, by body, header or shape", () => {
  assert.equal(parse(MANIFEST, MEDIA_TYPES.ociManifest).kind, "manifest");
  assert.equal(parse(INDEX, MEDIA_TYPES.ociIndex).kind, "index");
  assert.equal(parse({ ...MANIFEST, mediaType: MEDIA_TYPES.dockerManifest }).mediaType, MEDIA_TYPES.dockerManifest);
  assert.equal(parse({ ...INDEX, mediaType: MEDIA_TYPES.dockerList }).kind, "index");
  const { mediaType: _, ...bare } = MANIFEST;
  assert.equal(parse(bare).mediaType, MEDIA_TYPES.ociManifest);
  assert.equal(parse(bare, `${MEDIA_TYPES.dockerManifest}; charset=utf-8`).mediaType, MEDIA_TYPES.dockerManifest);
  assert.equal(parse(MANIFEST, "application/json").kind, "manifest");
  assert.equal(parse(MANIFEST, "text/plain").kind, "manifest");
});

Deno.test("attack: a document that could be read as manifest and as index is refused", () => {
  refused("data_loss", /both layers and manifests/, () => parse({ ...MANIFEST, manifests: [ENTRY] }));
  refused("data_loss", /both layers and manifests/, () => parse({ ...INDEX, layers: [] }, MEDIA_TYPES.ociIndex));
});

Deno.test("attack: media types of header, body, descriptor and shape must agree", () => {
  refused("data_loss", /at once/, () => parse(MANIFEST, MEDIA_TYPES.ociIndex));
  refused("data_loss", /at once/, () => parse(MANIFEST, MEDIA_TYPES.dockerManifest));
  refused("data_loss", /at once/, () => parse(MANIFEST, MEDIA_TYPES.ociManifest, MEDIA_TYPES.ociIndex));
  refused("data_loss", /does not fit/, () => parse({ ...INDEX, mediaType: MEDIA_TYPES.ociManifest }));
  refused("data_loss", /does not fit/, () => parse({ ...MANIFEST, mediaType: MEDIA_TYPES.ociIndex }));
  refused("data_loss", /not a text/, () => parse({ ...MANIFEST, mediaType: 7 }));
  refused("unimplemented", /no image manifest/, () => parse({ ...MANIFEST, mediaType: "application/x" }));
});

Deno.test("parseManifestDocument: schema 1 is refused with what to do", () => {
  const schema1 = { schemaVersion: 1, name: "app", tag: "1", fsLayers: [] };
  refused("unimplemented", /schema 1.*Push the image again/, () => parse(schema1));
  refused(
    "unimplemented",
    /schema 1/,
    () => parse(MANIFEST, "application/vnd.docker.distribution.manifest.v1+prettyjws"),
  );
});

Deno.test("attack: malformed documents are refused with the place", () => {
  refused("data_loss", /not valid JSON/, () => parse("{"));
  refused("data_loss", /not valid JSON/, () => parse("\ufeff{}"));
  refused("data_loss", /not a JSON object/, () => parse("[]"));
  refused("data_loss", /not a JSON object/, () => parse("null"));
  refused("data_loss", /schemaVersion/, () => parse({ ...MANIFEST, schemaVersion: 3 }));
  refused("data_loss", /config is not an object/, () => parse({ ...MANIFEST, config: null }));
  refused("data_loss", /layers are not a list/, () => parse({ ...MANIFEST, layers: {} }));
  refused(
    "data_loss",
    /layers\[1\].*digest/,
    () => parse({ ...MANIFEST, layers: [LAYER, { ...LAYER, digest: "sha256:../x" }] }),
  );
  refused("data_loss", /layers\[0\].*size/, () => parse({ ...MANIFEST, layers: [{ ...LAYER, size: -1 }] }));
  refused("data_loss", /layers\[0\].*size/, () => parse({ ...MANIFEST, layers: [{ ...LAYER, size: "1" }] }));
  refused("data_loss", /config has \d+ bytes/, () => parse({ ...MANIFEST, config: { ...CONFIG, size: 2 ** 40 } }));
  refused("data_loss", /501 layers/, () => parse({ ...MANIFEST, layers: Array(MAX_LAYERS + 1).fill(LAYER) }));
  refused("data_loss", /malformed platform/, () => parse({ ...INDEX, manifests: [{ ...ENTRY, platform: { os: 1 } }] }));
  refused("data_loss", /manifests are not a list/, () => parse({ ...INDEX, manifests: "x" }));
});

Deno.test("parseManifestDocument: what is no container image, or has layers nyx cannot unpack, is refused by type", () => {
  const helm = { ...CONFIG, mediaType: "application/vnd.cncf.helm.config.v1+json" };
  refused("unimplemented", /no container image.*helm/, () => parse({ ...MANIFEST, config: helm }));
  const encrypted = { ...LAYER, mediaType: "application/vnd.oci.image.layer.v1.tar+gzip+encrypted" };
  refused("unimplemented", /layers\[0\].*encrypted/, () => parse({ ...MANIFEST, layers: [encrypted] }));
});

Deno.test("parseConfigDocument: as many diffIDs as layers, each a digest", () => {
  const config = { os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: [DIGEST] } };
  assert.equal(parseConfigDocument(encode(config), 1, "app").os, "linux");
  refused("data_loss", /1 diff_ids for the manifest's 2 layers/, () => parseConfigDocument(encode(config), 2, "app"));
  const bad = { ...config, rootfs: { type: "layers", diff_ids: ["sha256:../x"] } };
  refused("data_loss", /diff_ids\[0\]/, () => parseConfigDocument(encode(bad), 1, "app"));
  refused("data_loss", /rootfs/, () => parseConfigDocument(encode({ os: "linux" }), 0, "app"));
  refused("data_loss", /architecture/, () => parseConfigDocument(encode({ ...config, architecture: {} }), 1, "app"));
  refused(
    "data_loss",
    /config is not an object/,
    () => parseConfigDocument(encode({ ...config, config: [] }), 1, "app"),
  );
});
