/**
 * One blob on its way from a registry to the disk: resumed by Range after any cut, hashed as it passes, verified, synced, renamed.
 *
 * Writing a buffer (on a pool thread), hashing it and waiting for the next one overlap. A download serves any number of requesters and
 * stops when the last has left; what it wrote stays and is resumed by the next.
 */

import { DigestVerifier } from "../../daemon/spec/digest_verifier.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import type { Descriptor } from "../../daemon/spec/image.ts";
import type { BlobStore } from "./blob_store.ts";
import { diskError } from "./blob_store.ts";
import { bufferReader } from "./body.ts";
import type { Feed } from "./feed.ts";
import type { GuardedResponse, RegistryClient, Repository } from "./registry_client.ts";
import { retryDelayMs, sleep } from "./retry.ts";
import type { SlotsByHost } from "./slots.ts";
import { Pace } from "./stall.ts";
import { connectionError, discard } from "./transport.ts";

/** What all downloads of a worker share. */
export interface DownloadContext {
  client: RegistryClient;
  store: BlobStore;
  /** Bounds how many talk to registries at once. */
  slots: SlotsByHost;
}

/** Bytes after which broken connections have made progress and failures are counted anew. */
const PROGRESS_BYTES = 64 * 1024;
/** Size of reads when bytes on disk are hashed again. */
const REHASH_SIZE = 256 * 1024;

/** A download under way. It begins when constructed. */
export class Download {
  /** Settles when the blob is committed, or with what went wrong; every file is closed then. */
  readonly finished: Promise<void>;
  /** Whom to tell that bytes have arrived. */
  readonly listeners = new Set<() => void>();
  readonly repository: Repository;
  readonly descriptor: Descriptor;
  readonly #context: DownloadContext;
  readonly #feeds = new Set<Feed>();
  readonly #controller = new AbortController();
  #verifier: DigestVerifier;
  /** Bytes hashed, and written or being written. */
  #offset = 0;
  /** Bytes in the file. */
  #written = 0;
  #downloaded = 0;
  #verified = false;
  /** The server has shown that it cannot do ranges of this blob. */
  #rangeless = false;
  #writing: Promise<void> = Promise.resolve();

  /**
   * @param context what all downloads share
   * @param repository where to get it
   * @param descriptor what to get
   */
  constructor(context: DownloadContext, repository: Repository, descriptor: Descriptor) {
    this.#context = context;
    this.repository = repository;
    this.descriptor = descriptor;
    this.#verifier = new DigestVerifier(descriptor.digest, descriptor.size);
    this.finished = this.#run();
    this.finished.catch(() => {});
  }

  /** Bytes of the blob that are in the file. */
  get current(): number {
    return this.#written;
  }

  /** Bytes that came over the network. */
  get downloaded(): number {
    return this.#downloaded;
  }

  /** Whether it was given up and only winds down. */
  get canceled(): boolean {
    return this.#controller.signal.aborted;
  }

  /** Gives up; the partial file stays. */
  cancel(): void {
    this.#controller.abort(new NyxError("canceled", `Download of ${this.descriptor.digest} was canceled`));
  }

  /** Hands the blob's bytes to a feed too, from where that feed stands. */
  addFeed(feed: Feed): void {
    this.#feeds.add(feed);
    if (this.#verified) feed.complete();
    else feed.advance(this.#written);
  }

  /** Stops handing bytes to a feed. */
  removeFeed(feed: Feed): void {
    this.#feeds.delete(feed);
  }

  async #run(): Promise<void> {
    const { store } = this.#context;
    const { digest } = this.descriptor;
    try {
      if (await this.#useCached()) return;
      await this.#ingest();
      await store.commit(digest);
    } finally {
      store.release(digest);
    }
  }

  #announceVerified(): void {
    this.#verified = true;
    this.#written = this.descriptor.size;
    for (const feed of this.#feeds) feed.complete();
    for (const listener of this.listeners) listener();
  }

  /** Uses the blob in the store when its bytes are right; a wrong one is removed, its name proves nothing. */
  async #useCached(): Promise<boolean> {
    const { digest, size } = this.descriptor;
    const path = this.#context.store.blobPath(digest);
    let file: Deno.FsFile;
    try {
      file = await Deno.open(path, { read: true });
    } catch (e) {
      if (e instanceof Deno.errors.NotFound) return false;
      throw e;
    }
    using _file = file;
    const verifier = new DigestVerifier(digest);
    await this.#readThrough(file, (buffer) => verifier.update(buffer));
    try {
      verifier.verify("cached blob");
    } catch {
      await Deno.remove(path);
      return false;
    }
    if (verifier.size !== size) throw wrongSize(digest, verifier.size, size);
    this.#announceVerified();
    return true;
  }

  async #readThrough(file: Deno.FsFile, use: (buffer: Uint8Array<ArrayBuffer>) => void): Promise<void> {
    while (true) {
      this.#controller.signal.throwIfAborted();
      const buffer = new Uint8Array(REHASH_SIZE);
      const length = await file.read(buffer);
      if (length === null) return;
      use(buffer.subarray(0, length));
    }
  }

