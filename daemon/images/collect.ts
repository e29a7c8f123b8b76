/**
 * Garbage collection: deletes what no name, untagged image, unfinished pull, active work or container needs.
 *
 * Names go before blobs and layers, and each deletion asks again, under the lock of what it deletes, whether it is still
 * unwanted: a pull that began meanwhile either keeps the thing or finds it gone, never half.
 */

import { isPresent, removeQuietly } from "./entries.ts";
import { dropPending } from "./commit.ts";
import { SHA256_DIGEST } from "./layout.ts";
import { type Reachable, reachable, unreachable } from "./reachability.ts";
import type { StoreState } from "./state.ts";

/** What a collection did. */
export interface Collected {
  blobs: string[];
  layers: string[];
  /** Bytes on disk, as du counts them. */
  bytes: number;
}

/** Bytes on disk of a file. */
export async function diskBytes(path: string): Promise<number> {
  try {
    const info = await Deno.lstat(path);
    return info.blocks === null ? info.size : info.blocks * 512;
  } catch (e) {
    if (e instanceof Deno.errors.NotFound) return 0;
    throw e;
  }
}

/** Takes note of blobs that were committed while their pull was being cancelled. */
async function noteBlobs(state: StoreState): Promise<void> {
  for await (const { name } of Deno.readDir(state.paths.blobsDir)) {
    const digest = `sha256:${name}`;
    if (!SHA256_DIGEST.test(digest) || state.blobs.has(digest)) continue;
    const size = await Deno.stat(state.paths.blob(digest)).then((s) => s.size, () => undefined);
    if (size !== undefined) state.blobs.set(digest, size);
  }
}

/** Deletes everything unreachable. */
export async function collect(state: StoreState): Promise<Collected> {
  await noteBlobs(state);
  const found = unreachable(
    { blobs: state.blobs.keys(), layers: state.layers.diffIds },
    reachable(state.index, state.extraRoots()),
  );
  const wanted = (): Reachable => reachable(state.index, state.extraRoots());
  const done: Collected = { blobs: [], layers: [], bytes: 0 };
  for (const diffId of found.layers) {
    await state.locks.run(`layer:${diffId}`, async () => {
      const layer = state.layers.get(diffId);
      if (layer === undefined || wanted().layers.has(diffId)) return;
      await state.layers.remove(diffId, state.workers.rootfs);
      done.layers.push(diffId);
      done.bytes += layer.diskBytes;
    });
  }
  for (const digest of found.blobs) {
    await state.locks.run(`blob:${digest}`, async () => {
      if (!state.blobs.has(digest) || wanted().blobs.has(digest)) return;
      const path = state.paths.blob(digest);
      const bytes = await diskBytes(path);
      state.blobs.delete(digest);
      await removeQuietly(path);
      done.blobs.push(digest);
      done.bytes += bytes;
    });
  }
  return done;
}

/** Digests of blobs whose partial downloads are worth keeping. */
function resumable(state: StoreState): Set<string> {
  return new Set(state.extraRoots().images.flatMap((i) => i.layers.map((l) => l.blob.digest.slice(7))));
}

/** Removes partial downloads that no unfinished or running pull can resume. */
export async function collectIngest(state: StoreState): Promise<number> {
  const keep = resumable(state);
  let bytes = 0;
  let entries: Deno.DirEntry[] = [];
  try {
    entries = await Array.fromAsync(Deno.readDir(state.paths.ingestDir));
  } catch (e) {
    if (!(e instanceof Deno.errors.NotFound)) throw e;
  }
  for (const { name } of entries) {
    const hex = /[0-9a-f]{64}/.exec(name)?.[0];
    if (hex !== undefined && (keep.has(hex) || state.locks.isHeld(`blob:sha256:${hex}`))) continue;
    const path = `${state.paths.ingestDir}/${name}`;
    bytes += await diskBytes(path);
    await Deno.remove(path, { recursive: true }).catch((e) => {
      if (!(e instanceof Deno.errors.NotFound)) throw e;
    });
  }
  return bytes;
}

/** Forgets unfinished pulls older than `ageMs`, except those that run. */
export async function expirePending(state: StoreState, ageMs: number): Promise<void> {
  for (const [digest, pull] of state.pending) {
    if (!state.isActive(digest) && Date.now() - pull.begunAt >= ageMs) await dropPending(state, digest);
  }
}

/**
 * What the next start after a crash clears: archives that were being loaded, old unfinished pulls and their partial
 * downloads, and everything unreachable. What extractions left is cleared when the store is opened.
 */
export async function collectAtStart(state: StoreState): Promise<Collected> {
  if (await isPresent(state.paths.stagingDir)) await Deno.remove(state.paths.stagingDir, { recursive: true });
  await expirePending(state, state.limits.pendingMs);
  const done = await collect(state);
  const partial = await collectIngest(state);
  if (done.blobs.length + done.layers.length > 0 || partial > 0) {
    state.log.info("Removed what no image needs", {
      blobs: done.blobs.length,
      layers: done.layers.length,
      bytes: done.bytes + partial,
    });
  }
  return { ...done, bytes: done.bytes + partial };
}
