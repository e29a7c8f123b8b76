/**
 * Gets one layer: downloaded, verified, unpacked and committed, all at the same time.
 *
 * The bytes go from the pull worker to an extract worker over a channel of their own. When no extract worker is free the
 * download goes to disk alone and the layer is unpacked from there; a blob that is on disk already is not downloaded.
 */

import { NyxError, toNyxError } from "../spec/errors.ts";
import { DigestVerifier } from "../spec/digest_verifier.ts";
import type { Descriptor } from "../spec/image.ts";
import { tryParseReference } from "../spec/reference.ts";
import type { RegistryAccess } from "../../workers/protocol.ts";
import type { ImageLayer } from "./documents.ts";
import { removeQuietly } from "./entries.ts";
import { type FlightContext, KeyedSemaphore, SharedWork, type Waiter } from "./flights.ts";
import type { StoreState } from "./state.ts";
import { started, withWorker } from "./workers.ts";

/** How far the download of a layer is, in bytes. */
export interface LayerProgress {
  current: number;
  size: number;
}

/** A layer that is here now. */
export interface FetchedLayer {
  /** Blob that is kept for it. */
  stored: Descriptor;
  /** Nothing was downloaded. */
  cached: boolean;
}

const ATTEMPTS = 3;
/** Leases that downloads leave to what is on disk already: they last as long as a registry likes. */
const KEPT_FREE = 1;
/**
 * How long a download may go on after its extraction failed, milliseconds. Most such failures come with the last bytes, when
 * the blob is about to be committed: cancelling then would leave a blob that nobody knows of.
 */
const GRACE_MS = 1_000;
/** Failures that say something about one caller's access, not about the layer. */
const ACCESS_ERRORS: ReadonlySet<string> = new Set([
  "unauthenticated",
  "permission_denied",
  "not_found",
  "unavailable",
]);

/** A worker died under the request: its host's errors carry no operation, unlike those that a worker sends. */
function isWorkerDeath(e: unknown): boolean {
  return e instanceof NyxError && e.code === "unavailable" && e.details.op === undefined;
}

/** Fetches layers; one run a layer, whoever asks. */
export class LayerFetcher {
  readonly #state: StoreState;
  readonly #flights = new SharedWork<FetchedLayer, LayerProgress>();
  /** By registry: one that sends slowly, or means harm, does not hold up the pulls of others. */
  readonly #downloads: KeyedSemaphore;

  /** @param state shared state of the store */
  constructor(state: StoreState) {
    this.#state = state;
    this.#downloads = new KeyedSemaphore(state.limits.downloads);
  }

