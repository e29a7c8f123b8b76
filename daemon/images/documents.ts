/**
 * Manifest and config documents: parsed and checked before anything is done with them (OCI image-spec v1.1, Docker image
 * manifest v2 schema 2). They come from registries and archives and may hold anything.
 */

import { NyxError } from "../spec/errors.ts";
import {
  type Descriptor,
  type ImageConfig,
  type ImageExecConfig,
  type ImageIndex,
  type ImageManifest,
  MEDIA_TYPES,
} from "../spec/image.ts";
import { SHA256_DIGEST } from "./layout.ts";

/** Most bytes of one JSON document: what registries accept for a manifest (distribution spec). */
export const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024;
/** Most layers of an image: what an overlay mount takes. */
export const MAX_LAYERS = 500;

const LAYER_TYPES: ReadonlySet<string> = new Set([
  MEDIA_TYPES.ociLayer,
  MEDIA_TYPES.ociLayerGzip,
  MEDIA_TYPES.ociLayerZstd,
  MEDIA_TYPES.dockerLayer,
  MEDIA_TYPES.dockerLayerGzip,
]);

type JsonObject = Record<string, unknown>;

function broken(what: string, why: string, digest?: string): NyxError {
  return new NyxError("data_loss", `Could not read ${what}${digest ? ` ${digest}` : ""}: ${why}`, {
    ...(digest === undefined ? {} : { context: { digest } }),
  });
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A JSON object of bounded size. */
export function parseJsonObject(bytes: Uint8Array, what: string): JsonObject {
  if (bytes.byteLength > MAX_DOCUMENT_BYTES) {
    throw broken(what, `its ${bytes.byteLength} bytes exceed the limit of ${MAX_DOCUMENT_BYTES}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (e) {
    throw new NyxError("data_loss", `Could not read ${what}: it is not JSON in UTF-8`, { cause: e });
  }
  if (!isObject(value)) throw broken(what, "it is not a JSON object");
  return value;
}

function parseDescriptor(value: unknown, what: string): Descriptor {
  if (!isObject(value)) throw broken(what, "a descriptor is not an object");
  const { mediaType, digest, size } = value;
  if (typeof digest !== "string" || !SHA256_DIGEST.test(digest)) {
    throw broken(what, `${JSON.stringify(digest)?.slice(0, 100)} is not a sha256 digest`);
  }
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    throw broken(what, `the size of ${digest} is not a whole number`);
  }
  if (mediaType !== undefined && typeof mediaType !== "string") throw broken(what, `${digest} has no media type`);
  return { ...value, mediaType: mediaType ?? "", digest, size } as Descriptor;
}

/**
 * An image manifest, checked.
 *
 * @throws NyxError data_loss when it is malformed, ambiguous (both `layers` and `manifests`) or too large;
 * unimplemented when it holds no container image
 */
export function parseManifest(bytes: Uint8Array, what = "manifest"): ImageManifest {
  const doc = parseJsonObject(bytes, what);
  if ("manifests" in doc) {
    throw broken(what, "layers" in doc ? "it is both a manifest and an index" : "it is an index, not a manifest");
  }
  if (doc.schemaVersion !== 2) throw broken(what, `schemaVersion ${JSON.stringify(doc.schemaVersion)} is not 2`);
  if (!Array.isArray(doc.layers)) throw broken(what, "it has no layers");
  if (doc.layers.length > MAX_LAYERS) throw broken(what, `its ${doc.layers.length} layers exceed ${MAX_LAYERS}`);
  const layers = doc.layers.map((l) => parseDescriptor(l, what));
  for (const { mediaType, digest } of layers) {
    if (!LAYER_TYPES.has(mediaType)) {
      throw new NyxError(
        "unimplemented",
        `Could not use ${what}: layer ${digest} has media type ${
          JSON.stringify(mediaType)
        }, so it is no Linux container image`,
        { context: { digest, mediaType } },
      );
    }
  }
  return { ...doc, schemaVersion: 2, config: parseDescriptor(doc.config, what), layers } as ImageManifest;
}

/** An image index or manifest list, checked. Throws as {@linkcode parseManifest} does. */
export function parseIndex(bytes: Uint8Array, what = "index"): ImageIndex {
  const doc = parseJsonObject(bytes, what);
  if ("layers" in doc) throw broken(what, "it is both a manifest and an index");
  if (!Array.isArray(doc.manifests) || doc.manifests.length > 4096) throw broken(what, "it has no list of manifests");
  const manifests = doc.manifests.map((m) => parseDescriptor(m, what));
  return { ...doc, schemaVersion: 2, manifests } as ImageIndex;
}

function strings(value: unknown, field: string, what: string): string[] {
  if (typeof value === "string") return [value];
  if (Array.isArray(value) && value.every((v): v is string => typeof v === "string")) return value;
  throw broken(what, `${field} is not a list of strings`);
}

function keyed(value: unknown, field: string, what: string): JsonObject {
  if (isObject(value)) return value;
  throw broken(what, `${field} is not an object`);
}

function labels(value: unknown, what: string): Record<string, string> {
  const all = keyed(value, "Labels", what);
  for (const [k, v] of Object.entries(all)) {
    if (typeof v !== "string") throw broken(what, `label ${JSON.stringify(k)} is not a string`);
  }
  return all as Record<string, string>;
}

const HEALTH_DURATIONS = ["Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"] as const;

function healthcheck(value: unknown, what: string): NonNullable<ImageExecConfig["Healthcheck"]> {
  const doc = keyed(value, "Healthcheck", what);
  const out: NonNullable<ImageExecConfig["Healthcheck"]> = {};
  if (doc.Test !== undefined && doc.Test !== null) out.Test = strings(doc.Test, "Healthcheck.Test", what);
  for (const key of HEALTH_DURATIONS) {
    const v = doc[key];
    if (v === undefined || v === null) continue;
    if (typeof v !== "number" || !Number.isFinite(v) || v < 0) throw broken(what, `Healthcheck.${key} is not a number`);
    out[key] = v;
  }
  return out;
}

/** Execution defaults; Docker writes null for what is unset, and a single string for a list of one. */
function parseExecConfig(value: unknown, what: string): ImageExecConfig {
  const out: ImageExecConfig = {};
  for (const [key, v] of Object.entries(keyed(value, "config", what))) {
    if (v === null || v === undefined) continue;
    switch (key) {
      case "User":
      case "WorkingDir":
      case "StopSignal":
        if (typeof v !== "string") throw broken(what, `${key} is not a string`);
        out[key] = v;
        break;
      case "Env":
      case "Entrypoint":
      case "Cmd":
      case "Shell":
      case "OnBuild":
        out[key] = strings(v, key, what);
        break;
      case "ExposedPorts":
      case "Volumes":
        out[key] = Object.fromEntries(Object.keys(keyed(v, key, what)).map((k) => [k, {}]));
        break;
      case "Labels":
        out.Labels = labels(v, what);
        break;
      case "Healthcheck":
        out.Healthcheck = healthcheck(v, what);
    }
  }
  return out;
}

function optionalString(doc: JsonObject, key: string): Record<string, string> {
  const v = doc[key];
  return typeof v === "string" && v !== "" ? { [key]: v } : {};
}

/**
 * An image config, checked and with Docker's nulls taken out. Only known fields are kept.
 *
 * @throws NyxError data_loss when it is malformed
 */
export function parseConfig(bytes: Uint8Array, what = "image config"): ImageConfig {
  const doc = parseJsonObject(bytes, what);
  const rootfs = keyed(doc.rootfs, "rootfs", what);
  const diffIds = strings(rootfs.diff_ids ?? [], "rootfs.diff_ids", what);
  for (const d of diffIds) {
    if (!SHA256_DIGEST.test(d)) throw broken(what, `diffID ${JSON.stringify(d.slice(0, 100))} is not a sha256 digest`);
  }
  if (typeof doc.os !== "string" || typeof doc.architecture !== "string") {
    throw broken(what, "os or architecture is missing");
  }
  const history = Array.isArray(doc.history) ? doc.history.filter(isObject) : [];
  return {
    ...optionalString(doc, "created"),
    ...optionalString(doc, "author"),
    architecture: doc.architecture,
    os: doc.os,
    ...optionalString(doc, "variant"),
    ...optionalString(doc, "os.version"),
    config: doc.config === undefined || doc.config === null ? {} : parseExecConfig(doc.config, what),
    rootfs: { type: "layers", diff_ids: diffIds },
    history: history.map((h) => ({
      ...optionalString(h, "created"),
      ...optionalString(h, "created_by"),
      ...optionalString(h, "author"),
      ...optionalString(h, "comment"),
      ...(h.empty_layer === true ? { empty_layer: true } : {}),
    })),
  };
}

/** One layer of an image: its unpacked identity and its compressed blob. */
export interface ImageLayer {
  diffId: string;
  blob: Descriptor;
}

/** The layers of an image, bottom first; throws data_loss when manifest and config do not fit together. */
export function pairLayers(manifest: ImageManifest, config: ImageConfig, what = "image"): ImageLayer[] {
  const diffIds = config.rootfs.diff_ids;
  if (diffIds.length !== manifest.layers.length) {
    throw broken(what, `its manifest has ${manifest.layers.length} layers but its config ${diffIds.length} diffIDs`);
  }
  return manifest.layers.map((blob, i) => ({ blob, diffId: diffIds[i] ?? "" }));
}
