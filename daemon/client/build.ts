/** Calls about builds. */

import type { StreamEvent } from "../spec/api.ts";
import type { BuildPruneResult, BuildRequest, BuildResult } from "../spec/build.ts";
import { fromErrorData, NyxError } from "../spec/errors.ts";
import type { AttachedStream } from "./stream.ts";
import type { Transport } from "./transport.ts";

/** What goes along with a build, and who hears of it. */
export interface BuildUpload {
  /** The contexts as one tar; see {@linkcode BuildRequest}. */
  upload?: AsyncIterable<Uint8Array>;
  /** Hears the build's output. */
  onOutput?: (stream: "stdout" | "stderr", bytes: Uint8Array) => void;
  /** Hears events, such as of pulls. */
  onEvent?: (event: StreamEvent) => void;
  /** Connects a program of the build with the ssh agent of that id; without it such a program finds none. */
  agent?: (ssh: string) => Promise<Deno.Conn>;
  /** Gives the build up. */
  signal?: AbortSignal;
}

/** Calls about builds. */
export class BuildCalls {
  readonly #transport: Transport;

  /**
   * Made by the client.
   *
   * @param transport connections to the daemon
   */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Builds an image.
   *
   * @throws NyxError failed_precondition when the build fails, or there is no buildah; what reading the upload throws
   */
  async build(request: BuildRequest, options: BuildUpload = {}): Promise<BuildResult> {
    const { upload, onOutput, onEvent, agent, signal } = options;
    const first = { ...request, upload: upload !== undefined };
    using stream = await this.#transport.attach("/v1/build", first, { signal });
    let broken: { error: unknown } | undefined;
    void send(stream, upload).catch((error) => {
      broken = { error };
      stream.close();
    });
    using channels = new Channels(stream, agent);
    let result: BuildResult | undefined;
    for await (const piece of stream) {
      if (piece.kind === "channel") channels.take(piece.channel, piece.bytes);
      else if (piece.kind !== "event") onOutput?.(piece.kind, piece.bytes);
      else if (piece.event.event === "error") throw fromErrorData(piece.event.error);
      else if (piece.event.event === "channel") channels.open(piece.event.channel, piece.event.ssh);
      else {
        if (piece.event.event === "built") result = { id: piece.event.id, refs: piece.event.refs };
        onEvent?.(piece.event);
      }
    }
    if (broken !== undefined) throw broken.error;
    if (signal?.aborted === true) throw new NyxError("canceled", "The build was canceled", { cause: signal.reason });
    if (result === undefined) throw new NyxError("unavailable", "nyxd ended the build without saying how it went");
    return result;
  }

  /** Forgets the steps of earlier builds. */
  prune(): Promise<BuildPruneResult> {
    return this.#transport.json("POST", "/v1/build/prune");
  }
}

async function send(stream: AttachedStream, upload: AsyncIterable<Uint8Array> | undefined): Promise<void> {
  for await (const bytes of upload ?? []) if (!await stream.write(bytes)) return;
  await stream.closeStdin();
}

/** Connections of the build's programs with the agent. */
class Channels implements Disposable {
  readonly #stream: AttachedStream;
  readonly #agent: BuildUpload["agent"];
  readonly #open = new Map<number, Promise<Deno.Conn>>();

  constructor(stream: AttachedStream, agent: BuildUpload["agent"]) {
    this.#stream = stream;
    this.#agent = agent;
  }

  open(channel: number, ssh: string): void {
    const connected = this.#agent?.(ssh) ?? Promise.reject(new NyxError("not_found", "There is no ssh agent"));
    this.#open.set(channel, connected);
    this.#relay(channel, connected).catch(() => {}).finally(() => {
      this.#close(channel);
      void this.#stream.channel(channel, new Uint8Array(0));
    });
  }

  async #relay(channel: number, connected: Promise<Deno.Conn>): Promise<void> {
    const connection = await connected;
    const buffer = new Uint8Array(32 * 1024);
    for (let n = await connection.read(buffer); n !== null; n = await connection.read(buffer)) {
      if (n > 0) await this.#stream.channel(channel, buffer.slice(0, n));
    }
  }

  take(channel: number, bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return this.#close(channel);
    const copy = bytes.slice();
    const before = this.#open.get(channel);
    if (before === undefined) return;
    // In order: each write begins when the one before is done.
    this.#open.set(
      channel,
      before.then(async (connection) => {
        for (let at = 0; at < copy.byteLength;) at += await connection.write(copy.subarray(at));
        return connection;
      }),
    );
    this.#open.get(channel)?.catch(() => this.#close(channel));
  }

  #close(channel: number): void {
    const connected = this.#open.get(channel);
    this.#open.delete(channel);
    connected?.then((connection) => connection.close()).catch(() => {});
  }

  [Symbol.dispose](): void {
    for (const channel of [...this.#open.keys()]) this.#close(channel);
  }
}