  /**
   * Makes a layer present.
   *
   * @param layer what to get; the caller holds an {@linkcode StoreState.activate} on its image
   * @param access where from; undefined when only what is on disk may be used
   * @param waiter cancels and watches
   * @throws NyxError data_loss when digest, size or diffID differ; not_found without access and blob
   */
  async ensure(
    layer: ImageLayer,
    access: RegistryAccess | undefined,
    waiter: Waiter<LayerProgress>,
  ): Promise<FetchedLayer> {
    for (let attempt = 1;; attempt++) {
      let mine = false;
      try {
        return await this.#flights.join(`${layer.blob.digest} ${layer.diffId}`, waiter, (context) => {
          mine = true;
          return this.#run(layer, access, context);
        });
      } catch (e) {
        const again = isWorkerDeath(e) || (!mine && ACCESS_ERRORS.has(toNyxError(e).code));
        if (!again || attempt === ATTEMPTS || waiter.signal?.aborted) throw e;
      }
    }
  }

  #run(
    layer: ImageLayer,
    access: RegistryAccess | undefined,
    context: FlightContext<LayerProgress>,
  ): Promise<FetchedLayer> {
    const { locks } = this.#state;
    return locks.run(
      `layer:${layer.diffId}`,
      () => locks.run(`blob:${layer.blob.digest}`, () => this.#locked(layer, access, context)),
    );
  }

  async #locked(
    layer: ImageLayer,
    access: RegistryAccess | undefined,
    context: FlightContext<LayerProgress>,
  ): Promise<FetchedLayer> {
    const { layers, blobs } = this.#state;
    const { blob, diffId } = layer;
    context.signal.throwIfAborted();
    const unpacked = layers.has(diffId);
    if (unpacked) {
      const stored = blobs.has(blob.digest) ? blob : this.#substitute(diffId);
      if (stored !== undefined) return { stored, cached: true };
    }
    if (!unpacked && blobs.has(blob.digest) && await this.#unpackBlob(layer, context.signal)) {
      return { stored: blob, cached: true };
    }
    if (access === undefined) {
      throw new NyxError("not_found", `Could not restore layer ${diffId}: its blob ${blob.digest} is gone; pull again`);
    }
    const piped = await this.#downloads.run(
      tryParseReference(access.ref)?.domain ?? "",
      context.signal,
      () => unpacked ? this.#download(blob, access, context) : this.#pipe(layer, access, context),
    );
    if (!unpacked && piped !== "unpacked") await this.#extract(layer, { kind: "file" }, context.signal);
    return { stored: blob, cached: false };
  }

  /** Another compression of a layer that some image keeps. */
  #substitute(diffId: string): Descriptor | undefined {
    for (const image of this.#state.index.images.values()) {
      for (const l of image.layers) {
        if (l.diffId === diffId && this.#state.blobs.has(l.stored.digest)) return l.stored;
      }
    }
    return undefined;
  }

  /** Unpacks a blob that is on disk; false when the blob has rotted and was removed. */
  async #unpackBlob(layer: ImageLayer, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#extract(layer, { kind: "file" }, signal);
      return true;
    } catch (e) {
      if (toNyxError(e).code !== "data_loss" || await this.#isSound(layer.blob, signal)) throw e;
      this.#state.log.warn("A stored blob is corrupt and was removed", { digest: layer.blob.digest, error: e });
      this.#state.blobs.delete(layer.blob.digest);
      await removeQuietly(this.#state.paths.blob(layer.blob.digest));
      return false;
    }
  }

  async #isSound(blob: Descriptor, signal: AbortSignal): Promise<boolean> {
    try {
      await verifyFile(this.#state.paths.blob(blob.digest), blob, signal);
      return true;
    } catch (e) {
      if (signal.aborted) throw signal.reason;
      if (e instanceof Deno.errors.NotFound || toNyxError(e).code === "data_loss") return false;
      throw e;
    }
  }

  async #download(
    blob: Descriptor,
    access: RegistryAccess,
    context: FlightContext<LayerProgress>,
    port?: MessagePort,
  ): Promise<"stored"> {
    const done = await withWorker(
      this.#state.workers.pull,
      context.signal,
      (host) =>
        host.call("fetchBlob", { ...access, descriptor: blob, ...(port === undefined ? {} : { port }) }, {
          signal: context.signal,
          onProgress: context.emit,
          transfer: port === undefined ? [] : [port],
        }),
    );
    this.#state.blobs.set(blob.digest, done.size);
    return "stored";
  }

  /** Downloads and unpacks at once when an extract worker is free, else only downloads. */
  async #pipe(
    layer: ImageLayer,
    access: RegistryAccess,
    context: FlightContext<LayerProgress>,
  ): Promise<"stored" | "unpacked"> {
    using lease = this.#state.workers.extract.tryAcquire(KEPT_FREE);
    if (lease === undefined) return await this.#download(layer.blob, access, context);
    await started(lease.host);
    const { port1, port2 } = new MessageChannel();
    const failed = new AbortController();
    const both = { ...context, signal: AbortSignal.any([context.signal, failed.signal]) };
    const errors: unknown[] = [];
    let grace: ReturnType<typeof setTimeout> | undefined;
    const [fetched, extracted] = await Promise.all([
      this.#download(layer.blob, access, both, port1).catch((e) => {
        errors.push(e);
        // The receiver may hang up because the layer was there already: no reason to stop the extraction.
        if (toNyxError(e).code !== "canceled") failed.abort(e);
        return undefined;
      }).finally(() => clearTimeout(grace)),
      lease.host.call("layer", {
        layersDir: this.#state.paths.layersDir,
        blob: layer.blob,
        diffId: layer.diffId,
        source: { kind: "port", port: port2 },
        limits: this.#state.limits,
      }, { signal: both.signal, transfer: [port2] }).catch((e) => {
        errors.push(e);
        grace = setTimeout(() => failed.abort(e), GRACE_MS);
        return undefined;
      }),
    ]);
    clearTimeout(grace);
    if (extracted !== undefined) this.#state.layers.add(extracted);
    if (context.signal.aborted) throw context.signal.reason;
    if (extracted !== undefined && fetched === undefined) {
      await this.#download(layer.blob, access, context);
      return "unpacked";
    }
    if (errors.length > 0) throw errors.find((e) => toNyxError(e).code !== "canceled") ?? errors[0];
    return "unpacked";
  }

  async #extract(layer: ImageLayer, source: { kind: "file"; path?: string }, signal: AbortSignal): Promise<void> {
    const path = source.path ?? this.#state.paths.blob(layer.blob.digest);
    const extracted = await withWorker(this.#state.workers.extract, signal, (host) =>
      host.call("layer", {
        layersDir: this.#state.paths.layersDir,
        blob: layer.blob,
        diffId: layer.diffId,
        source: { kind: "file", path },
        limits: this.#state.limits,
      }, { signal }));
    this.#state.layers.add(extracted);
  }

  /**
   * Takes a layer from a file of a loaded archive: unpacks it, verifies it, and moves the file into the blob store.
   *
   * @param path file on the store's file system; gone afterwards when the store took it
   */
  adopt(layer: ImageLayer, path: string, signal: AbortSignal): Promise<FetchedLayer> {
    const { locks, layers, blobs, paths } = this.#state;
    const { blob, diffId } = layer;
    return locks.run(`layer:${diffId}`, () =>
      locks.run(`blob:${blob.digest}`, async () => {
        signal.throwIfAborted();
        if (layers.has(diffId)) {
          const stored = blobs.has(blob.digest) ? blob : this.#substitute(diffId);
          if (stored !== undefined) return { stored, cached: true };
          await verifyFile(path, blob, signal);
        } else await this.#extract(layer, { kind: "file", path }, signal);
        await commitFile(path, paths.blob(blob.digest), paths.blobsDir);
        blobs.set(blob.digest, blob.size);
        return { stored: blob, cached: false };
      }));
  }
}

/** Moves a file into a directory of the same file system, durably. */
async function commitFile(from: string, to: string, dir: string): Promise<void> {
  {
    using file = await Deno.open(from, { read: true });
    await file.sync();
  }
  await Deno.rename(from, to);
  using parent = await Deno.open(dir, { read: true });
  await parent.sync();
}

/** Checks digest and size of a file; throws data_loss. Reads in small parts, so that the thread stays responsive. */
export async function verifyFile(path: string, blob: Descriptor, signal: AbortSignal): Promise<void> {
  const verifier = new DigestVerifier(blob.digest, blob.size);
  using file = await Deno.open(path, { read: true });
  const buffer = new Uint8Array(256 * 1024);
  for (let n = await file.read(buffer); n !== null; n = await file.read(buffer)) {
    signal.throwIfAborted();
    verifier.update(buffer.subarray(0, n));
  }
  verifier.verify("layer");
}
