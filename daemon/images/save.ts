/**
 * Writes images to an archive: docker-archive (layers as plain tars, `manifest.json`, `repositories`) or OCI layout (exact
 * blobs, `index.json`). Streams; nothing is held in memory but a chunk.
 */

import { digestOf } from "../spec/digest_verifier.ts";
import { NyxError } from "../spec/errors.ts";
import { type Descriptor, MEDIA_TYPES } from "../spec/image.ts";
import { familiarReference, familiarRepository, parseReference } from "../spec/reference.ts";
import { loadEntry } from "./commit.ts";
import { parseManifest } from "./documents.ts";
import { hexOf } from "./layout.ts";
import { findImage } from "./names.ts";
import type { ImageRecord, StoredLayer } from "./records.ts";
import type { StoreState } from "./state.ts";
import { decompress } from "./tar_reader.ts";
import { type ArchivePart, writeTar } from "./tar_writer.ts";

/** An image to be saved under some names. */
interface Selected {
  record: ImageRecord;
  manifestBytes: Uint8Array;
  configBytes: Uint8Array;
  /** Canonical; empty when it was asked for by id. */
  refs: string[];
}

/** Bytes read at once. What is inflated from one piece holds the thread, so that one is small. */
const CHUNK = 256 * 1024;
const COMPRESSED_CHUNK = 32 * 1024;

/** Finds what to save; names of one image are put together. */
async function select(state: StoreState, names: readonly string[]): Promise<Selected[]> {
  const out = new Map<string, Selected>();
  for (const name of names) {
    const found = findImage(state.index, name);
    const { record } = found;
    const entry = await loadEntry(state, record);
    if (entry === undefined) throw new NyxError("not_found", `No image ${JSON.stringify(name)} here any more`);
    for (const layer of record.layers) {
      if (!state.blobs.has(layer.stored.digest)) {
        throw new NyxError(
          "failed_precondition",
          `Could not save ${JSON.stringify(name)}: blob ${layer.stored.digest} is gone; pull the image again`,
        );
      }
    }
    const { manifestBytes, configBytes } = entry;
    const selected = out.get(record.manifestDigest) ?? { record, manifestBytes, configBytes, refs: [] };
    if (found.by === "ref" && !found.key.includes("@") && !selected.refs.includes(found.key)) {
      selected.refs.push(found.key);
    }
    out.set(record.manifestDigest, selected);
  }
  return [...out.values()];
}

async function* fileBody(path: string, chunk: number = CHUNK): AsyncGenerator<Uint8Array, void, void> {
  using file = await Deno.open(path, { read: true });
  for (;;) {
    const buffer = new Uint8Array(chunk);
    const n = await file.read(buffer);
    if (n === null) return;
    yield buffer.subarray(0, n);
  }
}

async function* bytesBody(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  yield await Promise.resolve(bytes);
}

function document(name: string, value: unknown): ArchivePart {
  const bytes = value instanceof Uint8Array ? value : new TextEncoder().encode(JSON.stringify(value));
  return { name, size: bytes.byteLength, body: bytesBody(bytes) };
}

function compressionOf(blob: Descriptor): "gzip" | "zstd" | "none" {
  if (/[+.]gzip$/.test(blob.mediaType)) return "gzip";
  return blob.mediaType.endsWith("+zstd") ? "zstd" : "none";
}

function uniqueLayers(images: readonly Selected[]): StoredLayer[] {
  return [...new Map(images.flatMap((i) => i.record.layers).map((l) => [l.diffId, l])).values()];
}

function layerTarName(diffId: string): string {
  return `${hexOf(diffId)}/layer.tar`;
}

async function* dockerParts(state: StoreState, images: Selected[]): AsyncGenerator<ArchivePart, void, void> {
  const repositories: Record<string, Record<string, string>> = {};
  for (const { stored, diffId } of uniqueLayers(images)) {
    const size = state.layers.get(diffId)?.tarSize;
    if (size === undefined) throw new NyxError("failed_precondition", `Layer ${diffId} is gone; pull the image again`);
    const compressed = fileBody(state.paths.blob(stored.digest), COMPRESSED_CHUNK);
    const body = decompress(compressed, compressionOf(stored));
    yield { name: layerTarName(diffId), size, body };
  }
  for (const { record, configBytes, refs } of images) {
    yield document(`${hexOf(record.imageId)}.json`, configBytes);
    const top = record.layers.at(-1);
    for (const ref of refs) {
      const reference = parseReference(ref);
      const tags = repositories[familiarRepository(reference)] ??= {};
      if (top !== undefined) tags[reference.tag ?? "latest"] = hexOf(top.diffId);
    }
  }
  yield document(
    "manifest.json",
    images.map(({ record, refs }) => ({
      Config: `${hexOf(record.imageId)}.json`,
      RepoTags: refs.map((r) => familiarReference(parseReference(r))),
      Layers: record.layers.map((l) => layerTarName(l.diffId)),
    })),
  );
  yield document("repositories", repositories);
}

