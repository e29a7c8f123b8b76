/**
 * Hands a blob's bytes to an extractor while they arrive, each byte once.
 *
 * A feed that keeps up gets the downloaded buffers themselves. One that lags, because the extractor grants no credit, does not hold
 * up the download: it reads what it missed from the file. So memory is bounded by the port's window, whatever the speeds.
 */

import { NyxError } from "../../daemon/spec/errors.ts";
import type { ByteSender } from "../channel.ts";

const READ_SIZE = 256 * 1024;

/** One requester's stream of a blob. */
export class Feed {
  readonly #sender: ByteSender;
  readonly #size: number;
  readonly #open: () => Promise<Deno.FsFile>;
  readonly #done = Promise.withResolvers<void>();
  #file: Deno.FsFile | undefined;
  /** Bytes handed over. */
  #sent = 0;
  /** Bytes that the file is known to hold. */
  #available = 0;
  #busy = false;
  #verified = false;
  #closed = false;

  /**
   * @param sender sending end towards the extractor
   * @param size bytes of the whole blob
   * @param open opens the blob's file, partial or complete, for reading
   */
  constructor(sender: ByteSender, size: number, open: () => Promise<Deno.FsFile>) {
    this.#sender = sender;
    this.#size = size;
    this.#open = open;
  }

  /** Whether bytes were handed over, so that the content can no longer be exchanged. */
  get started(): boolean {
    return this.#sent > 0 || this.#busy;
  }

  /** Settles when all was handed over, the extractor stopped listening, or {@linkcode fail} was called. Never rejects. */
  get done(): Promise<void> {
    return this.#done.promise;
  }

  /**
   * Offers a buffer that begins at `start` of the blob and is in the file already.
   *
   * @returns whether the feed took it; it is transferred then and must not be used any more
   */
  offer(buffer: Uint8Array<ArrayBuffer>, start: number): boolean {
    if (this.#closed || this.#busy || start !== this.#sent) return false;
    void this.#step(() => Promise.resolve(buffer));
    return true;
  }

  /** Says that the file holds at least `available` bytes. */
  advance(available: number): void {
    this.#available = Math.max(this.#available, available);
    this.#pump();
  }

  /** Says that the whole blob is there and was verified: the stream ends as soon as all is sent. */
  complete(): void {
    this.#verified = true;
    this.advance(this.#size);
  }

  /** Ends the stream with an error. Idempotent. */
  fail(e: unknown): void {
    if (this.#closed) return;
    this.#sender.fail(e);
    this.#close();
  }

  #pump(): void {
    if (this.#closed || this.#busy) return;
    if (this.#sent < this.#available) void this.#step(() => this.#read());
    else if (this.#verified) {
      this.#sender.end();
      this.#close();
    }
  }

  /** Sends one buffer, then goes on with whatever has become possible. */
  async #step(next: () => Promise<Uint8Array<ArrayBuffer>>): Promise<void> {
    this.#busy = true;
    try {
      const buffer = await next();
      if (this.#closed) return;
      const length = buffer.byteLength;
      await this.#sender.send(buffer);
      this.#sent += length;
    } catch (e) {
      this.fail(e);
    } finally {
      this.#busy = false;
    }
    this.#pump();
  }

  async #read(): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#file === undefined) {
      const file = await this.#open();
      if (this.#closed) {
        file.close();
        return new Uint8Array();
      }
      this.#file = file;
    }
    await this.#file.seek(this.#sent, Deno.SeekMode.Start);
    const buffer = new Uint8Array(Math.min(READ_SIZE, this.#available - this.#sent));
    const length = await this.#file.read(buffer);
    if (length === null || length === 0) {
      throw new NyxError("data_loss", `Could not hand on the blob from byte ${this.#sent}: its file became shorter`, {
        retryable: true,
      });
    }
    return buffer.subarray(0, length);
  }

  #close(): void {
    this.#closed = true;
    this.#file?.close();
    this.#file = undefined;
    this.#done.resolve();
  }
}
