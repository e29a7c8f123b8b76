/**
 * The pipeline of one layer: compressed bytes come in, are hashed, decompressed, hashed again, parsed and written as they come; the
 * layer is committed when both digests and the size are right.
 */

import { createHash, type Hash } from "node:crypto";
import { invalid, NyxError } from "../../daemon/spec/errors.ts";
import type { Descriptor } from "../../daemon/spec/image.ts";
import { LAYER_VERSION, type LayerRecord } from "../../daemon/spec/layer_store.ts";
import { isErrno, SyscallError } from "../../ffi/errno.ts";
import type { FileKernel } from "../../ffi/file.ts";
import type { ExtractLimits } from "../protocol.ts";
import { type Decompressor, decompressor, type DecompressorOptions, detect, MAGIC_LENGTH } from "./decompress.ts";
import { LayerWriter } from "./layer_writer.ts";
import { LimitGuard } from "./limits.ts";
import { Pacer, pause } from "./pacer.ts";
import type { LayerStore, TemporaryLayer } from "./store.ts";
import { refused } from "./tar/errors.ts";
import { TarReader } from "./tar/reader.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** What to extract. */
export interface LayerJob {
  /** Descriptor of the compressed blob. */
  blob: Descriptor;
  /** sha256 of the tar. */
  diffId: string;
  /** The blob's bytes. A chunk must not change until the next is asked for. */
  source: AsyncIterable<Bytes> | Iterable<Bytes>;
  limits: ExtractLimits;
}

/** Options of {@linkcode extractLayer}. */
export interface ExtractOptions extends DecompressorOptions {
  /** Gives up when aborted. */
  signal?: AbortSignal;
  /** Told why bytes are no longer wanted, before the source is left. */
  onFailure?: (reason: unknown) => void;
  /** Told the compressed bytes so far; called often. */
  onProgress?: (current: number) => void;
}

/**
 * Extracts a layer into the store. A failure leaves nothing behind, unless the process dies meanwhile.
 *
 * @returns the record of the layer, committed now or by someone else meanwhile
 * @throws NyxError data_loss for wrong digests, sizes and damaged data; invalid_argument for an entry that is refused;
 *   resource_exhausted for a limit or a full disk; canceled
 */
export async function extractLayer(
  k: FileKernel,
  store: LayerStore,
  job: LayerJob,
  options: ExtractOptions = {},
): Promise<LayerRecord> {
  const temporary = store.begin(job.diffId);
  try {
    using pipeline = new Pipeline(k, temporary, job, options);
    await pipeline.run();
    return store.commit(temporary, pipeline.record());
  } catch (e) {
    throw explain(e);
  } finally {
    temporary[Symbol.dispose]();
    await removeLeftover(store, temporary);
  }
}

/** After a commit the temporary name is gone, or holds the slower of two extractions of one layer. */
async function removeLeftover(store: LayerStore, temporary: TemporaryLayer): Promise<void> {
  try {
    const slices = store.discard(temporary.name);
    while (slices.next().done !== true) await pause();
  } catch {
    // The outcome is known already; the next `clean` takes what is left.
  }
}

function explain(e: unknown): unknown {
  if (!isErrno(e, "ENOSPC", "EDQUOT")) return e;
  return new NyxError(
    "resource_exhausted",
    "Could not extract the layer: the disk is full; free some space and retry",
    {
      syscall: e.syscall,
      errno: e.code,
      cause: e,
    },
  );
}

/** Hash by a digest's algorithm; only registered algorithms of the OCI image-spec are taken. */
function hashFor(digest: string): Hash {
  const match = /^(?:(sha256):[0-9a-f]{64}|(sha512):[0-9a-f]{128})$/.exec(digest);
  const algorithm = match?.[1] ?? match?.[2];
  if (algorithm === undefined) throw invalid("digest", digest, "give sha256: and 64, or sha512: and 128 hex digits");
  return createHash(algorithm);
}

/** State of one extraction. */
class Pipeline implements Disposable {
  readonly #writer: LayerWriter;
  readonly #reader: TarReader;
  readonly #guard: LimitGuard;
  readonly #pacer: Pacer;
  readonly #blobHash: Hash;
  readonly #diffHash: Hash = createHash("sha256");
  #decompressor: Decompressor | undefined;
  /** First bytes, until there are enough to tell the compression. */
  #head: Bytes = new Uint8Array(0);
  #pending: Promise<Bytes | undefined> | undefined;
  #received = 0;
  #tarSize = 0;

  constructor(
    k: FileKernel,
    temporary: TemporaryLayer,
    private readonly job: LayerJob,
    private readonly options: ExtractOptions,
  ) {
    this.#blobHash = hashFor(job.blob.digest);
    this.#writer = new LayerWriter(k, temporary.rootFd, job.limits);
    this.#reader = new TarReader(this.#writer);
    this.#guard = new LimitGuard(k, temporary.rootFd, job.limits);
    this.#pacer = new Pacer(options.signal);
  }

