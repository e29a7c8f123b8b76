/**
 * Images on their way to and from a build: a base as a directory that buildah reads (containers/image's `dir` transport), linked and
 * not copied; and the result, of which only layers that are not here yet are taken.
 */

import { digestOf } from "../spec/digest_verifier.ts";
import { NyxError } from "../spec/errors.ts";
import { type Descriptor, MEDIA_TYPES } from "../spec/image.ts";
import { parseReference, type Reference } from "../spec/reference.ts";
import type { ArchivedImage } from "./archive_images.ts";
import { loadEntry } from "./commit.ts";
import { parseConfig, parseJsonObject } from "./documents.ts";
import type { LayerFetcher } from "./layer_fetch.ts";
import { type Loaded, loadImages } from "./load.ts";
import type { StoreState } from "./state.ts";

/** A base image as buildah sees it. */
export interface ExportedBase {
  /** Id that it has for buildah. */
  imageId: string;
}

/** A layer of a built image. */
export interface BuiltLayer {
  descriptor: Descriptor;
  /** File on the store's file system; gone afterwards. */
  path: string;
}

/** A built image. */
export interface BuiltImage {
  /** Config document. */
  configBytes: Uint8Array;
  /** Layers by diffID; those that the store has may be missing. */
  layers: ReadonlyMap<string, BuiltLayer>;
  references: Reference[];
}

function hexOf(digest: string): string {
  return digest.slice("sha256:".length);
}

/**
 * buildah refuses to add a layer to an image whose history does not tell of each of its layers, which the image specification allows.
 * Such an image gets a history.
 */
function withHistory(configBytes: Uint8Array): Uint8Array {
  const layers = parseConfig(configBytes).rootfs.diff_ids.length;
  const config = parseJsonObject(configBytes, "image config");
  const history = Array.isArray(config["history"]) ? config["history"] as { empty_layer?: boolean }[] : [];
  if (history.filter((h) => h?.empty_layer !== true).length === layers) return configBytes;
  const made = Array.from({ length: layers }, () => ({ created: "1970-01-01T00:00:00Z", created_by: "unknown" }));
  return new TextEncoder().encode(JSON.stringify({ ...config, history: made }));
}

async function link(from: string, to: string): Promise<void> {
  try {
    await Deno.link(from, to);
  } catch (e) {
    if (e instanceof Deno.errors.AlreadyExists) return;
    if (e instanceof Deno.errors.NotFound) throw e;
    // A file system without hard links.
    await Deno.copyFile(from, to);
  }
}

async function exportBase(
  state: StoreState,
  manifestDigest: string,
  dir: string,
  known: (imageId: string) => boolean,
): Promise<ExportedBase> {
  const record = state.index.images.get(manifestDigest);
  const entry = record === undefined ? undefined : await loadEntry(state, record);
  if (record === undefined || entry === undefined) {
    throw new NyxError("not_found", `Could not build on image ${manifestDigest}: it is no longer here`);
  }
  const configBytes = withHistory(entry.configBytes);
  const imageId = digestOf(configBytes);
  if (known(imageId)) return { imageId };
  await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
  for (const { stored } of record.layers) {
    await link(state.paths.blob(stored.digest), `${dir}/${hexOf(stored.digest)}`).catch((cause) => {
      throw new NyxError("not_found", `Could not build on image ${record.imageId}: blob ${stored.digest} is gone`, {
        cause,
      });
    });
  }
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: imageId, size: configBytes.byteLength },
    layers: record.layers.map(({ stored: { digest, size, mediaType } }) => ({
      mediaType: ociLayerType(mediaType),
      digest,
      size,
    })),
  };
  await Deno.writeFile(`${dir}/${hexOf(imageId)}`, configBytes);
  await Deno.writeTextFile(`${dir}/manifest.json`, JSON.stringify(manifest));
  await Deno.writeTextFile(`${dir}/version`, "Directory Transport Version: 1.1\n");
  return { imageId };
}

function ociLayerType(mediaType: string): string {
  if (mediaType === MEDIA_TYPES.dockerLayerGzip) return MEDIA_TYPES.ociLayerGzip;
  return mediaType === MEDIA_TYPES.dockerLayer ? MEDIA_TYPES.ociLayer : mediaType;
}

/** The blob that the store keeps for a layer that it has unpacked; undefined when one of the two is missing. */
function storedBlob(state: StoreState, diffId: string): Descriptor | undefined {
  if (!state.layers.has(diffId)) return undefined;
  for (const image of state.index.images.values()) {
    for (const layer of image.layers) {
      if (layer.diffId === diffId && state.blobs.has(layer.stored.digest)) return layer.stored;
    }
  }
  return undefined;
}

/** Takes a built image in, under its names. */
async function addBuilt(
  state: StoreState,
  fetcher: LayerFetcher,
  built: BuiltImage,
  signal: AbortSignal,
): Promise<Loaded> {
  const { configBytes, layers, references } = built;
  const config = parseConfig(configBytes, "built image config");
  const files: ArchivedImage["files"] = new Map();
  const descriptors = config.rootfs.diff_ids.map((diffId) => {
    const made = layers.get(diffId);
    if (made === undefined) {
      const { mediaType, digest, size } = storedBlob(state, diffId) ?? missingLayer(diffId);
      return { mediaType, digest, size };
    }
    files.set(made.descriptor.digest, { path: made.path, size: made.descriptor.size });
    return made.descriptor;
  });
  const manifestBytes = new TextEncoder().encode(JSON.stringify({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(configBytes), size: configBytes.byteLength },
    layers: descriptors.map((d) => ({ ...d, mediaType: ociLayerType(d.mediaType) })),
  }));
  const meta = {
    v: 1 as const,
    manifestDigest: digestOf(manifestBytes),
    manifestMediaType: MEDIA_TYPES.ociManifest,
    addedAt: new Date().toISOString(),
    source: "load" as const,
  };
  return await loadImages(state, fetcher, [{ entry: { manifestBytes, configBytes, meta }, references, files }], signal);
}

function missingLayer(diffId: string): never {
  throw new NyxError("data_loss", `Could not take the built image in: its layer ${diffId} is neither here nor in it`);
}

/** The store as builds see it. */
export class BuildImages {
  /**
   * Made by the store.
   *
   * @param state its state
   * @param fetcher takes layers in
   */
  constructor(readonly state: StoreState, readonly fetcher: LayerFetcher) {}

  /**
   * Writes a present image as a directory for `buildah pull dir:…`.
   *
   * @param image held by the caller, so that nothing of it goes meanwhile
   * @param dir made anew
   * @param known whether buildah has an image already; nothing is written then
   * @throws NyxError not_found when the image, or a blob of it, is gone
   */
  exportBase(
    image: { manifestDigest: string },
    dir: string,
    known: (imageId: string) => boolean,
  ): Promise<ExportedBase> {
    return exportBase(this.state, image.manifestDigest, dir, known);
  }

  /** Whether a layer is here with a blob, so that a built image need not bring it. */
  hasLayer(diffId: string): boolean {
    return storedBlob(this.state, diffId) !== undefined;
  }

  /** Takes a built image in, under its names. */
  add(built: Omit<BuiltImage, "references"> & { tags: readonly string[] }, signal: AbortSignal): Promise<Loaded> {
    const { tags, ...rest } = built;
    return addBuilt(this.state, this.fetcher, { ...rest, references: tags.map(parseReference) }, signal);
  }
}
