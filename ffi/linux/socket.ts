/** Linux implementation of {@linkcode SocketKernel}. Layouts are those of 64-bit Linux. */

import { isErrno, SyscallError } from "../errno.ts";
import {
  AF_UNIX,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  type PeerCredentials,
  type ReceivedMessage,
  SO_PEERCRED,
  SOCK_CLOEXEC,
  type SocketKernel,
  SOL_SOCKET,
} from "../socket.ts";
import { addressOf, check, checkBig, lastErrno, openLibc } from "./libc.ts";

const EINTR = 4;
const EIO = 5;
const EAGAIN = 11;
const SCM_RIGHTS = 1;
const MSG_CMSG_CLOEXEC = 0x40000000;
/** struct cmsghdr: size_t length, int level, int type. */
const CMSG_HEADER = 16;
/** struct msghdr on 64-bit. */
const MSGHDR_SIZE = 56;

function open() {
  return openLibc({
    socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
    socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
    bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
    listen: { parameters: ["i32", "i32"], result: "i32" },
    accept4: { parameters: ["i32", "pointer", "pointer", "i32"], result: "i32" },
    connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
    getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
    send: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
    recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
    sendAsync: { name: "send", parameters: ["i32", "buffer", "usize", "i32"], result: "isize", nonblocking: true },
    recvAsync: { name: "recv", parameters: ["i32", "buffer", "usize", "i32"], result: "isize", nonblocking: true },
    sendmsg: { parameters: ["i32", "buffer", "i32"], result: "isize" },
    recvmsg: { parameters: ["i32", "buffer", "i32"], result: "isize" },
    setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
    getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
    shutdown: { parameters: ["i32", "i32"], result: "i32" },
    close: { parameters: ["i32"], result: "i32" },
  }).symbols;
}

/** Runs a call again while a signal interrupts it. */
function uninterrupted(call: () => number): number {
  for (;;) {
    try {
      return call();
    } catch (e) {
      if (!isErrno(e, "EINTR")) throw e;
    }
  }
}

/** Result of a call on a pool thread, whose errno stays there. */
function counted(result: bigint, syscall: string): number {
  if (result < 0n) throw new SyscallError(syscall, EIO);
  return Number(result);
}

/** A msghdr with one iovec; `keep` holds what the pointers point at until after the call. */
function messageHeader(data: Uint8Array<ArrayBuffer>, control: Uint8Array<ArrayBuffer>): {
  header: Uint8Array<ArrayBuffer>;
  keep: Uint8Array<ArrayBuffer>[];
} {
  const iovec = new Uint8Array(16);
  const iov = new DataView(iovec.buffer);
  iov.setBigUint64(0, addressOf(data), true);
  iov.setBigUint64(8, BigInt(data.length), true);
  const header = new Uint8Array(MSGHDR_SIZE);
  const view = new DataView(header.buffer);
  view.setBigUint64(16, addressOf(iovec), true);
  view.setBigUint64(24, 1n, true);
  view.setBigUint64(32, addressOf(control), true);
  view.setBigUint64(40, BigInt(control.length), true);
  return { header, keep: [iovec, data, control] };
}

/** Space of one SCM_RIGHTS control message for `count` descriptors (CMSG_SPACE). */
function rightsSpace(count: number): number {
  return count === 0 ? 0 : CMSG_HEADER + Math.ceil(count * 4 / 8) * 8;
}

/** Descriptors in received control data. */
function rightsOf(control: Uint8Array<ArrayBuffer>, length: number): number[] {
  const view = new DataView(control.buffer, control.byteOffset, length);
  const fds: number[] = [];
  for (let at = 0; at + CMSG_HEADER <= length;) {
    const size = Number(view.getBigUint64(at, true));
    if (size < CMSG_HEADER || at + size > length) break;
    if (view.getInt32(at + 8, true) === SOL_SOCKET && view.getInt32(at + 12, true) === SCM_RIGHTS) {
      for (let p = at + CMSG_HEADER; p + 4 <= at + size; p += 4) fds.push(view.getInt32(p, true));
    }
    at += Math.ceil(size / 8) * 8;
  }
  return fds;
}

class LinuxSocket implements SocketKernel {
  readonly #libc = open();

