/** Loads images from an archive: all of it, or nothing. */

import { toNyxError } from "../spec/errors.ts";
import type { Platform } from "../spec/image.ts";
import { formatReference } from "../spec/reference.ts";
import { type ArchivedImage, archivedImages } from "./archive_images.ts";
import { collect } from "./collect.ts";
import { addUntagged, assignRef } from "./commit.ts";
import { ensureDirectory, recordOf, writeDocumentBlob } from "./entries.ts";
import type { LayerFetcher } from "./layer_fetch.ts";
import { withStored } from "./pull.ts";
import type { ImageRecord, StoredLayer } from "./records.ts";
import { ArchiveStage } from "./staging.ts";
import type { StoreState } from "./state.ts";

/** What was loaded. */
export interface Loaded {
  /** Canonical references. */
  refs: string[];
  /** Image ids. */
  ids: string[];
}

/**
 * Loads an archive.
 *
 * @param body tar of a docker-archive or an OCI layout; plain, gzip or zstd
 * @param platform choice where the archive has several
 * @throws NyxError invalid_argument, data_loss, resource_exhausted; nothing is named then
 */
export async function loadArchive(
  state: StoreState,
  layers: LayerFetcher,
  body: AsyncIterable<Uint8Array>,
  platform: Platform,
  signal: AbortSignal,
): Promise<Loaded> {
  await ensureDirectory(state.paths.blobsDir);
  await using stage = await ArchiveStage.spool(body, state.paths.stagingDir, state.limits, signal);
  return await loadImages(state, layers, await archivedImages(stage, platform, signal), signal);
}

/** Takes images in whose files lie on the store's file system: all of them, or none. */
export async function loadImages(
  state: StoreState,
  layers: LayerFetcher,
  images: ArchivedImage[],
  signal: AbortSignal,
): Promise<Loaded> {
  const records = images.map((i) => recordOf(i.entry));
  using held = new DisposableStack();
  for (const record of records) held.use(state.activate(record));
  try {
    const whole: ImageRecord[] = [];
    for (const [i, image] of images.entries()) {
      const record = records[i];
      if (record !== undefined) whole.push({ ...record, layers: await adoptLayers(layers, record, image, signal) });
    }
    return await commitAll(state, images, whole);
  } catch (e) {
    held.dispose();
    await collect(state).catch((error) => state.log.warn("Could not clear what a failed load left", { error }));
    throw signal.aborted ? toNyxError(signal.reason) : e;
  }
}

/** Unpacks the layers of one image side by side; the pool of extract workers bounds how many. */
async function adoptLayers(
  fetcher: LayerFetcher,
  record: ImageRecord,
  image: ArchivedImage,
  signal: AbortSignal,
): Promise<StoredLayer[]> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const unique = [...new Map(record.layers.map((l) => [l.diffId, l])).values()];
  let failure: { error: unknown } | undefined;
  const stored = new Map<string, StoredLayer["stored"]>();
  await Promise.all(unique.map(async (layer) => {
    const file = image.files.get(layer.blob.digest);
    try {
      const taken = await fetcher.adopt(layer, file?.path ?? "", either);
      stored.set(layer.diffId, taken.stored);
    } catch (error) {
      failure ??= { error };
      stop.abort(error);
    }
  }));
  if (failure !== undefined) throw failure.error;
  return record.layers.map((l) => ({ ...l, stored: stored.get(l.diffId) ?? l.blob }));
}

async function commitAll(state: StoreState, images: ArchivedImage[], records: ImageRecord[]): Promise<Loaded> {
  const refs: string[] = [];
  for (const image of images) {
    for (const bytes of [image.entry.manifestBytes, image.entry.configBytes]) {
      state.blobs.set(await writeDocumentBlob(state.paths, bytes), bytes.byteLength);
    }
  }
  await state.mutate(async () => {
    for (const [i, image] of images.entries()) {
      const record = records[i];
      if (record === undefined) continue;
      const entry = withStored(image.entry, record);
      for (const reference of image.references) {
        await assignRef(state, reference, entry, record);
        refs.push(formatReference(reference));
      }
      if (image.references.length === 0) await addUntagged(state, entry, record);
    }
  });
  const ids = [...new Set(records.map((r) => r.imageId))];
  for (const id of ids) state.announce("load", id, { refs: refs.join(" ") });
  return { refs: [...new Set(refs)], ids };
}
