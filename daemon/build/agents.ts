/**
 * The client's ssh agent in a build: a socket for buildah, each connection of which is a channel of the exchange. The daemon opens no
 * socket that a caller names, so nobody uses somebody else's agent.
 */

import { NyxError } from "../spec/errors.ts";
import { channelPayload, encodeFrame, FRAME } from "../spec/frames.ts";

/** Most connections at once. */
const MAX_CHANNELS = 64;

/** Agents' sockets of one build. */
export class AgentSockets implements Disposable {
  readonly #listeners: Deno.UnixListener[] = [];
  readonly #channels = new Map<number, Deno.UnixConn>();
  #next = 1;

  /**
   * @param opened told of a new channel, before its first bytes
   * @param send takes an encoded frame
   * @param room resolves when there is room for more frames
   */
  constructor(
    readonly opened: (channel: number, ssh: string) => void,
    readonly send: (frame: Uint8Array) => void,
    readonly room: () => Promise<void>,
  ) {}

  /** Listens for programs that want the agent `ssh`. */
  listen(path: string, ssh: string): void {
    const listener = Deno.listen({ transport: "unix", path });
    this.#listeners.push(listener);
    void this.#serve(listener, ssh);
  }

  async #serve(listener: Deno.UnixListener, ssh: string): Promise<void> {
    try {
      for await (const connection of listener) {
        if (this.#channels.size >= MAX_CHANNELS) connection.close();
        else void this.#relay(connection, ssh);
      }
    } catch {
      // Closed with the build.
    }
  }

  async #relay(connection: Deno.UnixConn, ssh: string): Promise<void> {
    const channel = this.#next++;
    this.#channels.set(channel, connection);
    this.opened(channel, ssh);
    const buffer = new Uint8Array(32 * 1024);
    try {
      for (let n = await connection.read(buffer); n !== null; n = await connection.read(buffer)) {
        if (n > 0) this.send(channelFrame(channel, buffer.subarray(0, n)));
        await this.room();
      }
    } catch {
      // Its program has ended.
    } finally {
      this.#close(channel);
      this.send(channelFrame(channel, new Uint8Array(0)));
    }
  }

  /** Bytes of the client's agent; none are its end. */
  async take(channel: number, bytes: Uint8Array): Promise<void> {
    const connection = this.#channels.get(channel);
    if (connection === undefined) return;
    if (bytes.byteLength === 0) return this.#close(channel);
    try {
      for (let at = 0; at < bytes.byteLength;) at += await connection.write(bytes.subarray(at));
    } catch (cause) {
      this.#close(channel);
      throw new NyxError("unavailable", "The program in the build left the ssh agent", { cause });
    }
  }

  #close(channel: number): void {
    const connection = this.#channels.get(channel);
    this.#channels.delete(channel);
    try {
      connection?.close();
    } catch {
      // Closed already.
    }
  }

  /** Closes all. */
  [Symbol.dispose](): void {
    for (const listener of this.#listeners.splice(0)) listener.close();
    for (const channel of [...this.#channels.keys()]) this.#close(channel);
  }
}

function channelFrame(channel: number, bytes: Uint8Array): Uint8Array {
  return encodeFrame(FRAME.channel, channelPayload(channel, bytes));
}
