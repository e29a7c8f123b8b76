/** Images as the API shows them. Pure readers of the index. */

import type { ImageDetails, ImageHistoryRow, ImageSummary } from "../spec/api.ts";
import type { ImageConfig } from "../spec/image.ts";
import { formatPlatform } from "../spec/platform.ts";
import type { ImageRecord } from "./records.ts";
import type { StoreState } from "./state.ts";

/** `os/architecture[/variant]` of a config. */
export function platformText(config: ImageConfig): string {
  const { os, architecture, variant } = config;
  return formatPlatform({ os, architecture, ...(variant === undefined ? {} : { variant }) });
}

/** Bytes on disk of an image's layers, each once. */
export function unpackedBytes(state: StoreState, record: ImageRecord): number {
  const unique = new Set(record.layers.map((l) => l.diffId));
  return [...unique].reduce((sum, d) => sum + (state.layers.get(d)?.diskBytes ?? 0), 0);
}

/** One row of the list. */
export function summarize(state: StoreState, record: ImageRecord): ImageSummary {
  const { imageId, config } = record;
  return {
    id: imageId,
    refs: state.index.refsOfId(imageId),
    digests: state.index.digestsOfId(imageId),
    ...(config.created === undefined ? {} : { created: config.created }),
    size: unpackedBytes(state, record),
    containers: state.callbacks.usedBy(imageId).length,
    platform: platformText(config),
    labels: config.config?.Labels ?? {},
  };
}

/** All images, newest first; one row an id. */
export function summarizeAll(state: StoreState): ImageSummary[] {
  const rows = [...state.index.ids].flatMap((id) => {
    const record = state.index.withId(id)[0];
    return record === undefined ? [] : [summarize(state, record)];
  });
  return rows.sort((a, b) => (b.created ?? "").localeCompare(a.created ?? "") || a.id.localeCompare(b.id));
}

/** Everything about one image. */
export function describe(state: StoreState, record: ImageRecord): ImageDetails {
  return {
    ...summarize(state, record),
    config: record.config,
    manifestDigest: record.manifestDigest,
    layers: record.layers.map((l) => ({
      diffId: l.diffId,
      digest: l.stored.digest,
      compressedSize: l.stored.size,
      diskBytes: state.layers.get(l.diffId)?.diskBytes ?? 0,
    })),
  };
}

/** Steps that made an image, newest first, each with the bytes of the layer it added. */
export function history(state: StoreState, record: ImageRecord): ImageHistoryRow[] {
  const rows: ImageHistoryRow[] = [];
  let next = 0;
  for (const step of record.config.history ?? []) {
    const layer = step.empty_layer ? undefined : record.layers[next++];
    rows.push({ ...step, size: layer === undefined ? 0 : state.layers.get(layer.diffId)?.diskBytes ?? 0 });
  }
  // Images without a history still show their layers.
  for (const layer of record.layers.slice(next)) rows.push({ size: state.layers.get(layer.diffId)?.diskBytes ?? 0 });
  return rows.reverse();
}
