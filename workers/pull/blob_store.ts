/**
 * The blob directory as the pull worker writes it: `blobs/<algorithm>/<hex>` complete and verified, `ingest/<algorithm>-<hex>`
 * partial. A blob appears under its final name by rename only after its bytes were verified and synced.
 */

import { statfs } from "node:fs";
import { type Digest, parseDigest } from "../../daemon/spec/digest.ts";
import { NyxError } from "../../daemon/spec/errors.ts";

/** Bytes that stay free on the disk by default. */
export const DEFAULT_MIN_FREE_BYTES = 64 * 1024 * 1024;

/** Paths and disk space of one images directory. */
export class BlobStore {
  readonly #imagesDir: string;
  readonly #minFreeBytes: number;
  /** Bytes that downloads under way still have to write, by digest. */
  readonly #reserved = new Map<string, number>();
  readonly #syncs = new Map<string, { running: Promise<void>; next: Promise<void> | undefined }>();

  /**
   * @param imagesDir images/ directory; its subdirectories are made when missing
   * @param minFreeBytes bytes that must stay free
   */
  constructor(imagesDir: string, minFreeBytes: number = DEFAULT_MIN_FREE_BYTES) {
    this.#imagesDir = imagesDir;
    this.#minFreeBytes = minFreeBytes;
    for (const dir of ["ingest", "blobs/sha256", "blobs/sha512"]) {
      Deno.mkdirSync(`${imagesDir}/${dir}`, { recursive: true, mode: 0o700 });
    }
  }

  /** Where a complete blob lies. */
  blobPath(digest: string): string {
    const { algorithm, hex } = parseDigest(digest);
    return `${this.#blobDir({ algorithm, hex })}/${hex}`;
  }

  /** Where a partial blob lies. */
  ingestPath(digest: string): string {
    const { algorithm, hex } = parseDigest(digest);
    return `${this.#imagesDir}/ingest/${algorithm}-${hex}`;
  }

  /**
   * Opens a blob for reading wherever it lies now, also while it is being committed.
   *
   * @throws Deno.errors.NotFound when it is neither complete nor partial
   */
  async openBlob(digest: string): Promise<Deno.FsFile> {
    for (const path of [this.blobPath(digest), this.ingestPath(digest)]) {
      try {
        return await Deno.open(path, { read: true });
      } catch (e) {
        if (!(e instanceof Deno.errors.NotFound)) throw e;
      }
    }
    return await Deno.open(this.blobPath(digest), { read: true });
  }

  #blobDir({ algorithm }: Digest): string {
    return `${this.#imagesDir}/blobs/${algorithm}`;
  }

  /**
   * Puts a verified and synced partial blob under its final name, durably.
   *
   * @throws NyxError resource_exhausted, or whatever the disk fails with
   */
  async commit(digest: string): Promise<void> {
    try {
      await Deno.rename(this.ingestPath(digest), this.blobPath(digest));
      await this.#syncDir(this.#blobDir(parseDigest(digest)));
    } catch (e) {
      throw diskError(e, digest);
    }
  }

  /** Makes renames in a directory durable; those who come while one sync runs share the next. */
  #syncDir(dir: string): Promise<void> {
    const sync = async () => {
      using handle = await Deno.open(dir, { read: true });
      await handle.sync();
    };
    const state = this.#syncs.get(dir);
    if (state === undefined) {
      const running = sync().finally(() => {
        if (this.#syncs.get(dir)?.next === undefined) this.#syncs.delete(dir);
      });
      this.#syncs.set(dir, { running, next: undefined });
      return running;
    }
    state.next ??= state.running.catch(() => {}).then(() => {
      this.#syncs.delete(dir);
      return this.#syncDir(dir);
    });
    return state.next;
  }

  /**
   * Notes what a download still has to write, and refuses when the disk cannot take it beside all others under way.
   *
   * @throws NyxError resource_exhausted
   */
  async reserve(digest: string, remaining: number): Promise<void> {
    this.#reserved.set(digest, remaining);
    const free = await freeBytes(this.#imagesDir);
    if (free === undefined) return;
    let wanted = 0;
    for (const bytes of this.#reserved.values()) wanted += bytes;
    if (free - wanted >= this.#minFreeBytes) return;
    throw new NyxError(
      "resource_exhausted",
      `Could not store blob ${digest}: ${wanted} bytes are still to come, ${free} are free on the disk of ` +
        `${this.#imagesDir} and ${this.#minFreeBytes} must stay free. Make room, for example with: nyx image prune`,
      { context: { digest, remaining, free } },
    );
  }

  /** Says how much of a reservation is still to be written. */
  note(digest: string, remaining: number): void {
    if (this.#reserved.has(digest)) this.#reserved.set(digest, remaining);
  }

  /** Ends what {@linkcode reserve} began. */
  release(digest: string): void {
    this.#reserved.delete(digest);
  }
}

/** Free bytes on a directory's disk; undefined when the worker may not ask. */
function freeBytes(dir: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    try {
      statfs(dir, (e, stats) => resolve(e === null ? stats.bavail * stats.bsize : undefined));
    } catch {
      resolve(undefined);
    }
  });
}

/** The error for a failed write: a full disk is resource_exhausted and leaves a partial blob that can be resumed. */
export function diskError(e: unknown, digest: string): unknown {
  const code = (e as { code?: unknown } | null)?.code;
  if (code !== "ENOSPC" && code !== "EDQUOT") return e;
  return new NyxError(
    "resource_exhausted",
    `Could not store blob ${digest}: the disk is full. Make room, for example with: nyx image prune, and pull again; ` +
      "the download goes on where it stopped",
    { errno: code, context: { digest }, cause: e },
  );
}
