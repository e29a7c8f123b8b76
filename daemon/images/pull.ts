/** Pulls an image: resolve, then all layers side by side, then the name. One run for each reference and platform. */

import { invalid, NyxError, toNyxError } from "../spec/errors.ts";
import { digestOf } from "../spec/digest_verifier.ts";
import type { PullEvent, RegistryCredentials } from "../spec/image.ts";
import { formatPlatform, matchesPlatform, normalizePlatform } from "../spec/platform.ts";
import type { Platform } from "../spec/image.ts";
import { formatReference, type Reference } from "../spec/reference.ts";
import type { RegistryAccess, ResolvedImage } from "../../workers/protocol.ts";
import { collect } from "./collect.ts";
import { assignRef, dropPending } from "./commit.ts";
import { ensureDirectory, type Entry, recordOf, writeDocumentBlob, writeEntry } from "./entries.ts";
import { SharedWork } from "./flights.ts";
import type { LayerFetcher } from "./layer_fetch.ts";
import type { ImageRecord, StoredLayer } from "./records.ts";
import type { StoreState } from "./state.ts";
import { withWorker } from "./workers.ts";

/** Progress events of one layer are at least this far apart, milliseconds. */
const PROGRESS_MS = 100;
/** How long a commit that a cancel came too late for may take, milliseconds. */
const SETTLE_MS = 100;

/** What to pull. */
export interface PullTarget {
  reference: Reference;
  platform: Platform;
  /** The platform was asked for, not assumed: an image for another one is refused. */
  strictPlatform: boolean;
  credentials?: RegistryCredentials;
  insecure?: boolean;
}

/** A pulled image. */
export interface Pulled {
  record: ImageRecord;
  /** Digest that the reference stands for at the registry: of the index, else of the manifest. */
  digest: string;
  /** Everything was here, and the name pointed to it. */
  cached: boolean;
}

/** Who watches a pull. */
export interface PullWatcher {
  signal?: AbortSignal;
  onEvent?: (event: PullEvent) => void;
}

type Emit = (event: PullEvent) => void;

/** Pulls images. */
export class Puller {
  readonly #state: StoreState;
  readonly #layers: LayerFetcher;
  readonly #flights = new SharedWork<Pulled, PullEvent>((e) => `${e.phase} ${e.digest ?? ""}`);

  /**
   * @param state shared state of the store
   * @param layers fetches layers
   */
  constructor(state: StoreState, layers: LayerFetcher) {
    this.#state = state;
    this.#layers = layers;
  }

  /**
   * Pulls, or joins the same pull when it is under way.
   *
   * @throws NyxError as the registry answered; data_loss for anything whose digest differs
   */
  async pull(target: PullTarget, watcher: PullWatcher): Promise<Pulled> {
    const ref = formatReference(target.reference);
    const { credentials, insecure = false, strictPlatform } = target;
    const who = digestOf(new TextEncoder().encode(JSON.stringify(credentials ?? null)));
    const key = JSON.stringify([ref, formatPlatform(target.platform), strictPlatform, insecure, who]);
    try {
      return await this.#flights.join(key, watcher, ({ signal, emit }) => this.#run(ref, target, signal, emit));
    } catch (e) {
      watcher.onEvent?.({ phase: "error", ref, message: toNyxError(e).message });
      throw e;
    }
  }

