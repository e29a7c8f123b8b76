/**
 * One attached client of a container or exec: frames go out over a ByteSender, with a bound on what waits.
 *
 * Policy for a client that reads too slowly: up to HIGH_WATER bytes wait here (beside the channel's own window). Beyond that,
 * with log mode `block` the container's output is left in its pipe until the client has caught up, so the container waits as
 * it would on any full pipe; with `drop` the client loses chunks, which are counted. The log never loses anything by it.
 */

import { encodeFrame } from "../../daemon/spec/frames.ts";
import { ByteSender } from "../channel.ts";
import type { StreamKind } from "./record.ts";

/** Bytes that may wait for one client. */
export const HIGH_WATER = 1024 * 1024;
const LOW_WATER = 256 * 1024;

/** What to do with an attachment's news. */
export interface AttachmentOptions {
  stdout: boolean;
  stderr: boolean;
  /** A slow client loses chunks instead of holding the container up. */
  drop: boolean;
  /** Called when the queue has drained below the low-water mark after it was over the high one. */
  onDrained: () => void;
}

/** Outgoing half of an attachment. */
export class Attachment {
  readonly #sender: ByteSender;
  readonly #options: AttachmentOptions;
  readonly #queue: Uint8Array<ArrayBuffer>[] = [];
  #held: Uint8Array<ArrayBuffer>[] | undefined;
  #waiting = 0;
  #over = false;
  #ending = false;
  #gone = false;
  #reason: "exited" | "detached" = "exited";
  #pumping = false;
  /** Chunks lost to the `drop` policy. */
  dropped = 0;
  readonly #done = Promise.withResolvers<"exited" | "detached">();

  /** @param port goes to the client's side */
  constructor(port: MessagePort, options: AttachmentOptions) {
    this.#options = options;
    this.#sender = new ByteSender(port);
    port.addEventListener("message", () => {
      if (this.#sender.canceled !== undefined) this.detach();
    });
  }

  /** Settles when all was sent after {@linkcode end}, or the client went. */
  get done(): Promise<"exited" | "detached"> {
    return this.#done.promise;
  }

  /** More waits than may. */
  get congested(): boolean {
    return this.#over;
  }

  /** Queues a copy of output of one stream. */
  push(kind: StreamKind, bytes: Uint8Array): void {
    if (this.#ending || bytes.byteLength === 0) return;
    if (kind === 1 ? !this.#options.stdout : !this.#options.stderr) return;
    if (this.#over && this.#options.drop) {
      this.dropped++;
      return;
    }
    for (let at = 0; at < bytes.byteLength; at += HIGH_WATER / 2) {
      this.#pushLive(encodeFrame(kind, bytes.subarray(at, at + HIGH_WATER / 2)));
    }
  }

  /** Holds live output back until {@linkcode release}, so that a replay can go first. */
  hold(): void {
    this.#held ??= [];
  }

  /** Lets go what was held. */
  release(): void {
    this.#queue.push(...this.#held ?? []);
    this.#held = undefined;
    void this.#pump();
  }

  /** Queues encoded frames of the replay; the buffer is given away. */
  pushReplay(frames: Uint8Array<ArrayBuffer>): void {
    if (this.#gone) return;
    this.#queue.push(frames);
    this.#waiting += frames.byteLength;
    void this.#pump();
  }

  #pushLive(frame: Uint8Array<ArrayBuffer>): void {
    (this.#held ?? this.#queue).push(frame);
    this.#waiting += frame.byteLength;
    if (this.#waiting > HIGH_WATER) this.#over = true;
    if (this.#held === undefined) void this.#pump();
  }

  /** No more output: settles `done` with the reason once everything was sent. */
  end(reason: "exited" | "detached" = "exited"): void {
    this.#ending = true;
    this.#reason = reason;
    void this.#pump();
  }

  /** The client is gone or is to go: forgets what waits. Idempotent. */
  detach(): void {
    if (this.#gone) return;
    this.#gone = true;
    if (this.#sender.canceled === undefined) this.#sender.end();
    this.#ending = true;
    this.#queue.length = 0;
    this.#held = undefined;
    this.#waiting = 0;
    this.#done.resolve("detached");
    this.#release();
  }

  #release(): void {
    if (!this.#over || this.#waiting > LOW_WATER) return;
    this.#over = false;
    this.#options.onDrained();
  }

  async #pump(): Promise<void> {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        const size = next.byteLength;
        await this.#sender.send(next);
        if (this.#gone) return;
        this.#waiting = Math.max(0, this.#waiting - size);
        this.#release();
      }
      if (this.#ending && !this.#gone && this.#held === undefined) {
        this.#gone = true;
        this.#sender.end();
        this.#done.resolve(this.#reason);
      }
    } catch {
      // The receiver cancelled.
      this.detach();
    } finally {
      this.#pumping = false;
    }
  }
}
