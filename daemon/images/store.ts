/** The image store (D04): what the Control API and the supervisor see of it. */

import type { ImageService, PullOptions } from "../control/services.ts";
import type {
  ImageDetails,
  ImageHistoryRow,
  ImagePruneResult,
  ImageRemoveResult,
  ImageSummary,
  LoginRequest,
  PullResult,
} from "../spec/api.ts";
import { NyxError } from "../spec/errors.ts";
import type { ImageConfig, Platform } from "../spec/image.ts";
import { hostPlatform, matchesPlatform, parsePlatform } from "../spec/platform.ts";
import { formatReference, parseReference, type Reference, tryParseReference } from "../spec/reference.ts";
import type { ExtractStage, PullStage, RootfsStage } from "../../workers/protocol.ts";
import { BuildImages } from "./build_images.ts";
import { collectAtStart, type Collected } from "./collect.ts";
import { assignRef, loadEntry } from "./commit.ts";
import { commitContainer, type CommitInput, type Committed } from "./commit_container.ts";
import { ensureDirectory } from "./entries.ts";
import { LayerFetcher } from "./layer_fetch.ts";
import { loadArchive, type Loaded } from "./load.ts";
import { findImage, type Found, noSuchImage, storedReference, tryFindImage } from "./names.ts";
import { fetchLayers, type Pulled, Puller, type PullTarget } from "./pull.ts";
import type { ImageRecord } from "./records.ts";
import { bytesFreedBy, pruneImages, removeImage } from "./remove.ts";
import { type ArchiveFormat, saveArchive, saveLayout } from "./save.ts";
import { scanStore } from "./scan.ts";
import { DEFAULT_LIMITS, type StoreCallbacks, type StoreLimits, type StoreLog, StoreState } from "./state.ts";
import { describe, history, summarize, summarizeAll } from "./views.ts";
import { type StageHost, withWorker, WorkerPool } from "./workers.ts";

/** What the store is made with. */
export interface ImageStoreOptions extends StoreCallbacks {
  /** Absolute. */
  baseDir: string;
  /** Starts a pull worker; called when one is needed. */
  pull: () => StageHost<PullStage>;
  /** Starts an extract worker; called when one is needed. */
  extract: () => StageHost<ExtractStage>;
  rootfs: StageHost<RootfsStage>;
  log: StoreLog;
  /** Platform of images when none is asked for. Default: this machine's. */
  platform?: Platform;
  /** Whether a registry (`host[:port]`) may be spoken to in plain http, or https without verification. */
  insecureRegistry?: (registry: string) => boolean;
  /** Most extract workers. Default: one a core. */
  extractWorkers?: number;
  /** Idle time after which pull and extract workers are ended, milliseconds. Default 60,000. */
  idleMs?: number;
  limits?: Partial<StoreLimits>;
}

/** An image that a container can be made from. Dispose it when the container's record exists: until then it is not removed. */
export interface ImageHandle extends Disposable {
  /** Config digest. */
  imageId: string;
  /** Canonical reference, or the id when it was named by id. */
  ref: string;
  manifestDigest: string;
  config: ImageConfig;
  /** diffIDs, bottom first, each once: of repeated layers the topmost counts, and overlay refuses a directory twice. */
  layers: string[];
}

/** Options of {@linkcode ImageStore.ensure}. */
export interface EnsureOptions extends PullOptions {
  policy: "always" | "missing" | "never";
}

/** Bytes on disk, as du counts them. */
export interface ImageUsage {
  /** images/ and layers/ together. */
  images: number;
  /** images/ */
  blobs: number;
  /** layers/ */
  layers: number;
  /** What a prune of all images without containers would free. */
  reclaimable: number;
  /** Images, by id. */
  total: number;
  /** Images with containers. */
  active: number;
}

/** Image Store and Puller. Call {@linkcode ImageStore.open} before anything else. */
export class ImageStore implements ImageService {
  readonly #state: StoreState;
  readonly #fetcher: LayerFetcher;
  readonly #puller: Puller;
  readonly #options: ImageStoreOptions;
  readonly #platform: Platform;

