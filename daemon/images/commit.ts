/**
 * Changes of what is named: each writes to disk first and to memory afterwards, and in an order in which a crash leaves
 * garbage at worst, never a name without its image. Callers hold the index lock ({@linkcode StoreState.mutate}).
 */

import { writeFileAtomic } from "../persist/atomic.ts";
import { formatReference, formatRepository, type Reference } from "../spec/reference.ts";
import { type Entry, type EntryMeta, readEntry, removeEntry, writeEntry } from "./entries.ts";
import type { ImageRecord, RefRecord } from "./records.ts";
import { storedReference } from "./names.ts";
import type { StoreState } from "./state.ts";

/** Gives an image a name. An image that loses its last name by this becomes untagged and stays usable. */
export async function assignRef(
  state: StoreState,
  wanted: Reference,
  entry: Entry,
  record: ImageRecord,
): Promise<{ moved: boolean }> {
  const reference = storedReference(wanted);
  const key = formatReference(reference);
  const { meta } = entry;
  const old = state.index.refs.get(key);
  const same = old?.manifestDigest === record.manifestDigest && old.indexDigest === meta.indexDigest;
  const dir = state.paths.ref(reference);
  if (same && sameBlobs(state.index.images.get(record.manifestDigest), record)) {
    await confirmRef(state, dir, reference, { ...meta, source: old.source });
    return { moved: false };
  }
  if (old !== undefined && old.manifestDigest !== record.manifestDigest) await keepUntagged(state, old);
  await writeEntry(dir, entry);
  state.index.addImage(record);
  state.index.setRef(refRecord(reference, meta));
  if (old !== undefined && old.manifestDigest !== record.manifestDigest) markUntagged(state, old);
  if (state.index.untagged.has(record.manifestDigest)) {
    await removeEntry(state.paths.untagged(record.manifestDigest), state.paths.untaggedDir);
    state.index.untagged.delete(record.manifestDigest);
  }
  return { moved: !same };
}

/** Notes that a name was found to be up to date: policies such as "pull once a day" ask when that was. */
async function confirmRef(state: StoreState, dir: string, reference: Reference, meta: EntryMeta): Promise<void> {
  await writeFileAtomic(`${dir}/ref.json`, JSON.stringify(meta), { durable: false });
  state.index.setRef(refRecord(reference, meta));
}

function sameBlobs(a: ImageRecord | undefined, b: ImageRecord): boolean {
  return a !== undefined && a.layers.every((l, i) => l.stored.digest === b.layers[i]?.stored.digest);
}

function refRecord(reference: Reference, meta: EntryMeta): RefRecord {
  return {
    reference,
    manifestDigest: meta.manifestDigest,
    ...(meta.indexDigest === undefined ? {} : { indexDigest: meta.indexDigest }),
    ...(meta.indexMediaType === undefined ? {} : { indexMediaType: meta.indexMediaType }),
    addedAt: meta.addedAt,
    source: meta.source,
  };
}

/** Writes the untagged entry of an image that is about to lose this name, when it is the last. */
async function keepUntagged(state: StoreState, ref: RefRecord): Promise<void> {
  const others = state.index.refsOfManifest(ref.manifestDigest).filter((r) => r !== formatReference(ref.reference));
  if (others.length > 0) return;
  const entry = await readEntry(state.paths, state.paths.ref(ref.reference));
  if (entry === undefined) return;
  const repository = ref.source === "pull" ? { repository: formatRepository(ref.reference) } : {};
  await writeEntry(state.paths.untagged(ref.manifestDigest), {
    ...entry,
    meta: { ...entry.meta, ...repository, addedAt: new Date().toISOString() },
  });
}

function markUntagged(state: StoreState, ref: RefRecord): void {
  if (state.index.refsOfManifest(ref.manifestDigest).length > 0) return;
  state.index.untagged.set(ref.manifestDigest, {
    manifestDigest: ref.manifestDigest,
    ...(ref.source === "pull" ? { repository: formatRepository(ref.reference) } : {}),
    ...(ref.indexDigest === undefined ? {} : { indexDigest: ref.indexDigest }),
    addedAt: new Date().toISOString(),
  });
}

/** Adds an image without a name, such as one from an archive that names none. */
export async function addUntagged(state: StoreState, entry: Entry, record: ImageRecord): Promise<void> {
  const { manifestDigest } = record;
  if (state.index.refsOfManifest(manifestDigest).length === 0 && !state.index.untagged.has(manifestDigest)) {
    await writeEntry(state.paths.untagged(manifestDigest), entry);
    state.index.untagged.set(manifestDigest, { manifestDigest, addedAt: entry.meta.addedAt });
  }
  state.index.addImage(record);
}

/**
 * Takes a name away.
 *
 * @param options `keep` the image as an untagged one when this was its last name; else it is forgotten, and what it alone
 * needed is left to the garbage collector
 */
export async function dropRef(state: StoreState, key: string, options: { keep: boolean }): Promise<void> {
  const ref = state.index.refs.get(key);
  if (ref === undefined) return;
  if (options.keep) await keepUntagged(state, ref);
  await removeEntry(state.paths.ref(ref.reference), state.paths.refsDir);
  state.index.refs.delete(key);
  if (options.keep) markUntagged(state, ref);
  else if (state.index.refsOfManifest(ref.manifestDigest).length === 0) state.index.dropImage(ref.manifestDigest);
}

/** Forgets an untagged image. */
export async function dropUntagged(state: StoreState, manifestDigest: string): Promise<void> {
  await removeEntry(state.paths.untagged(manifestDigest), state.paths.untaggedDir);
  state.index.untagged.delete(manifestDigest);
  if (state.index.refsOfManifest(manifestDigest).length === 0) state.index.dropImage(manifestDigest);
}

/** Forgets the record of an unfinished pull. */
export async function dropPending(state: StoreState, manifestDigest: string): Promise<void> {
  if (!state.pending.delete(manifestDigest)) return;
  await removeEntry(state.paths.pending(manifestDigest), state.paths.pendingDir);
}

/** Reads the exact documents of an image that is in the index. */
export async function loadEntry(state: StoreState, record: ImageRecord): Promise<Entry | undefined> {
  const [key] = state.index.refsOfManifest(record.manifestDigest);
  const ref = key === undefined ? undefined : state.index.refs.get(key);
  const dir = ref === undefined ? state.paths.untagged(record.manifestDigest) : state.paths.ref(ref.reference);
  return await readEntry(state.paths, dir);
}