  /** Fills the partial file until it is whole, verified and synced. */
  async #ingest(): Promise<void> {
    const { digest, size } = this.descriptor;
    const path = this.#context.store.ingestPath(digest);
    using file = await Deno.open(path, { read: true, write: true, create: true, mode: 0o600 });
    try {
      while (true) {
        await this.#rehash(file);
        const resumed = this.#offset;
        await this.#context.store.reserve(digest, size - resumed);
        await this.#download(file);
        try {
          this.#verifier.verify("blob");
          break;
        } catch (e) {
          await file.truncate(0);
          // Bytes left by an earlier run may be what is wrong, for example after a power failure: these are worth a second try.
          this.#startOver();
          if (resumed === 0 || [...this.#feeds].some((feed) => feed.started)) throw asRetryable(e, resumed > 0);
          await file.seek(0, Deno.SeekMode.Start);
        }
      }
      this.#announceVerified();
      await file.sync();
    } catch (e) {
      if (this.#written === 0) await Deno.remove(path).catch(() => {});
      throw diskError(e, digest);
    }
  }

  #startOver(): void {
    this.#verifier = new DigestVerifier(this.descriptor.digest, this.descriptor.size);
    this.#offset = 0;
    this.#written = 0;
  }

  /** Hashes what an earlier run left, and hands it on. */
  async #rehash(file: Deno.FsFile): Promise<void> {
    const { size } = await file.stat();
    if (size > this.descriptor.size) {
      await file.truncate(0);
      return;
    }
    if (size === 0) return;
    await this.#readThrough(file, (buffer) => {
      this.#verifier.update(buffer);
      const start = this.#offset;
      this.#offset += buffer.byteLength;
      this.#handOn(buffer, start);
    });
  }

  /** Hands on bytes that are in the file. */
  #handOn(buffer: Uint8Array<ArrayBuffer>, start: number): void {
    this.#written = start + buffer.byteLength;
    this.#context.store.note(this.descriptor.digest, this.descriptor.size - this.#written);
    for (const feed of this.#feeds) {
      if (feed.offer(buffer, start)) break;
    }
    for (const feed of this.#feeds) feed.advance(this.#written);
    for (const listener of this.listeners) listener();
  }

  async #download(file: Deno.FsFile): Promise<void> {
    const { client, slots } = this.#context;
    const { signal } = this.#controller;
    if (this.#offset >= this.descriptor.size) return;
    using _slot = await slots.acquire(this.repository.ref.domain, signal);
    let milestone = this.#offset;
    for (let failures = 0; this.#offset < this.descriptor.size;) {
      try {
        await this.#attempt(file, failures > 0);
      } catch (e) {
        signal.throwIfAborted();
        const progressed = this.#offset - milestone >= PROGRESS_BYTES;
        if (progressed) milestone = this.#offset;
        failures = progressed ? 1 : failures + 1;
        const delayMs = retryDelayMs(client.options.retry, e, failures);
        if (delayMs === undefined) throw e;
        await sleep(delayMs, signal);
      }
    }
  }

  /** One request, from the present offset to the end or to whatever breaks it; `careful` where a connection broke before. */
  async #attempt(file: Deno.FsFile, careful: boolean): Promise<void> {
    const { digest, size } = this.descriptor;
    const { signal } = this.#controller;
    const ranged = this.#offset > 0 && !this.#rangeless;
    using response = await this.#context.client.requestOnce(this.repository, {
      method: "GET",
      path: `blobs/${digest}`,
      headers: ranged ? { range: `bytes=${this.#offset}-` } : {},
      accept: ranged ? [200, 206, 416] : [200],
      what: `blob ${digest}`,
    }, signal);
    const extent = await this.#extentOf(response, ranged);
    let { skip } = extent;
    if (response.body === null) throw broken(digest, this.#offset, size);
    const reader = bufferReader(response.body, response.stall, { expected: size - this.#offset + skip, careful });
    const pace = new Pace(this.#context.client.options.stallMs, response.url.host);
    try {
      for (let buffer = await reader.next(); buffer !== undefined; buffer = await reader.next()) {
        pace.took(buffer.byteLength);
        this.#downloaded += buffer.byteLength;
        const skipped = Math.min(skip, buffer.byteLength);
        skip -= skipped;
        if (skipped < buffer.byteLength) await this.#take(file, buffer.subarray(skipped));
      }
      if (this.#offset < extent.end) throw broken(digest, this.#offset, size);
    } catch (e) {
      if (response.stall.signal.aborted) throw response.stall.signal.reason;
      throw isDiskError(e) ? e : connectionError(e, response.url);
    } finally {
      reader.cancel();
      await this.#writing;
    }
  }

  /**
   * Checks a response's head against what was asked for.
   *
   * @returns bytes at the beginning of the body that are there already, and the offset at which the body ends
   */
  async #extentOf(response: GuardedResponse, ranged: boolean): Promise<{ skip: number; end: number }> {
    const { digest, size } = this.descriptor;
    const { status, headers } = response;
    const encoding = headers.get("content-encoding") ?? "identity";
    if (encoding !== "identity") {
      await discard(response);
      throw new NyxError(
        "data_loss",
        `Refused blob ${digest}: ${response.url.host} sends it encoded as ${encoding.slice(0, 40)}`,
      );
    }
    const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(headers.get("content-range") ?? "") ?? [];
    const fits = Number(first) === this.#offset && Number(last) >= this.#offset && Number(last) < size &&
      (total === "*" || Number(total) === size);
    if (status === 416 || (status === 206 && !fits)) {
      await discard(response);
      this.#rangeless = true;
      throw new NyxError("unavailable", `Could not resume blob ${digest}: ${response.url.host} refuses the range`, {
        retryable: ranged,
      });
    }
    const end = status === 206 ? Number(last) + 1 : size;
    const expected = status === 206 ? end - this.#offset : size;
    const length = headers.get("content-length");
    if (length !== null && Number(length) !== expected) {
      await discard(response);
      throw wrongSize(digest, Number(length), expected);
    }
    return { skip: status === 206 ? 0 : this.#offset, end };
  }

  /** Writes and hashes the next bytes; they are handed on when they are in the file. */
  async #take(file: Deno.FsFile, buffer: Uint8Array<ArrayBuffer>): Promise<void> {
    const { digest, size } = this.descriptor;
    await this.#writing;
    const start = this.#offset;
    if (start + buffer.byteLength > size) throw wrongSize(digest, undefined, size);
    this.#writing = writeAll(file, buffer).then(() => this.#handOn(buffer, start));
    this.#writing.catch(() => {});
    this.#verifier.update(buffer);
    this.#offset = start + buffer.byteLength;
  }
}

async function writeAll(file: Deno.FsFile, buffer: Uint8Array): Promise<void> {
  for (let at = 0; at < buffer.byteLength;) at += await file.write(at === 0 ? buffer : buffer.subarray(at));
}

/** Whether an error came from the file rather than from the network: only those have an errno. */
function isDiskError(e: unknown): boolean {
  const code = (e as { code?: unknown } | null)?.code;
  return !(e instanceof NyxError) && typeof code === "string" && /^E[A-Z]+$/.test(code) &&
    !/^E(CONN|PIPE|TIME|HOST)/.test(code);
}

function asRetryable(e: unknown, retryable: boolean): unknown {
  if (!(e instanceof NyxError) || !retryable) return e;
  return new NyxError(e.code, e.message, { ...e.details, retryable: true });
}

function broken(digest: string, offset: number, size: number): NyxError {
  return new NyxError("unavailable", `Connection ended at byte ${offset} of ${size} of blob ${digest}`, {
    retryable: true,
  });
}

function wrongSize(digest: string, actual: number | undefined, size: number): NyxError {
  return new NyxError(
    "data_loss",
    `Refused blob ${digest}: it has ${actual ?? "more than the expected"} bytes, its descriptor says ${size}`,
    { context: { digest, expectedSize: size, ...(actual === undefined ? {} : { size: actual }) } },
  );
}