  /** @param options where, with what, and whom to ask */
  constructor(options: ImageStoreOptions) {
    this.#options = options;
    this.#platform = options.platform ?? hostPlatform();
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    const size = options.extractWorkers ?? Math.max(1, navigator.hardwareConcurrency);
    const idle = options.idleMs === undefined ? {} : { idleMs: options.idleMs };
    this.#state = new StoreState(
      options.baseDir,
      {
        pull: new WorkerPool(options.pull, { size: 1, perWorker: Infinity, ...idle }),
        // Enough lanes for every download of a registry to be unpacked as it arrives, and for what is on disk beside them.
        extract: new WorkerPool(options.extract, {
          size,
          perWorker: Math.ceil(limits.downloads / size) + 1,
          ...idle,
        }),
        rootfs: options.rootfs,
      },
      limits,
      options,
      options.log,
    );
    this.#fetcher = new LayerFetcher(this.#state);
    this.#puller = new Puller(this.#state, this.#fetcher);
  }

  /**
   * Makes the directories and reads the index from disk. Deletes no image: what cannot be read is moved aside and logged,
   * and layers that a power cut may have damaged are unpacked again from their blobs when they are needed.
   */
  async open(): Promise<void> {
    const { paths, log } = this.#state;
    for (const dir of [paths.blobsDir, paths.refsDir, paths.ingestDir, paths.layersDir]) await ensureDirectory(dir);
    const { index, pending, blobs } = await scanStore(paths, log);
    this.#state.index = index;
    this.#state.pending = pending;
    this.#state.blobs = blobs;
    const { unclear } = await this.#state.layers.scan(false);
    if (unclear) await this.#judgeLayers();
  }

  /** Lets the extract stage remove what extractions left; what it leaves is whole. */
  async #judgeLayers(): Promise<void> {
    const { paths, workers, layers, log } = this.#state;
    try {
      const { lost } = await withWorker(
        workers.extract,
        new AbortController().signal,
        (host) => host.call("clean", { layersDir: paths.layersDir }),
      );
      if (lost.length > 0) log.warn("Layers were not on the disk yet when the host went down", { lost });
      await layers.scan(true);
    } catch (error) {
      log.error("Could not check the layers; those that are not marked durable are not used", { error });
    }
  }

  /**
   * Removes what a crash or an interrupted pull left. Call once after start, when the containers are known, so that
   * `usedLayers` and `usedBy` tell the truth.
   */
  async collectGarbage(): Promise<Collected> {
    return await collectAtStart(this.#state);
  }

  /**
   * Ends the workers, after layers unpacked just now were made durable. Call after the last request; downloads under way are
   * resumed by the next pull.
   */
  async dispose(): Promise<void> {
    const { pull, extract } = this.#state.workers;
    pull.dispose();
    if (extract.workers > 0) {
      using lease = extract.tryAcquire();
      await lease?.host.call("sync", { layersDir: this.#state.paths.layersDir }, { deadlineMs: 5_000 }).catch((error) =>
        this.#state.log.warn("Could not make the newest layers durable", { error })
      );
    }
    extract.dispose();
  }

  /** Number of images, by id. */
  get count(): number {
    return this.#state.index.size;
  }

  /** Canonical references that a shell may complete. */
  get references(): string[] {
    return [...this.#state.index.refs.keys()].sort();
  }

  /**
   * The image to make a container from; pulled when the policy says so. A present image costs no input or output.
   *
   * @param text reference, id, short id or unique prefix of an id
   * @throws NyxError not_found with policy `never`; what the pull throws
   */
  async ensure(text: string, options: EnsureOptions): Promise<ImageHandle> {
    const { policy } = options;
    const found = policy === "always" && tryParseReference(text) !== undefined ? undefined : this.#local(text, options);
    if (found !== undefined) {
      if (!this.#state.isComplete(found.record)) await this.#restore(text, found.record, options);
      return this.#handle(found.by === "ref" ? found.key : found.record.imageId, found.record);
    }
    if (policy === "never") throw noSuchImage(this.#state.index, text);
    const reference = storedReference(this.#parse(text));
    const { record } = await this.#pull(reference, options);
    return this.#handle(formatReference(reference), record);
  }

  /** A new name for a file on the store's file system; the next start removes what is left there. */
  async layerFile(): Promise<string> {
    const { stagingDir } = this.#state.paths;
    await Deno.mkdir(stagingDir, { recursive: true, mode: 0o700 });
    return `${stagingDir}/commit-${crypto.randomUUID()}`;
  }

  /** Adds an image made of a container. */
  async commit(input: Omit<CommitInput, "reference"> & { ref?: string }, signal: AbortSignal): Promise<Committed> {
    const { ref, ...rest } = input;
    const reference = ref === undefined ? {} : { reference: parseReference(ref) };
    return await commitContainer(this.#state, this.#fetcher, { ...rest, ...reference }, signal);
  }

  /** Bases and results of builds. */
  get builds(): BuildImages {
    return new BuildImages(this.#state, this.#fetcher);
  }

  /** A present image, unless another platform was asked for. */
  #local(text: string, options: { platform?: string; policy: string }): Found | undefined {
    const found = tryFindImage(this.#state.index, text);
    if (found === undefined || options.platform === undefined) return found;
    return matchesPlatform(parsePlatform(options.platform), found.record.config) ? found : undefined;
  }

  /** Unpacks missing layers from their blobs; downloads what is gone when the policy and the name allow it. */
  async #restore(text: string, record: ImageRecord, options: EnsureOptions): Promise<void> {
    const signal = options.signal ?? new AbortController().signal;
    this.#state.log.warn("Layers of an image are missing and are unpacked again", { image: text });
    try {
      using _ = this.#state.activate(record);
      await fetchLayers(this.#fetcher, record, undefined, signal, (e) => options.onEvent?.(e));
    } catch (e) {
      const reference = tryParseReference(text);
      const gone = e instanceof NyxError && e.code === "not_found";
      if (!gone || reference === undefined || options.policy === "never") throw e;
      await this.#pull(storedReference(reference), options);
    }
  }

  #handle(ref: string, record: ImageRecord): ImageHandle {
    const pin = this.#state.pin(record.imageId);
    const layers = record.layers.map((l) => l.diffId);
    return {
      imageId: record.imageId,
      ref,
      manifestDigest: record.manifestDigest,
      config: record.config,
      layers: layers.filter((d, i) => layers.lastIndexOf(d) === i),
      [Symbol.dispose]: () => pin[Symbol.dispose](),
    };
  }

  #parse(text: string): Reference {
    const reference = tryParseReference(text);
    if (reference !== undefined) return reference;
    // Something that only can be an id is not there, rather than malformed.
    if (/^(?:sha256:)?[0-9a-f]{12,64}$/.test(text)) throw noSuchImage(this.#state.index, text);
    return parseReference(text);
  }

  #pull(reference: Reference, options: PullOptions): Promise<Pulled> {
    const insecure = this.#options.insecureRegistry?.(reference.domain) ?? false;
    const target: PullTarget = {
      reference,
      platform: options.platform === undefined ? this.#platform : parsePlatform(options.platform),
      strictPlatform: options.platform !== undefined,
      ...(options.credentials === undefined ? {} : { credentials: options.credentials }),
      ...(insecure ? { insecure } : {}),
    };
    return this.#puller.pull(target, options);
  }

  /** Pulls an image, whatever is present. */
  async pull(ref: string, options: PullOptions): Promise<PullResult> {
    const reference = storedReference(this.#parse(ref));
    const { record, digest, cached } = await this.#pull(reference, options);
    const { os, architecture, config } = record.config;
    return {
      ok: true,
      ref: formatReference(reference),
      id: record.imageId,
      digest,
      cached,
      config: {
        os,
        architecture,
        entrypoint: config?.Entrypoint ?? [],
        cmd: config?.Cmd ?? [],
        working_dir: config?.WorkingDir ?? "",
        env_len: config?.Env?.length ?? 0,
      },
    };
  }

  /** All images, newest first. */
  list(): Promise<ImageSummary[]> {
    return Promise.resolve(summarizeAll(this.#state));
  }

  /** The summary of one image, or undefined; no error for a name that fits none. */
  find(text: string): ImageSummary | undefined {
    const found = tryFindImage(this.#state.index, text);
    return found === undefined ? undefined : summarize(this.#state, found.record);
  }

  // The interface wants promises; `async` also turns what findImage throws into a rejection.
  // deno-lint-ignore require-await
  async inspect(ref: string): Promise<ImageDetails> {
    return describe(this.#state, findImage(this.#state.index, ref).record);
  }

  /** When a name was last pulled, loaded or given, and found to be what it is; undefined when there is no such name. */
  assignedAt(ref: string): string | undefined {
    const reference = tryParseReference(ref);
    return reference === undefined ? undefined : this.#state.index.refs.get(formatReference(reference))?.addedAt;
  }

  // deno-lint-ignore require-await
  async history(ref: string): Promise<ImageHistoryRow[]> {
    return history(this.#state, findImage(this.#state.index, ref).record);
  }

  /** Removes a name, or the image when it was the last one. */
  remove(ref: string, force: boolean): Promise<ImageRemoveResult> {
    return removeImage(this.#state, ref, force);
  }

  /** Removes images that no container uses. */
  prune(options: { dryRun: boolean; all: boolean }): Promise<ImagePruneResult> {
    return pruneImages(this.#state, options);
  }

  /** Gives an image one more name; an image that had it before loses it. */
  tag(source: string, target: string): Promise<void> {
    return this.#state.mutate(async () => {
      const { record } = findImage(this.#state.index, source);
      const reference = parseReference(target);
      if (reference.digest !== undefined) {
        throw new NyxError("invalid_argument", `Could not tag as ${JSON.stringify(target)}: leave out the digest`);
      }
      const entry = await loadEntry(this.#state, record);
      if (entry === undefined) throw noSuchImage(this.#state.index, source);
      const { indexDigest: _, indexMediaType: __, repository: ___, ...meta } = entry.meta;
      const tagged = { ...entry, meta: { ...meta, source: "tag" as const, addedAt: new Date().toISOString() } };
      await assignRef(this.#state, reference, tagged, record);
      this.#state.announce("tag", record.imageId, { name: formatReference(reference) });
    });
  }

  /** Loads a docker-archive or an OCI layout: all of it, or nothing. */
  load(body: ReadableStream<Uint8Array>, signal: AbortSignal): Promise<Loaded> {
    return loadArchive(this.#state, this.#fetcher, body, this.#platform, signal);
  }

  /** Images as one tar. */
  save(refs: string[], format: ArchiveFormat): Promise<ReadableStream<Uint8Array>> {
    return saveArchive(this.#state, refs, format);
  }

  /** Images as an OCI layout in a new directory. */
  saveLayout(refs: string[], dir: string): Promise<void> {
    return saveLayout(this.#state, refs, dir);
  }

  /** Tries credentials at their registry. */
  login(request: LoginRequest): Promise<{ identityToken?: string }> {
    const { registry, ...credentials } = request;
    const insecure = this.#options.insecureRegistry?.(registry) ?? false;
    return withWorker(
      this.#state.workers.pull,
      new AbortController().signal,
      (host) => host.call("login", { registry, credentials, ...(insecure ? { insecure } : {}) }),
    );
  }

  /** Bytes of all images, each blob and layer counted once. */
  async usage(): Promise<ImageUsage> {
    const { paths, index, callbacks, workers } = this.#state;
    const ids = [...index.ids];
    const unused = ids.filter((id) => callbacks.usedBy(id).length === 0);
    const [{ bytes }, reclaimable] = await Promise.all([
      workers.rootfs.call("usage", { paths: [paths.imagesDir, paths.layersDir] }),
      bytesFreedBy(this.#state, unused),
    ]);
    const [blobs = 0, layers = 0] = bytes;
    return {
      images: blobs + layers,
      blobs,
      layers,
      reclaimable,
      total: ids.length,
      active: ids.length - unused.length,
    };
  }
}