/** The manifest with the blobs that are here; unchanged, to the byte, when they are its own. */
function manifestWithStored(image: Selected): Uint8Array {
  const { record, manifestBytes } = image;
  if (record.layers.every((l) => l.stored.digest === l.blob.digest)) return manifestBytes;
  const manifest = parseManifest(manifestBytes);
  return new TextEncoder().encode(JSON.stringify({ ...manifest, layers: record.layers.map((l) => l.stored) }));
}

async function* ociParts(state: StoreState, images: Selected[]): AsyncGenerator<ArchivePart, void, void> {
  const blobs = new Map<string, Uint8Array | Descriptor>();
  const manifests: Descriptor[] = [];
  for (const image of images) {
    const bytes = manifestWithStored(image);
    const { record, refs } = image;
    const { os, architecture, variant } = record.config;
    const descriptor: Descriptor = {
      mediaType: record.manifestMediaType,
      digest: digestOf(bytes),
      size: bytes.byteLength,
      platform: { os, architecture, ...(variant === undefined ? {} : { variant }) },
    };
    for (const l of record.layers) blobs.set(l.stored.digest, l.stored);
    blobs.set(record.imageId, image.configBytes);
    blobs.set(descriptor.digest, bytes);
    const annotated = refs.map((ref) => ({
      ...descriptor,
      annotations: { "io.containerd.image.name": ref, "org.opencontainers.image.ref.name": ref },
    }));
    manifests.push(...(annotated.length === 0 ? [descriptor] : annotated));
  }
  yield document("oci-layout", { imageLayoutVersion: "1.0.0" });
  yield document("index.json", { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests });
  for (const [digest, blob] of blobs) {
    const name = `blobs/sha256/${hexOf(digest)}`;
    if (blob instanceof Uint8Array) yield document(name, blob);
    else yield { name, size: blob.size, body: fileBody(state.paths.blob(digest)) };
  }
}

/** How an archive is laid out. */
export type ArchiveFormat = "docker-archive" | "oci-archive";

async function prepare(
  state: StoreState,
  names: readonly string[],
  format: ArchiveFormat,
): Promise<{ parts: AsyncGenerator<ArchivePart, void, void>; held: DisposableStack }> {
  if (names.length === 0) throw new NyxError("invalid_argument", "Could not save: name at least one image");
  const images = await select(state, names);
  const held = new DisposableStack();
  for (const { record } of images) held.use(state.activate(record));
  return { parts: format === "oci-archive" ? ociParts(state, images) : dockerParts(state, images), held };
}

/**
 * Images as one tar. What they need stays until the stream ends or is cancelled.
 *
 * @throws NyxError not_found, failed_precondition before the stream begins
 */
export async function saveArchive(
  state: StoreState,
  names: readonly string[],
  format: ArchiveFormat,
): Promise<ReadableStream<Uint8Array>> {
  const { parts, held } = await prepare(state, names, format);
  const chunks = writeTar(parts);
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await chunks.next();
        if (!done) return controller.enqueue(value);
        held.dispose();
        controller.close();
      } catch (e) {
        held.dispose();
        throw e;
      }
    },
    async cancel() {
      held.dispose();
      await chunks.return();
    },
  });
}

/** Images as an OCI layout in a directory, which must not exist yet. */
export async function saveLayout(state: StoreState, names: readonly string[], dir: string): Promise<void> {
  const { parts, held } = await prepare(state, names, "oci-archive");
  using _ = held;
  await Deno.mkdir(`${dir}/blobs/sha256`, { recursive: true });
  for await (const { name, body } of parts) {
    using file = await Deno.open(`${dir}/${name}`, { write: true, createNew: true });
    for await (const chunk of body) {
      for (let at = 0; at < chunk.byteLength;) at += await file.write(chunk.subarray(at));
    }
  }
}
