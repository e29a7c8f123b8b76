/** A netlink conversation: requests with acknowledgement, batches and dumps, errors with the kernel's own words. */

import { SyscallError } from "../errno.ts";
import { AF_NETLINK, MSG_TRUNC, SO_RCVTIMEO, SOCK_RAW, type SocketKernel, SOL_SOCKET } from "../socket.ts";
import { sockaddrNl } from "../socket_address.ts";
import {
  Attributes,
  type NetlinkMessage,
  NetlinkWriter,
  NLM_F_ACK,
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_HEADER,
  parseMessages,
} from "./codec.ts";

/** rtnetlink. */
export const NETLINK_ROUTE = 0;
/** Netfilter: conntrack, nftables. */
export const NETLINK_NETFILTER = 12;

const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const NLMSGERR_ATTR_MSG = 1;
const RECEIVE_TIMEOUT_S = 10n;
const DUMP_ATTEMPTS = 5;

/** The kernel refused a netlink request; `detail` is its extended acknowledgement, when it gave one. */
export class NetlinkError extends SyscallError {
  /**
   * @param request what was asked, such as `RTM_NEWLINK`
   * @param errno positive errno number
   * @param subject interface or object
   * @param detail the kernel's words
   */
  constructor(request: string, errno: number, subject?: string, readonly detail?: string) {
    super(request, errno, subject);
    if (detail !== undefined) this.message += ` (${detail})`;
  }
}

/** One request: its name for errors, its type and flags (REQUEST and ACK are added), and what it holds. */
export interface NetlinkRequest {
  name: string;
  subject?: string;
  type: number;
  flags: number;
  /** The kernel answers it only when it fails, and then nothing else of the batch whose edge it is. */
  unanswered?: true;
  write: (w: NetlinkWriter) => void;
}

/** A socket of one netlink protocol in the network namespace where it was opened. */
export class NetlinkSocket implements Disposable {
  readonly #kernel: SocketKernel;
  readonly #writer = new NetlinkWriter();
  readonly #buffer: Uint8Array<ArrayBuffer>;
  #fd: number;
  #seq = 1;

