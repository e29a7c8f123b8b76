/**
 * What images an archive holds: docker-archive (`manifest.json`, as `docker save` writes it) and OCI layout
 * (`index.json`, image-spec v1.1 "Image Layout"). Nothing is believed: documents are checked here, layers when unpacked.
 */

import { createHash } from "node:crypto";
import { digestOf, DigestVerifier } from "../spec/digest_verifier.ts";
import { NyxError } from "../spec/errors.ts";
import { type Descriptor, MEDIA_TYPES, type Platform } from "../spec/image.ts";
import { formatReference, type Reference, tryParseReference } from "../spec/reference.ts";
import { formatPlatform, offeredPlatforms, selectPlatform } from "../spec/platform.ts";
import { parseConfig, parseIndex, parseManifest } from "./documents.ts";
import type { Entry } from "./entries.ts";
import type { ArchiveStage, StagedFile } from "./staging.ts";
import { sniffCompression } from "./tar_reader.ts";

/** An image of an archive. */
export interface ArchivedImage {
  entry: Entry;
  /** Names that the archive gives it. */
  references: Reference[];
  /** Files of its layers by blob digest. */
  files: Map<string, StagedFile>;
}

const REF_NAME = "org.opencontainers.image.ref.name";
const CONTAINERD_NAME = "io.containerd.image.name";
const MAX_IMAGES = 1024;

function refuse(why: string): NyxError {
  return new NyxError("invalid_argument", `Could not load the image archive: ${why}`);
}

/** One image of a docker-archive's manifest.json. */
interface DockerItem {
  config: string;
  repoTags: string[];
  layers: string[];
}

function strings(value: unknown): string[] | undefined {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) && value.every((v): v is string => typeof v === "string") ? value : undefined;
}

function parseDockerManifest(bytes: Uint8Array): DockerItem[] {
  let items: unknown;
  try {
    items = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (e) {
    throw new NyxError("invalid_argument", "Could not load the image archive: manifest.json is not JSON", { cause: e });
  }
  if (!Array.isArray(items) || items.length > MAX_IMAGES) throw refuse("manifest.json is not a list of images");
  return items.map((item) => {
    const { Config: config, RepoTags, Layers } = (item ?? {}) as Record<string, unknown>;
    const repoTags = strings(RepoTags), layers = strings(Layers);
    if (typeof config !== "string" || repoTags === undefined || layers === undefined) {
      throw refuse("manifest.json has an image without Config, RepoTags or Layers");
    }
    return { config, repoTags, layers };
  });
}

function parseNames(names: readonly string[]): Reference[] {
  return names.map((name) => {
    const reference = tryParseReference(name);
    if (reference === undefined) throw refuse(`${JSON.stringify(name.slice(0, 200))} is no image reference`);
    return reference;
  });
}

async function hashFile(file: StagedFile, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  using opened = await Deno.open(file.path, { read: true });
  const buffer = new Uint8Array(256 * 1024);
  for (let n = await opened.read(buffer); n !== null; n = await opened.read(buffer)) {
    signal.throwIfAborted();
    hash.update(buffer.subarray(0, n));
  }
  return `sha256:${hash.digest("hex")}`;
}

/** Descriptor of a docker-archive's layer: usually a plain tar, whose digest then is its diffID. */
async function layerDescriptor(file: StagedFile, diffId: string, signal: AbortSignal): Promise<Descriptor> {
  using opened = await Deno.open(file.path, { read: true });
  const head = new Uint8Array(6);
  await opened.read(head);
  switch (sniffCompression(head)) {
    case "none":
      return { mediaType: MEDIA_TYPES.ociLayer, digest: diffId, size: file.size };
    case "gzip":
      return { mediaType: MEDIA_TYPES.ociLayerGzip, digest: await hashFile(file, signal), size: file.size };
    case "zstd":
      return { mediaType: MEDIA_TYPES.ociLayerZstd, digest: await hashFile(file, signal), size: file.size };
    default:
      throw refuse("a layer is compressed with bzip2 or xz; save it with gzip or zstd");
  }
}

async function dockerImage(stage: ArchiveStage, item: DockerItem, signal: AbortSignal): Promise<ArchivedImage> {
  const configBytes = await stage.read(item.config);
  const config = parseConfig(configBytes, `image config ${JSON.stringify(item.config)}`);
  const diffIds = config.rootfs.diff_ids;
  if (diffIds.length !== item.layers.length) {
    throw refuse(`manifest.json lists ${item.layers.length} layers but the config ${diffIds.length}`);
  }
  const files = new Map<string, StagedFile>();
  const layers: Descriptor[] = [];
  for (const [i, name] of item.layers.entries()) {
    const file = stage.require(name);
    const layer = await layerDescriptor(file, diffIds[i] ?? "", signal);
    files.set(layer.digest, file);
    layers.push(layer);
  }
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(configBytes), size: configBytes.byteLength },
    layers,
  };
  const manifestBytes = new TextEncoder().encode(JSON.stringify(manifest));
  return { entry: entryOf(manifestBytes, configBytes), references: parseNames(item.repoTags), files };
}