  socket(family: number, type: number, protocol: number): number {
    const about = `family ${family}`;
    return check(this.#libc.socket(family, type | SOCK_CLOEXEC, protocol), "socket", about);
  }

  socketpair(type: number): [number, number] {
    const pair = new Int32Array(2);
    check(this.#libc.socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, new Uint8Array(pair.buffer)), "socketpair");
    return [pair[0] ?? -1, pair[1] ?? -1];
  }

  bind(fd: number, address: Uint8Array<ArrayBuffer>): void {
    check(this.#libc.bind(fd, address, address.length), "bind");
  }

  listen(fd: number, backlog: number): void {
    check(this.#libc.listen(fd, backlog), "listen");
  }

  accept(fd: number): number {
    return uninterrupted(() => check(this.#libc.accept4(fd, null, null, SOCK_CLOEXEC), "accept4"));
  }

  connect(fd: number, address: Uint8Array<ArrayBuffer>): void {
    check(this.#libc.connect(fd, address, address.length), "connect");
  }

  getsockname(fd: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(128);
    const length = new Uint32Array([bytes.length]);
    check(this.#libc.getsockname(fd, bytes, new Uint8Array(length.buffer)), "getsockname");
    return bytes.slice(0, length[0]);
  }

  send(fd: number, bytes: Uint8Array<ArrayBuffer>, flags = 0): number {
    return uninterrupted(() =>
      checkBig(this.#libc.send(fd, bytes, BigInt(bytes.length), flags | MSG_NOSIGNAL), "send")
    );
  }

  recv(fd: number, buffer: Uint8Array<ArrayBuffer>, flags = 0): number {
    return uninterrupted(() => checkBig(this.#libc.recv(fd, buffer, BigInt(buffer.length), flags), "recv"));
  }

  tryRecv(fd: number, buffer: Uint8Array<ArrayBuffer>, flags = 0): number | undefined {
    for (;;) {
      const length = this.#libc.recv(fd, buffer, BigInt(buffer.length), flags | MSG_DONTWAIT);
      if (length >= 0n) return Number(length);
      const errno = lastErrno();
      if (errno === EAGAIN) return undefined;
      if (errno !== EINTR) throw new SyscallError("recv", errno);
    }
  }

  async sendAsync(fd: number, bytes: Uint8Array<ArrayBuffer>, flags = 0): Promise<number> {
    return counted(await this.#libc.sendAsync(fd, bytes, BigInt(bytes.length), flags | MSG_NOSIGNAL), "send");
  }

  async recvAsync(fd: number, buffer: Uint8Array<ArrayBuffer>, flags = 0): Promise<number> {
    return counted(await this.#libc.recvAsync(fd, buffer, BigInt(buffer.length), flags), "recv");
  }

  sendmsg(fd: number, bytes: Uint8Array<ArrayBuffer>, fds: readonly number[], flags = 0): number {
    const control = new Uint8Array(rightsSpace(fds.length));
    if (fds.length > 0) {
      const view = new DataView(control.buffer);
      view.setBigUint64(0, BigInt(CMSG_HEADER + fds.length * 4), true);
      view.setInt32(8, SOL_SOCKET, true);
      view.setInt32(12, SCM_RIGHTS, true);
      fds.forEach((value, i) => view.setInt32(CMSG_HEADER + i * 4, value, true));
    }
    const { header, keep } = messageHeader(bytes, control);
    const sent = uninterrupted(() => checkBig(this.#libc.sendmsg(fd, header, flags | MSG_NOSIGNAL), "sendmsg"));
    keep.length = 0;
    return sent;
  }

  recvmsg(fd: number, buffer: Uint8Array<ArrayBuffer>, maxFds: number, flags = 0): ReceivedMessage {
    const control = new Uint8Array(rightsSpace(maxFds));
    const { header, keep } = messageHeader(buffer, control);
    const length = uninterrupted(() => checkBig(this.#libc.recvmsg(fd, header, flags | MSG_CMSG_CLOEXEC), "recvmsg"));
    const view = new DataView(header.buffer);
    const fds = rightsOf(control, Math.min(control.length, Number(view.getBigUint64(40, true))));
    keep.length = 0;
    return { length, fds, flags: view.getInt32(48, true) };
  }

  setsockopt(fd: number, level: number, name: number, value: number | Uint8Array<ArrayBuffer>): void {
    const bytes = typeof value === "number" ? new Uint8Array(new Int32Array([value]).buffer) : value;
    const about = `level ${level} option ${name}`;
    check(this.#libc.setsockopt(fd, level, name, bytes, bytes.length), "setsockopt", about);
  }

  getsockopt(fd: number, level: number, name: number): number {
    return this.#getsockopt(fd, level, name, 1)[0] ?? 0;
  }

  peerCredentials(fd: number): PeerCredentials {
    const [pid = 0, uid = 0, gid = 0] = this.#getsockopt(fd, SOL_SOCKET, SO_PEERCRED, 3);
    return { pid, uid: uid >>> 0, gid: gid >>> 0 };
  }

  shutdownSocket(fd: number, how: number): void {
    check(this.#libc.shutdown(fd, how), "shutdown");
  }

  closeSocket(fd: number): void {
    check(this.#libc.close(fd), "close");
  }

  #getsockopt(fd: number, level: number, name: number, words: number): Int32Array {
    const value = new Int32Array(words);
    const length = new Uint32Array([words * 4]);
    const about = `level ${level} option ${name}`;
    check(
      this.#libc.getsockopt(fd, level, name, new Uint8Array(value.buffer), new Uint8Array(length.buffer)),
      "getsockopt",
      about,
    );
    if (length[0] !== words * 4) throw new SyscallError("getsockopt", 22, about);
    return value;
  }
}

/** Opens libc for sockets. */
export function linuxSocket(): SocketKernel {
  return new LinuxSocket();
}
