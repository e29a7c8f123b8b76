/**
 * Manifests, indexes and configs from registries: which kind a document is, and whether it may be trusted to be one.
 *
 * image-spec v1.1 (manifest, image-index, config) and Docker's manifest v2 schema 2. A document that could be read as two kinds is
 * refused, whatever its media type says.
 */

import { isDigest } from "../../daemon/spec/digest.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import {
  type Descriptor,
  type ImageConfig,
  type ImageIndex,
  type ImageManifest,
  MEDIA_TYPES,
} from "../../daemon/spec/image.ts";

/** Most bytes of a manifest or index (the distribution spec asks registries to take at least as much). */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
/** Most bytes of a config document. */
export const MAX_CONFIG_BYTES = 8 * 1024 * 1024;
/** Most layers of an image: what an overlay mount can stack. */
export const MAX_LAYERS = 500;
/** Most entries of an index. */
const MAX_INDEX_ENTRIES = 10_000;

const INDEX_TYPES: readonly string[] = [MEDIA_TYPES.ociIndex, MEDIA_TYPES.dockerList];
const MANIFEST_TYPES: readonly string[] = [MEDIA_TYPES.ociManifest, MEDIA_TYPES.dockerManifest];
const CONFIG_TYPES: readonly string[] = [MEDIA_TYPES.ociConfig, MEDIA_TYPES.dockerConfig];
const SCHEMA1_TYPES: readonly string[] = [
  "application/vnd.docker.distribution.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v1+prettyjws",
];
const LAYER_TYPES: readonly string[] = [
  MEDIA_TYPES.ociLayer,
  MEDIA_TYPES.ociLayerGzip,
  MEDIA_TYPES.ociLayerZstd,
  MEDIA_TYPES.dockerLayer,
  MEDIA_TYPES.dockerLayerGzip,
  MEDIA_TYPES.dockerForeignGzip,
  "application/vnd.docker.image.rootfs.diff.tar.zstd",
  "application/vnd.docker.image.rootfs.foreign.diff.tar",
  "application/vnd.oci.image.layer.nondistributable.v1.tar",
  "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
  "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
];

/** Value of the Accept header for manifests. */
export const ACCEPT_MANIFESTS = [...MANIFEST_TYPES, ...INDEX_TYPES].join(", ");

/** What a manifest endpoint gave. */
export type ManifestDocument =
  | { kind: "index"; mediaType: string; index: ImageIndex }
  | { kind: "manifest"; mediaType: string; manifest: ImageManifest };

/** Bytes and where their type was said. */
export interface RawDocument {
  bytes: Uint8Array;
  /** Content-Type header of the response. */
  contentType: string | null;
  /** Media type in the descriptor that led here, when one did. */
  expectedType?: string;
  /** Name for errors: `busybox:latest`. */
  what: string;
}

type Fields = Record<string, unknown>;

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function refuse(what: string, why: string): NyxError {
  return new NyxError("data_loss", `Refused ${what}: ${why}`);
}

function parseJson(bytes: Uint8Array, what: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    throw refuse(what, "it is not valid JSON");
  }
  if (!isFields(value)) throw refuse(what, "it is not a JSON object");
  return value;
}

/**
 * Parses and validates what a manifest endpoint gave. Digests are verified elsewhere, on the exact bytes.
 *
 * @throws NyxError data_loss when it is malformed or ambiguous; unimplemented for schema 1 and for what is no container image
 */
export function parseManifestDocument(raw: RawDocument): ManifestDocument {
  const { bytes, what } = raw;
  const fields = parseJson(bytes, what);
  const mediaType = documentType(raw, fields);
  if (fields["schemaVersion"] !== 2) {
    throw refuse(what, `its schemaVersion is ${JSON.stringify(fields["schemaVersion"])?.slice(0, 40)}, not 2`);
  }
  if (INDEX_TYPES.includes(mediaType)) {
    return { kind: "index", mediaType, index: checkIndex(fields, what) };
  }
  return { kind: "manifest", mediaType, manifest: checkManifest(fields, what) };
}

/** Decides the media type: header, body and descriptor must not contradict one another, nor the document's shape. */
function documentType(raw: RawDocument, fields: Fields): string {
  const { what, expectedType } = raw;
  const header = raw.contentType?.split(";")[0]?.trim().toLowerCase() ?? "";
  const inside = fields["mediaType"];
  if (inside !== undefined && typeof inside !== "string") throw refuse(what, "its mediaType is not a text");
  if (SCHEMA1_TYPES.includes(header) || SCHEMA1_TYPES.includes(inside ?? "") || fields["schemaVersion"] === 1) {
    throw new NyxError(
      "unimplemented",
      `Refused ${what}: it is in Docker's manifest schema 1, which cannot be verified safely and was retired. ` +
        "Push the image again with a current tool",
    );
  }
  if ("layers" in fields && "manifests" in fields) {
    throw refuse(what, "it has both layers and manifests, so it could be read as two different things");
  }
  const known = (type: string) => INDEX_TYPES.includes(type) || MANIFEST_TYPES.includes(type);
  const claims = [inside, known(header) ? header : undefined, expectedType].filter((t) => t !== undefined);
  const shape = "manifests" in fields ? MEDIA_TYPES.ociIndex : MEDIA_TYPES.ociManifest;
  const type = claims[0] ?? shape;
  const other = claims.find((claim) => claim !== type);
  if (other !== undefined) {
    throw refuse(what, `it is said to be ${other.slice(0, 100)} and ${type.slice(0, 100)} at once`);
  }
  if (!known(type)) {
    throw new NyxError("unimplemented", `Refused ${what}: ${type.slice(0, 100)} is no image manifest or index`);
  }
  if (INDEX_TYPES.includes(type) !== INDEX_TYPES.includes(shape)) {
    throw refuse(what, `its media type ${type} does not fit its content`);
  }
  return type;
}