  async #run(ref: string, target: PullTarget, signal: AbortSignal, emit: Emit): Promise<Pulled> {
    emit({ phase: "begin", ref });
    this.#state.workers.extract.warm();
    const access: RegistryAccess = {
      ref,
      ...(target.credentials === undefined ? {} : { credentials: target.credentials }),
      ...(target.insecure === undefined ? {} : { insecure: target.insecure }),
    };
    const resolved = await this.#resolve(access, target, signal, emit);
    const entry = entryOf(resolved);
    const record = recordOf(entry);
    checkPlatform(ref, record, target);
    emit({
      phase: "manifest",
      ref,
      digest: record.manifestDigest,
      size: record.manifestSize,
      count: record.layers.length,
    });
    emit({ phase: "config", ref, digest: record.imageId, size: record.configSize });
    const digest = resolved.indexDigest ?? resolved.manifestDigest;
    using active = this.#state.activate(record);
    try {
      const { layers, cached } = await both(
        fetchLayers(this.#layers, record, access, signal, emit),
        this.#prepare(entry, record, resolved),
      );
      const known = cached ? this.#state.index.images.get(record.manifestDigest) : undefined;
      const whole = known ?? { ...record, layers };
      const moved = await this.#commit(target.reference, withStored(entry, whole), whole);
      emit({ phase: "meta", ref, digest: record.imageId });
      emit({ phase: "done", ref, digest, cached: cached && !moved, count: record.layers.length });
      this.#state.announce("pull", record.imageId, { name: ref, digest });
      return { record: whole, digest, cached: cached && !moved };
    } catch (e) {
      if (toNyxError(e).code === "data_loss") await this.#discard(record, active);
      throw e;
    }
  }

  async #resolve(access: RegistryAccess, target: PullTarget, signal: AbortSignal, emit: Emit): Promise<ResolvedImage> {
    return await withWorker(
      this.#state.workers.pull,
      signal,
      (host) =>
        host.call("resolve", { ...access, platform: target.platform }, {
          signal,
          onProgress: ({ phase }) => {
            if (phase === "auth") emit({ phase, ref: access.ref });
          },
        }),
    );
  }

  /** Writes the documents, and the record that keeps a broken-off pull resumable. */
  async #prepare(entry: Entry, record: ImageRecord, resolved: ResolvedImage): Promise<void> {
    const { paths } = this.#state;
    await ensureDirectory(paths.blobsDir);
    const documents = [entry.manifestBytes, entry.configBytes];
    if (resolved.indexBytes !== undefined) documents.push(resolved.indexBytes);
    for (const digest of await Promise.all(documents.map((d) => writeDocumentBlob(paths, d)))) {
      const size = documents.find((d) => digestOf(d) === digest)?.byteLength ?? 0;
      this.#state.blobs.set(digest, size);
    }
    if (this.#state.index.images.has(record.manifestDigest) || this.#state.isComplete(record)) return;
    await writeEntry(paths.pending(record.manifestDigest), entry, { durable: false });
    this.#state.pending.set(record.manifestDigest, { record, begunAt: Date.now() });
  }

  #commit(reference: Reference, entry: Entry, record: ImageRecord): Promise<boolean> {
    return this.#state.mutate(async () => {
      const { moved } = await assignRef(this.#state, reference, entry, record);
      await dropPending(this.#state, record.manifestDigest);
      return moved;
    });
  }

  /** What a pull of bad content left is of no use to a later one. */
  async #discard(record: ImageRecord, active: Disposable): Promise<void> {
    active[Symbol.dispose]();
    if (this.#state.isActive(record.manifestDigest)) return;
    await this.#state.mutate(() => dropPending(this.#state, record.manifestDigest));
    // Other layers were cancelled; one that was just being committed becomes visible within this time.
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    await collect(this.#state);
  }
}

/** The first one's value; rejects only when neither runs any more. */
async function both<T>(first: Promise<T>, second: Promise<void>): Promise<T> {
  const [a, b] = await Promise.allSettled([first, second]);
  if (a.status === "rejected") throw a.reason;
  if (b.status === "rejected") throw b.reason;
  return a.value;
}

