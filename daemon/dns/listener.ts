/**
 * DNS over UDP and TCP on one address. Who is not admitted gets no answer at all, so that the resolver cannot be used against
 * others; connections are bounded in number and time.
 */

import { setImmediate } from "node:timers";
import type { Logger } from "../log/logger.ts";
import { encode, type Reply } from "./message.ts";
import { framed, readFull, writeFull } from "./upstream.ts";

/** What a listener asks for each message. */
export interface Handler {
  /** Whether this client may ask at all. */
  admits(client: string): boolean;
  /** The reply; undefined for none. May throw, which is a fault of the program. */
  respond(bytes: Uint8Array, client: string): Reply | Promise<Reply> | undefined;
}

/** Where to listen. */
export interface ListenOptions {
  address: string;
  /** Default 53. */
  port?: number;
}

const PORT = 53;
const MAX_CONNECTIONS = 64;
const MAX_OF_CLIENT = 16;
/** A connection on which nothing happens, or a message that takes longer, ends after this time. */
const IDLE_MS = 10_000;
/** Longest question taken over TCP; a question with every option is far shorter. */
const MAX_QUESTION = 4096;
/** Answers that wait for the kernel before the listener waits too. */
const MAX_SENDS = 256;

/** One address with both transports open. Throws as Deno.listen does when either cannot be. */
export class DnsListener {
  readonly address: string;
  readonly #handler: Handler;
  readonly #log: Logger;
  readonly #udp: Deno.DatagramConn;
  readonly #tcp: Deno.Listener;
  readonly #connections = new Map<Deno.Conn, string>();
  #sends = 0;
  #closed = false;

  /**
   * @param options where
   * @param handler who may ask, and what is answered
   * @param log for faults
   */
  constructor(options: ListenOptions, handler: Handler, log: Logger) {
    const { address: hostname, port = PORT } = options;
    this.address = hostname;
    this.#handler = handler;
    this.#log = log;
    this.#udp = Deno.listenDatagram({ transport: "udp", hostname, port });
    try {
      const bound = this.#udp.addr.transport === "udp" ? this.#udp.addr.port : port;
      this.#tcp = Deno.listen({ hostname, port: bound });
    } catch (e) {
      this.#udp.close();
      throw e;
    }
    void this.#serveUdp();
    void this.#serveTcp();
  }

  /** Port of both transports. */
  get port(): number {
    return this.#udp.addr.transport === "udp" ? this.#udp.addr.port : 0;
  }

  /** Closes sockets and connections. */
  close(): void {
    this.#closed = true;
    this.#udp.close();
    this.#tcp.close();
    for (const conn of this.#connections.keys()) close(conn);
  }

  async #serveUdp(): Promise<void> {
    const buffer = new Uint8Array(MAX_QUESTION);
    while (!this.#closed) {
      try {
        await nextTurn();
        const [bytes, from] = await this.#udp.receive(buffer);
        if (from.transport !== "udp" || from.port === 0 || !this.#handler.admits(from.hostname)) continue;
        const reply = this.#reply(bytes, from.hostname);
        if (reply instanceof Promise) void reply.then((message) => this.#send(message, from));
        else await this.#send(reply, from);
      } catch (error) {
        if (this.#closed) return;
        this.#log.warn("A DNS datagram could not be received", { address: this.address, error: String(error) });
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  /** The handler's reply; a fault in it is logged and answered with silence. */
  #reply(bytes: Uint8Array, client: string): Reply | undefined | Promise<Reply | undefined> {
    const failed = (error: unknown) => {
      this.#log.error("A DNS question could not be handled", { client, error });
      return undefined;
    };
    try {
      const reply = this.#handler.respond(bytes, client);
      return reply instanceof Promise ? reply.catch(failed) : reply;
    } catch (error) {
      return failed(error);
    }
  }

  #send(message: Reply | undefined, to: Deno.Addr): Promise<unknown> | undefined {
    if (message === undefined || this.#closed) return undefined;
    this.#sends++;
    // A client that is gone, or a firewall's refusal, concerns nobody.
    const sent = this.#udp.send(encode(message, message.udpLimit), to).catch(() => {}).finally(() => this.#sends--);
    return this.#sends > MAX_SENDS ? sent : undefined;
  }

  async #serveTcp(): Promise<void> {
    while (!this.#closed) {
      try {
        const conn = await this.#tcp.accept();
        const client = conn.remoteAddr.transport === "tcp" ? conn.remoteAddr.hostname : "";
        const same = [...this.#connections.values()].filter((c) => c === client).length;
        const full = this.#connections.size >= MAX_CONNECTIONS || same >= MAX_OF_CLIENT;
        if (full || !this.#handler.admits(client)) conn.close();
        else void this.#converse(conn, client);
      } catch (error) {
        if (this.#closed) return;
        this.#log.warn("A DNS connection could not be taken", { address: this.address, error: String(error) });
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  async #converse(conn: Deno.Conn, client: string): Promise<void> {
    this.#connections.set(conn, client);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const restart = () => {
      clearTimeout(timer);
      timer = setTimeout(() => close(conn), IDLE_MS);
    };
    try {
      while (true) {
        restart();
        await nextTurn();
        const head = await readFull(conn, 2);
        if (head === undefined) return;
        const length = (head[0] ?? 0) << 8 | (head[1] ?? 0);
        if (length > MAX_QUESTION) return;
        const bytes = await readFull(conn, length);
        const message = bytes === undefined ? undefined : await this.#reply(bytes, client);
        if (message === undefined) return;
        restart();
        await writeFull(conn, framed(encode(message)));
      }
    } catch {
      // The client went away, or its time was over.
    } finally {
      clearTimeout(timer);
      this.#connections.delete(conn);
      close(conn);
    }
  }
}

/** Lets the event loop turn. A read that finds bytes waiting does not, so that a flood of questions would hold up the whole daemon. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function close(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch {
    // It is closed already.
  }
}