function checkDescriptor(value: unknown, name: string, what: string): Descriptor {
  if (!isFields(value)) throw refuse(what, `${name} is not an object`);
  const { mediaType, digest, size } = value;
  if (typeof mediaType !== "string" || mediaType === "") throw refuse(what, `${name} has no mediaType`);
  if (typeof digest !== "string" || !isDigest(digest)) {
    throw refuse(what, `${name} has no sha256 or sha512 digest`);
  }
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    throw refuse(what, `${name} has no valid size`);
  }
  return value as unknown as Descriptor;
}

function checkIndex(fields: Fields, what: string): ImageIndex {
  const { manifests } = fields;
  if (!Array.isArray(manifests)) throw refuse(what, "its manifests are not a list");
  if (manifests.length > MAX_INDEX_ENTRIES) {
    throw refuse(what, `it lists ${manifests.length} manifests, ${MAX_INDEX_ENTRIES} are allowed`);
  }
  manifests.forEach((entry, i) => {
    checkDescriptor(entry, `manifests[${i}]`, what);
    const { platform } = entry as Fields;
    if (platform === null) delete (entry as Fields)["platform"];
    if (platform === undefined || platform === null) return;
    const valid = isFields(platform) && typeof platform["os"] === "string" &&
      typeof platform["architecture"] === "string" &&
      ["variant", "os.version"].every((k) => platform[k] === undefined || typeof platform[k] === "string");
    if (!valid) throw refuse(what, `manifests[${i}] has a malformed platform`);
  });
  return fields as unknown as ImageIndex;
}

function checkManifest(fields: Fields, what: string): ImageManifest {
  const { config, layers } = fields;
  const configDescriptor = checkDescriptor(config, "config", what);
  if (!CONFIG_TYPES.includes(configDescriptor.mediaType)) {
    throw new NyxError(
      "unimplemented",
      `Refused ${what}: it is no container image, its config is of type ${configDescriptor.mediaType.slice(0, 100)}`,
    );
  }
  if (configDescriptor.size > MAX_CONFIG_BYTES) {
    throw refuse(what, `its config has ${configDescriptor.size} bytes, ${MAX_CONFIG_BYTES} are allowed`);
  }
  if (!Array.isArray(layers)) throw refuse(what, "its layers are not a list");
  if (layers.length > MAX_LAYERS) throw refuse(what, `it has ${layers.length} layers, ${MAX_LAYERS} are allowed`);
  layers.forEach((layer, i) => {
    const { mediaType } = checkDescriptor(layer, `layers[${i}]`, what);
    if (!LAYER_TYPES.includes(mediaType)) {
      throw new NyxError(
        "unimplemented",
        `Refused ${what}: layers[${i}] is of type ${mediaType.slice(0, 100)}, which nyx cannot unpack`,
      );
    }
  });
  return fields as unknown as ImageManifest;
}

/**
 * Parses and validates an image's config document.
 *
 * @param layerCount layers of its manifest; the config must name as many diffIDs
 * @throws NyxError data_loss
 */
export function parseConfigDocument(bytes: Uint8Array, layerCount: number, what: string): ImageConfig {
  const name = `config of ${what}`;
  const fields = parseJson(bytes, name);
  const { rootfs, config, history } = fields;
  for (const key of ["os", "architecture", "variant"]) {
    const value = fields[key];
    if (value !== undefined && typeof value !== "string") throw refuse(name, `its ${key} is not a text`);
  }
  if (!isFields(rootfs) || rootfs["type"] !== "layers") throw refuse(name, 'its rootfs is not of type "layers"');
  const diffIds = rootfs["diff_ids"] ?? [];
  if (!Array.isArray(diffIds)) throw refuse(name, "its diff_ids are not a list");
  if (diffIds.length !== layerCount) {
    throw refuse(name, `it names ${diffIds.length} diff_ids for the manifest's ${layerCount} layers`);
  }
  diffIds.forEach((id, i) => {
    if (typeof id !== "string" || !isDigest(id)) throw refuse(name, `diff_ids[${i}] is not a digest`);
  });
  if (config !== undefined && config !== null && !isFields(config)) throw refuse(name, "its config is not an object");
  if (history !== undefined && history !== null && !Array.isArray(history)) {
    throw refuse(name, "its history is not a list");
  }
  return fields as unknown as ImageConfig;
}