function entryOf(resolved: ResolvedImage): Entry {
  const { manifestBytes, manifestDigest, configBytes } = resolved;
  const actual = digestOf(manifestBytes);
  if (actual !== manifestDigest) {
    throw new NyxError("data_loss", `Refused manifest ${manifestDigest}: its bytes have the digest ${actual}`);
  }
  return {
    manifestBytes,
    configBytes,
    meta: {
      v: 1,
      manifestDigest,
      manifestMediaType: resolved.manifestMediaType,
      ...(resolved.indexDigest === undefined ? {} : { indexDigest: resolved.indexDigest }),
      ...(resolved.indexMediaType === undefined ? {} : { indexMediaType: resolved.indexMediaType }),
      addedAt: new Date().toISOString(),
      source: "pull",
    },
  };
}

/** The entry with the blobs that were kept in place of the manifest's own, if any. */
export function withStored(entry: Entry, record: ImageRecord): Entry {
  const other = record.layers.filter((l) => l.stored.digest !== l.blob.digest);
  const { stored: _, ...meta } = entry.meta;
  if (other.length === 0) return { ...entry, meta };
  return { ...entry, meta: { ...meta, stored: Object.fromEntries(other.map((l) => [l.diffId, l.stored])) } };
}

/** Refuses what cannot run: another operating system, or another platform than the one asked for. */
function checkPlatform(ref: string, record: ImageRecord, target: PullTarget): void {
  const { os, architecture, variant } = record.config;
  const have = normalizePlatform({ os, architecture, ...(variant === undefined ? {} : { variant }) });
  if (have.os !== "linux") {
    throw invalid("image", ref, `it is made for ${formatPlatform(have)}; nyx runs linux images`);
  }
  if (target.strictPlatform && !matchesPlatform(target.platform, have)) {
    throw new NyxError(
      "not_found",
      `Image ${ref} is not available for ${formatPlatform(target.platform)}: it is made for ${formatPlatform(have)}`,
      { context: { ref, platform: formatPlatform(target.platform) } },
    );
  }
}

/**
 * Gets all layers of an image side by side, largest first, because the largest bounds the whole.
 *
 * @param access undefined when only what is on disk may be used
 * @returns the layers with the blob that is kept for each; `cached` when nothing was downloaded
 * @throws the error of the first layer that failed, after all others have ended
 */
export async function fetchLayers(
  fetcher: LayerFetcher,
  record: ImageRecord,
  access: RegistryAccess | undefined,
  signal: AbortSignal,
  emit: Emit,
): Promise<{ layers: StoredLayer[]; cached: boolean }> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const unique = new Map<string, { layer: StoredLayer; index: number }>();
  record.layers.forEach((layer, index) => {
    if (!unique.has(layer.diffId)) unique.set(layer.diffId, { layer, index });
  });
  const order = [...unique.values()].sort((a, b) => b.layer.blob.size - a.layer.blob.size);
  let failure: { error: unknown } | undefined;
  const settled = await Promise.all(order.map(async ({ layer, index }) => {
    const about = { digest: layer.blob.digest, index, count: record.layers.length, size: layer.blob.size };
    try {
      const onEvent = throttled((p: { current: number; size: number }) => emit({ phase: "progress", ...about, ...p }));
      const { stored, cached } = await fetcher.ensure(layer, access, { signal: either, onEvent });
      emit({ phase: "layer_done", ...about, current: about.size, cached });
      emit({ phase: "layer", ...about, cached });
      return { diffId: layer.diffId, stored, cached };
    } catch (error) {
      failure ??= { error };
      stop.abort(error);
      return undefined;
    }
  }));
  if (signal.aborted) throw signal.reason;
  if (failure !== undefined) throw failure.error;
  const stored = new Map(settled.flatMap((s) => s === undefined ? [] : [[s.diffId, s.stored]]));
  return {
    layers: record.layers.map((l) => ({ ...l, stored: stored.get(l.diffId) ?? l.blob })),
    cached: settled.every((s) => s?.cached),
  };
}

function throttled(emit: (p: { current: number; size: number }) => void): typeof emit {
  let last = -Infinity;
  return (p) => {
    const now = performance.now();
    if (now - last < PROGRESS_MS) return;
    last = now;
    emit(p);
  };
}