function entryOf(manifestBytes: Uint8Array, configBytes: Uint8Array, mediaType?: string): Entry {
  return {
    manifestBytes,
    configBytes,
    meta: {
      v: 1,
      manifestDigest: digestOf(manifestBytes),
      manifestMediaType: mediaType || MEDIA_TYPES.ociManifest,
      addedAt: new Date().toISOString(),
      source: "load",
    },
  };
}

function blobName(digest: string): string {
  return `blobs/${digest.replace(":", "/")}`;
}

/** A document of an OCI layout, checked against its descriptor. */
async function readBlob(stage: ArchiveStage, descriptor: Descriptor, what: string): Promise<Uint8Array> {
  const bytes = await stage.read(blobName(descriptor.digest));
  const verifier = new DigestVerifier(descriptor.digest, descriptor.size);
  verifier.update(bytes);
  verifier.verify(what);
  return bytes;
}

/** The manifest of a descriptor: itself, or the best for the platform out of an index. */
async function pickManifest(
  stage: ArchiveStage,
  descriptor: Descriptor,
  platform: Platform,
  depth = 0,
): Promise<{ descriptor: Descriptor; bytes: Uint8Array }> {
  const bytes = await readBlob(stage, descriptor, "manifest");
  const isIndex = descriptor.mediaType === MEDIA_TYPES.ociIndex || descriptor.mediaType === MEDIA_TYPES.dockerList;
  if (!isIndex) return { descriptor, bytes };
  if (depth === 4) throw refuse("its indexes are nested too deeply");
  const { manifests } = parseIndex(bytes);
  const best = selectPlatform(platform, manifests) ?? (manifests.length === 1 ? manifests[0] : undefined);
  if (best === undefined) {
    throw new NyxError(
      "not_found",
      `Could not load the image archive: it has ${offeredPlatforms(manifests).join(", ")}, not ${
        formatPlatform(platform)
      }`,
    );
  }
  return await pickManifest(stage, best, platform, depth + 1);
}

/**
 * Name in an OCI layout's annotations. A ref.name that is a tag alone names no repository, so it gives none.
 */
function ociNames(annotations: Record<string, string> = {}): Reference[] {
  const full = annotations[CONTAINERD_NAME];
  if (full !== undefined) return parseNames([full]);
  const name = annotations[REF_NAME];
  return name !== undefined && /[/:]/.test(name) ? parseNames([name]) : [];
}

async function ociImage(stage: ArchiveStage, root: Descriptor, platform: Platform): Promise<ArchivedImage> {
  const { descriptor, bytes } = await pickManifest(stage, root, platform);
  const manifest = parseManifest(bytes, `image manifest ${descriptor.digest}`);
  const configBytes = await readBlob(stage, manifest.config, "image config");
  const files = new Map(manifest.layers.map((l) => [l.digest, stage.require(blobName(l.digest))]));
  const entry = entryOf(bytes, configBytes, manifest.mediaType ?? descriptor.mediaType);
  return { entry, references: ociNames(root.annotations), files };
}

/** Roots of index.json that are images: attestations and other artifacts beside them are left out. */
function imageRoots(stage: Descriptor[]): Descriptor[] {
  return stage.filter((d) => d.platform?.os !== "unknown" && d.artifactType === undefined);
}

/**
 * Images of an archive.
 *
 * Archives that are both kinds (as recent `docker save` writes them) are read as OCI layouts, whose manifests keep their
 * digests, and named also as manifest.json says.
 *
 * @param platform choice among an index's images
 * @throws NyxError invalid_argument when it is neither kind, or incomplete; data_loss when a digest differs
 */
export async function archivedImages(
  stage: ArchiveStage,
  platform: Platform,
  signal: AbortSignal,
): Promise<ArchivedImage[]> {
  const docker = await stage.tryRead("manifest.json");
  const items = docker === undefined ? [] : parseDockerManifest(docker);
  const index = await stage.tryRead("index.json");
  const images: ArchivedImage[] = [];
  if (index !== undefined) {
    const roots = imageRoots(parseIndex(index, "index.json").manifests);
    if (roots.length > MAX_IMAGES) throw refuse(`it has more than ${MAX_IMAGES} images`);
    for (const root of roots) images.push(await ociImage(stage, root, platform));
    await addDockerNames(stage, images, items);
  } else {
    for (const item of items) images.push(await dockerImage(stage, item, signal));
  }
  if (images.length === 0) {
    throw refuse(
      docker === undefined && index === undefined
        ? "it has neither manifest.json nor index.json, so it is no docker-archive and no OCI layout"
        : "it holds no image",
    );
  }
  return images;
}

async function addDockerNames(stage: ArchiveStage, images: ArchivedImage[], items: DockerItem[]): Promise<void> {
  for (const item of items) {
    const id = digestOf(await stage.read(item.config));
    for (const image of images) {
      if (digestOf(image.entry.configBytes) !== id) continue;
      const have = new Set(image.references.map(formatReference));
      image.references.push(...parseNames(item.repoTags).filter((r) => !have.has(formatReference(r))));
    }
  }
}
