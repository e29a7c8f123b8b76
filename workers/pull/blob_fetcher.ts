/** The fetchBlob operation: one download a digest, shared by all who want it. */

import { parseDigest } from "../../daemon/spec/digest.ts";
import { invalid } from "../../daemon/spec/errors.ts";
import { ByteSender } from "../channel.ts";
import type { PullStage } from "../protocol.ts";
import { Download, type DownloadContext } from "./download.ts";
import { Feed } from "./feed.ts";
import { type Repository, repositoryOf } from "./registry_client.ts";

type FetchBlob = PullStage["ops"]["fetchBlob"];

/** What a request brings beside its payload. */
export interface FetchOptions {
  signal: AbortSignal;
  progress: (p: FetchBlob["progress"]) => void;
}

/** Least time between two progress messages of one request, in milliseconds. */
const PROGRESS_INTERVAL_MS = 100;

/** Serves fetchBlob requests of one worker. */
export class BlobFetcher {
  readonly #context: DownloadContext;
  readonly #active = new Map<string, { download: Download; requesters: number }>();

  /** @param context registries, store, and how many downloads may run at once */
  constructor(context: DownloadContext) {
    this.#context = context;
  }

  /**
   * Brings a blob into the store; with a port its bytes go out as they arrive.
   *
   * The request ends when the blob is committed and the port, unless its receiver cancelled, has got everything.
   *
   * @throws NyxError data_loss for wrong bytes, resource_exhausted for a full disk, and as the registry answers
   */
  async fetch(request: FetchBlob["request"], options: FetchOptions): Promise<FetchBlob["result"]> {
    const { descriptor, port } = request;
    const { signal } = options;
    const { digest, size } = descriptor;
    const sender = port === undefined ? undefined : new ByteSender(port);
    let feed: Feed | undefined;
    try {
      parseDigest(digest, "blob digest");
      if (!Number.isSafeInteger(size) || size < 0) {
        throw invalid("blob size", size, "give the descriptor's size in bytes");
      }
      const repository = repositoryOf(request);
      if (sender !== undefined) feed = new Feed(sender, size, () => this.#context.store.openBlob(digest));
      const downloaded = await this.#obtain(repository, request, { ...options, feed });
      if (feed !== undefined) await orAbort(feed.done, signal);
      return { digest, size, downloaded };
    } catch (e) {
      if (feed !== undefined) feed.fail(e);
      else sender?.fail(e);
      throw e;
    }
  }

  /** Joins the download under way, or begins one; when another's registry or login failed, this one's own is tried. */
  async #obtain(
    repository: Repository,
    { descriptor }: FetchBlob["request"],
    options: FetchOptions & { feed: Feed | undefined },
  ): Promise<number> {
    const { signal } = options;
    const { digest, size } = descriptor;
    while (true) {
      signal.throwIfAborted();
      const active = this.#active.get(digest);
      if (active === undefined) {
        const download = new Download(this.#context, repository, descriptor);
        const entry = { download, requesters: 0 };
        this.#active.set(digest, entry);
        const forget = () => this.#active.delete(digest);
        download.finished.then(forget, forget);
        await this.#join(entry, size, options);
        return download.downloaded;
      }
      if (active.download.canceled || active.download.descriptor.size !== size) {
        await orAbort(active.download.finished.catch(() => {}), signal);
        continue;
      }
      try {
        await this.#join(active, size, options);
        return 0;
      } catch (e) {
        signal.throwIfAborted();
        if (sameAccess(active.download.repository, repository)) throw e;
      }
    }
  }

  async #join(
    entry: { download: Download; requesters: number },
    size: number,
    options: FetchOptions & { feed: Feed | undefined },
  ): Promise<void> {
    const { download } = entry;
    const { feed, progress, signal } = options;
    let lastMs = 0;
    let last = -1;
    const report = (final: boolean) => {
      const now = performance.now();
      if (download.current === last || (!final && now - lastMs < PROGRESS_INTERVAL_MS)) return;
      lastMs = now;
      last = download.current;
      progress({ current: last, size });
    };
    const listener = () => report(false);
    entry.requesters++;
    download.listeners.add(listener);
    if (feed !== undefined) download.addFeed(feed);
    try {
      await orAbort(download.finished, signal);
      report(true);
    } finally {
      entry.requesters--;
      download.listeners.delete(listener);
      if (feed !== undefined) download.removeFeed(feed);
      if (entry.requesters === 0) download.cancel();
    }
  }
}

function sameAccess(a: Repository, b: Repository): boolean {
  return a.ref.domain === b.ref.domain && a.ref.path === b.ref.path &&
    JSON.stringify(a.credentials) === JSON.stringify(b.credentials);
}

/** Waits for a promise, but not longer than until the signal aborts. */
function orAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(signal.reason);
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