  /**
   * @param kernel where to open it
   * @param protocol NETLINK_ROUTE or NETLINK_NETFILTER
   * @param buffer receive buffer, which several sockets of one thread may share; 64 KiB is enough for the kernel's dumps
   */
  constructor(kernel: SocketKernel, protocol: number, buffer: Uint8Array<ArrayBuffer> = new Uint8Array(65536)) {
    this.#kernel = kernel;
    this.#buffer = buffer;
    this.#fd = kernel.socket(AF_NETLINK, SOCK_RAW, protocol);
    try {
      kernel.bind(this.#fd, sockaddrNl());
      kernel.setsockopt(this.#fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
      kernel.setsockopt(this.#fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
      if (protocol === NETLINK_ROUTE) kernel.setsockopt(this.#fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
      kernel.setsockopt(
        this.#fd,
        SOL_SOCKET,
        SO_RCVTIMEO,
        new Uint8Array(new BigInt64Array([RECEIVE_TIMEOUT_S, 0n]).buffer),
      );
    } catch (e) {
      this[Symbol.dispose]();
      throw e;
    }
  }

  /**
   * Sends requests in one call and waits until all are answered. The kernel works them off in order and goes on behind a
   * failed one.
   *
   * @throws NetlinkError of the first that failed
   */
  run(...requests: NetlinkRequest[]): void {
    const bySeq = this.#send(requests, NLM_F_ACK);
    let open = requests.filter((r) => r.unanswered === undefined).length;
    let first: NetlinkError | undefined;
    while (open > 0) {
      for (const message of this.#receive()) {
        const request = bySeq.get(message.seq);
        if (request === undefined || message.type !== NLMSG_ERROR) continue;
        open = request.unanswered === undefined ? open - 1 : 0;
        first ??= failure(message, request);
      }
    }
    if (first !== undefined) throw first;
  }

  /** One object; undefined when the kernel answers ENODEV or ENOENT. */
  get(request: NetlinkRequest): NetlinkMessage | undefined {
    const bySeq = this.#send([request], 0);
    for (;;) {
      for (const message of this.#receive()) {
        if (!bySeq.has(message.seq)) continue;
        if (message.type !== NLMSG_ERROR) return message;
        const failed = failure(message, request);
        if (failed?.code === "ENODEV" || failed?.code === "ENOENT") return undefined;
        if (failed !== undefined) throw failed;
      }
    }
  }

  /** All objects. A dump that changed while it was read is read again. */
  dump(request: NetlinkRequest): NetlinkMessage[] {
    for (let attempt = 1;; attempt++) {
      const { messages, interrupted } = this.#dumpOnce(request);
      if (!interrupted || attempt === DUMP_ATTEMPTS) return messages;
    }
  }

  /**
   * As {@linkcode dump}, with the kernel at work on a pool thread: for tables whose walk takes milliseconds. Nothing else may
   * use the socket, or share its buffer, until it settles.
   */
  async dumpAsync(request: NetlinkRequest): Promise<NetlinkMessage[]> {
    const { bySeq, bytes } = this.#encode([request], NLM_F_DUMP);
    const collect = new DumpCollector(bySeq, request);
    await this.#kernel.sendAsync(this.#fd, bytes);
    while (!collect.done) collect.add(this.#split(await this.#kernel.recvAsync(this.#fd, this.#buffer, MSG_TRUNC)));
    return collect.messages;
  }

  /** Closes the socket. Idempotent. */
  [Symbol.dispose](): void {
    const fd = this.#fd;
    this.#fd = -1;
    if (fd >= 0) this.#kernel.closeSocket(fd);
  }

  #dumpOnce(request: NetlinkRequest): DumpCollector {
    const collect = new DumpCollector(this.#send([request], NLM_F_DUMP), request);
    while (!collect.done) collect.add(this.#receive());
    return collect;
  }

  #send(requests: NetlinkRequest[], flags: number): Map<number, NetlinkRequest> {
    const { bySeq, bytes } = this.#encode(requests, flags);
    this.#kernel.send(this.#fd, bytes);
    return bySeq;
  }

  #encode(
    requests: NetlinkRequest[],
    flags: number,
  ): { bySeq: Map<number, NetlinkRequest>; bytes: Uint8Array<ArrayBuffer> } {
    const bySeq = new Map<number, NetlinkRequest>();
    this.#writer.reset();
    for (const request of requests) {
      const seq = this.#seq++;
      bySeq.set(seq, request);
      const all = request.flags | NLM_F_REQUEST | (request.unanswered === undefined ? flags : 0);
      request.write(this.#writer.begin(request.type, all, seq));
    }
    return { bySeq, bytes: this.#writer.finish() };
  }

  #receive(): NetlinkMessage[] {
    return this.#split(this.#kernel.recv(this.#fd, this.#buffer, MSG_TRUNC));
  }

  #split(length: number): NetlinkMessage[] {
    if (length > this.#buffer.length) throw new SyscallError("recv", 90, `netlink datagram of ${length} bytes`);
    return parseMessages(this.#buffer.subarray(0, length));
  }
}

/** Gathers the messages of one dump. */
class DumpCollector {
  readonly messages: NetlinkMessage[] = [];
  interrupted = false;
  done = false;

  constructor(readonly bySeq: ReadonlyMap<number, NetlinkRequest>, readonly request: NetlinkRequest) {}

  add(messages: NetlinkMessage[]): void {
    for (const message of messages) {
      if (!this.bySeq.has(message.seq)) continue;
      this.interrupted ||= (message.flags & NLM_F_DUMP_INTR) !== 0;
      if (message.type === NLMSG_DONE) this.done = true;
      else if (message.type === NLMSG_ERROR) {
        const failed = failure(message, this.request);
        if (failed !== undefined) throw failed;
      } else this.messages.push(message);
    }
  }
}

/** The error in an acknowledgement; undefined for success. */
function failure(message: NetlinkMessage, request: NetlinkRequest): NetlinkError | undefined {
  const view = new DataView(message.payload.buffer);
  const errno = -view.getInt32(0, true);
  if (errno === 0) return undefined;
  let detail: string | undefined;
  if (message.flags & NLM_F_ACK_TLVS) {
    const echoed = message.flags & NLM_F_CAPPED ? NLMSG_HEADER : view.getUint32(4, true);
    detail = new Attributes(message.payload, 4 + ((echoed + 3) & ~3)).string(NLMSGERR_ATTR_MSG);
  }
  return new NetlinkError(request.name, errno, request.subject, detail);
}