  [Symbol.dispose](): void {
    this.#writer[Symbol.dispose]();
    this.#decompressor?.[Symbol.dispose]();
  }

  async run(): Promise<void> {
    try {
      await this.#consume();
    } finally {
      // A pool thread may still fill a buffer: it must be done before anything is let go.
      await this.#pending?.catch(() => {});
    }
    this.#reader.finish();
    const rest = this.#writer.finish();
    while (rest.next().done !== true) await this.#pacer.turn();
    this.#verify();
  }

  record(): Omit<LayerRecord, "bootId"> {
    return {
      version: LAYER_VERSION,
      diffId: this.job.diffId,
      tarSize: this.#tarSize,
      diskBytes: this.#writer.diskBytes,
      entries: this.#reader.entries,
      ...(this.#writer.opaqueRoot ? { opaqueRoot: true } : {}),
    };
  }

  async #consume(): Promise<void> {
    const { size } = this.job.blob;
    for await (const chunk of this.job.source) {
      try {
        await this.#onChunk(chunk, size);
      } catch (e) {
        this.options.onFailure?.(e);
        throw e;
      }
      this.options.onProgress?.(this.#received);
    }
    if (this.#received < size) throw this.#mismatch("size", `${this.#received} bytes`, `${size} bytes`);
    this.#decompressor?.end();
    if (this.#decompressor !== undefined) await this.#drain(this.#decompressor);
  }

  async #onChunk(chunk: Bytes, size: number): Promise<void> {
    this.#pacer.check();
    this.#received += chunk.byteLength;
    if (this.#received > size) throw this.#mismatch("size", `more than ${size} bytes`, `${size} bytes`);
    let input = chunk;
    if (this.#decompressor === undefined) {
      this.#head = input = join(this.#head, chunk);
      if (input.byteLength < MAGIC_LENGTH && this.#received < size) return;
      this.#decompressor = decompressor(detect(input), this.options);
    }
    await this.#feed(this.#decompressor, input);
  }

  async #feed(d: Decompressor, input: Bytes): Promise<void> {
    d.setInput(input);
    const first = this.#request(d);
    this.#blobHash.update(input);
    await this.#drain(d, first);
  }

  /** Asks for the next slice while the caller is still busy with the one before. */
  #request(d: Decompressor): Bytes | undefined | Promise<Bytes | undefined> {
    const next = d.next();
    if (next instanceof Promise) {
      this.#pending = next;
      next.catch(() => {});
    }
    return next;
  }

  async #drain(d: Decompressor, first = this.#request(d)): Promise<void> {
    let slice = await first;
    while (slice !== undefined) {
      const following = this.#request(d);
      this.#take(slice);
      if (this.#pacer.due) await this.#pacer.turn();
      slice = await following;
    }
  }

  #take(slice: Bytes): void {
    this.#tarSize += slice.byteLength;
    this.#diffHash.update(slice);
    this.#guard.bytes(this.#tarSize, this.#received);
    try {
      this.#reader.push(slice);
    } catch (e) {
      throw this.#named(e);
    }
    this.#guard.entries(this.#reader.entries);
  }

  /** Adds the entry's name to a failed system call. */
  #named(e: unknown): unknown {
    const name = this.#reader.current;
    if (name === undefined || !(e instanceof SyscallError)) return e;
    const code = isErrno(e, "ENOSPC", "EDQUOT")
      ? "resource_exhausted"
      : isErrno(e, "ENAMETOOLONG", "EINVAL", "EFBIG")
      ? "invalid_argument"
      : isErrno(e, "EPERM", "EACCES")
      ? "permission_denied"
      : "internal";
    return refused(
      name,
      code === "resource_exhausted"
        ? "the disk is full; free some space and retry"
        : `${e.syscall} failed with ${e.code}`,
      code,
      e,
    );
  }

  #verify(): void {
    const algorithm = this.job.blob.digest.split(":")[0] ?? "";
    const digest = `${algorithm}:${this.#blobHash.digest("hex")}`;
    if (digest !== this.job.blob.digest) throw this.#mismatch("digest", digest, this.job.blob.digest);
    const diffId = `sha256:${this.#diffHash.digest("hex")}`;
    if (diffId !== this.job.diffId) throw this.#mismatch("diffID", diffId, this.job.diffId);
  }

  #mismatch(field: string, is: string, should: string): NyxError {
    return new NyxError(
      "data_loss",
      `Could not extract layer ${this.job.blob.digest}: its ${field} is ${is}, the image says ${should}; nothing was kept`,
      { context: { digest: this.job.blob.digest, diffId: this.job.diffId, field } },
    );
  }
}

function join(a: Bytes, b: Bytes): Bytes {
  const out = new Uint8Array(a.byteLength + b.byteLength);
  out.set(a);
  out.set(b, a.byteLength);
  return out;
}
