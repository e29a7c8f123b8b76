/** Makes an image of a container: its image's layers, one more of what it changed, and a changed configuration. */

import { digestOf } from "../spec/digest_verifier.ts";
import { NyxError } from "../spec/errors.ts";
import { type ImageExecConfig, MEDIA_TYPES } from "../spec/image.ts";
import { formatReference, type Reference } from "../spec/reference.ts";
import { addUntagged, assignRef, loadEntry } from "./commit.ts";
import { parseJsonObject } from "./documents.ts";
import { type Entry, recordOf, writeDocumentBlob } from "./entries.ts";
import type { LayerFetcher } from "./layer_fetch.ts";
import { storedReference } from "./names.ts";
import { withStored } from "./pull.ts";
import type { ImageRecord } from "./records.ts";
import type { StoreState } from "./state.ts";

const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar";

/** What a new image is made of. */
export interface CommitInput {
  /** Manifest digest of the container's image. */
  base: string;
  /** File with the tar of the container's layer, on the store's file system; taken, or left for the caller to remove. */
  file: string;
  digest: string;
  size: number;
  /** Changed execution settings. */
  exec: ImageExecConfig;
  author?: string;
  message?: string;
  /** Name of the new image; without one it is untagged. */
  reference?: Reference;
}

function documents(base: Entry, input: CommitInput): { manifestBytes: Uint8Array; configBytes: Uint8Array } {
  const created = new Date().toISOString();
  const config = parseJsonObject(base.configBytes, "image config") as Record<string, unknown>;
  const rootfs = config["rootfs"] as { type: string; diff_ids: string[] };
  const history = Array.isArray(config["history"]) ? config["history"] : [];
  const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const configBytes = encode({
    ...config,
    created,
    ...(input.author === undefined ? {} : { author: input.author }),
    config: input.exec,
    rootfs: { ...rootfs, diff_ids: [...rootfs.diff_ids, input.digest] },
    history: [...history, {
      created,
      created_by: "nyx commit",
      ...(input.author === undefined ? {} : { author: input.author }),
      ...(input.message === undefined ? {} : { comment: input.message }),
    }],
  });
  const manifest = parseJsonObject(base.manifestBytes, "image manifest") as Record<string, unknown>;
  const layers = manifest["layers"] as unknown[];
  const manifestBytes = encode({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: {
      mediaType: "application/vnd.oci.image.config.v1+json",
      digest: digestOf(configBytes),
      size: configBytes.byteLength,
    },
    layers: [...layers, { mediaType: LAYER_TYPE, digest: input.digest, size: input.size }],
  });
  return { manifestBytes, configBytes };
}

/** The new image. */
export interface Committed {
  /** Config digest. */
  id: string;
  /** Canonical name. */
  ref?: string;
}

/**
 * Adds the image.
 *
 * @throws NyxError not_found when the container's image is gone
 */
export async function commitContainer(
  state: StoreState,
  fetcher: LayerFetcher,
  input: CommitInput,
  signal: AbortSignal,
): Promise<Committed> {
  const baseRecord = state.index.images.get(input.base);
  const base = baseRecord === undefined ? undefined : await loadEntry(state, baseRecord);
  if (baseRecord === undefined || base === undefined) {
    throw new NyxError(
      "not_found",
      `Could not make an image of the container: its own image ${input.base} is no longer here; pull it again`,
    );
  }
  const made = documents(base, input);
  const entry: Entry = {
    ...made,
    meta: {
      v: 1,
      manifestDigest: digestOf(made.manifestBytes),
      manifestMediaType: MEDIA_TYPES.ociManifest,
      addedAt: new Date().toISOString(),
      source: "tag",
    },
  };
  const record = recordOf(entry);
  using _ = state.activate(record);
  const top = record.layers.at(-1);
  if (top === undefined) throw new NyxError("internal", "The new image has no layer");
  const taken = await fetcher.adopt(top, input.file, signal);
  const stored = new Map(baseRecord.layers.map((l) => [l.diffId, l.stored]));
  stored.set(top.diffId, taken.stored);
  const whole: ImageRecord = {
    ...record,
    layers: record.layers.map((l) => ({ ...l, stored: stored.get(l.diffId) ?? l.stored })),
  };
  for (const bytes of [entry.manifestBytes, entry.configBytes]) {
    state.blobs.set(await writeDocumentBlob(state.paths, bytes), bytes.byteLength);
  }
  const reference = input.reference === undefined ? undefined : storedReference(input.reference);
  await state.mutate(async () => {
    const complete = withStored(entry, whole);
    if (reference === undefined) await addUntagged(state, complete, whole);
    else await assignRef(state, reference, complete, whole);
  });
  const ref = reference === undefined ? {} : { ref: formatReference(reference) };
  state.announce("commit", whole.imageId, ref);
  return { id: whole.imageId, ...ref };
}
