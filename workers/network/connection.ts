/**
 * A TCP connection that begins inside a container's network namespace. The runtime's own sockets would be opened by whatever
 * thread comes along; here the socket is made in a synchronous section, then read and written without blocking.
 */

import { NyxError } from "../../daemon/spec/errors.ts";
import { errnoName, isErrno, SyscallError } from "../../ffi/errno.ts";
import { tryParseIp } from "../../ffi/ip_address.ts";
import {
  AF_INET,
  AF_INET6,
  MSG_DONTWAIT,
  SO_ERROR,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  type SocketKernel,
  SOL_SOCKET,
} from "../../ffi/socket.ts";
import { sockaddrIn, sockaddrIn6 } from "../../ffi/socket_address.ts";
import type { NetnsKernel } from "./pool.ts";

const FIRST_WAIT_MS = 1;
const LONGEST_WAIT_MS = 25;
/** Sending nothing tells whether the connection is there: EAGAIN or ENOTCONN while it is not. */
const NOTHING = new Uint8Array(0);

/** Where to connect. */
export interface Target {
  /** IPv4 or IPv6 address, or `localhost`. */
  host: string;
  port: number;
}

/**
 * How long somebody waits: until a moment, or until he is told to stop. A composed AbortSignal with a timer of its own would cost more
 * than all else of a probe that is answered at once.
 */
export class Patience {
  readonly #untilMs: number;
  readonly #canceled: AbortSignal;

  /** @param timeoutMs from now on */
  constructor(timeoutMs: number, canceled: AbortSignal) {
    this.#untilMs = performance.now() + timeoutMs;
    this.#canceled = canceled;
  }

  /** Whether the moment has passed. */
  get late(): boolean {
    return performance.now() >= this.#untilMs;
  }

  /** Throws when there is no more patience: the signal's reason, or that it is late. */
  check(): void {
    this.#canceled.throwIfAborted();
    if (this.late) throw new NyxError("deadline_exceeded", "It took too long");
  }
}

/** Waits a little longer each time. */
class Waiting {
  #ms = FIRST_WAIT_MS;

  constructor(readonly patience: Patience) {}

  async wait(): Promise<void> {
    this.patience.check();
    await new Promise((resolve) => setTimeout(resolve, this.#ms));
    this.#ms = Math.min(this.#ms * 2, LONGEST_WAIT_MS);
    this.patience.check();
  }
}

/** An open connection; dispose it. */
export class NetnsConnection implements Disposable {
  readonly #socket: SocketKernel;
  readonly #patience: Patience;
  #fd: number;

  private constructor(socket: SocketKernel, fd: number, patience: Patience) {
    this.#socket = socket;
    this.#fd = fd;
    this.#patience = patience;
  }

  /**
   * Connects from inside the namespace of a path.
   *
   * @throws NyxError unavailable with the kernel's reason, or why there was no more patience
   */
  static async open(
    { ns, socket }: NetnsKernel,
    netnsPath: string,
    target: Target,
    patience: Patience,
  ): Promise<NetnsConnection> {
    const ip = tryParseIp(target.host === "localhost" ? "127.0.0.1" : target.host);
    if (ip === undefined) {
      throw new NyxError("invalid_argument", `Could not connect to ${target.host}: write an IP address or localhost`);
    }
    const netns = ns.openNamespace(netnsPath);
    let fd: number;
    try {
      fd = ns.withNetns(
        netns,
        () => socket.socket(ip.length === 4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0),
      );
    } finally {
      ns.closeNamespace(netns);
    }
    const connection = new NetnsConnection(socket, fd, patience);
    try {
      await connection.#connect(ip.length === 4 ? sockaddrIn(ip, target.port) : sockaddrIn6(ip, target.port), target);
      return connection;
    } catch (e) {
      connection[Symbol.dispose]();
      throw e;
    }
  }

  /** Sends all bytes. */
  async write(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const waiting = new Waiting(this.#patience);
    while (bytes.length > 0) {
      try {
        bytes = bytes.subarray(this.#socket.send(this.#fd, bytes, MSG_DONTWAIT));
      } catch (e) {
        if (!isErrno(e, "EAGAIN")) throw e;
        await waiting.wait();
      }
    }
  }

  /** Receives what has come; an empty array at the end. */
  async read(most = 16384): Promise<Uint8Array<ArrayBuffer>> {
    const buffer = new Uint8Array(most);
    const waiting = new Waiting(this.#patience);
    for (;;) {
      try {
        return buffer.subarray(0, this.#socket.recv(this.#fd, buffer, MSG_DONTWAIT));
      } catch (e) {
        if (!isErrno(e, "EAGAIN")) throw e;
        await waiting.wait();
      }
    }
  }

  /** Closes the connection. Idempotent. */
  [Symbol.dispose](): void {
    const fd = this.#fd;
    this.#fd = -1;
    if (fd >= 0) this.#socket.closeSocket(fd);
  }

  async #connect(address: Uint8Array<ArrayBuffer>, target: Target): Promise<void> {
    const refused = (reason: unknown) => {
      const errno = reason instanceof SyscallError ? reason.code : String(reason);
      return new NyxError("unavailable", `Could not connect to ${target.host}:${target.port}: ${errno}`, { errno });
    };
    const waiting = new Waiting(this.#patience);
    try {
      this.#socket.connect(this.#fd, address);
      return;
    } catch (e) {
      if (!isErrno(e, "EINPROGRESS")) throw refused(e);
    }
    for (;;) {
      const error = this.#socket.getsockopt(this.#fd, SOL_SOCKET, SO_ERROR);
      if (error !== 0) throw refused(errnoName(error));
      try {
        this.#socket.send(this.#fd, NOTHING, MSG_DONTWAIT);
        return;
      } catch (e) {
        if (!isErrno(e, "EAGAIN", "ENOTCONN")) throw refused(e);
        await waiting.wait();
      }
    }
  }
}
