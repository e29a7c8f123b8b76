/**
 * Sockets as system calls: what the kernel's own protocols (netlink) and descriptor passing need and the runtime has not.
 *
 * Synchronous; a socket stays bound to the network namespace in which it was made, whoever uses it later.
 */

/** Address families. */
export const AF_UNIX = 1;
/** IPv4. */
export const AF_INET = 2;
/** IPv6. */
export const AF_INET6 = 10;
/** Netlink. */
export const AF_NETLINK = 16;
/** Bridge family of rtnetlink messages. */
export const AF_BRIDGE = 7;

/** Socket types; {@linkcode SOCK_CLOEXEC} is always added, {@linkcode SOCK_NONBLOCK} may be. */
export const SOCK_STREAM = 1;
/** Datagrams. */
export const SOCK_DGRAM = 2;
/** Raw packets or netlink. */
export const SOCK_RAW = 3;
/** Packets with boundaries over a connection. */
export const SOCK_SEQPACKET = 5;
/** Non-blocking from the start. */
export const SOCK_NONBLOCK = 0o4000;
/** Closed on exec. */
export const SOCK_CLOEXEC = 0o2000000;

/** Option levels and names (socket(7), netlink(7)). */
export const SOL_SOCKET = 1;
/** Reuse of an address in TIME_WAIT. */
export const SO_REUSEADDR = 2;
/** Pending error, taken by reading. */
export const SO_ERROR = 4;
/** Send buffer bytes. */
export const SO_SNDBUF = 7;
/** Receive buffer bytes. */
export const SO_RCVBUF = 8;
/** pid, uid, gid of the peer of a unix socket. */
export const SO_PEERCRED = 17;
/** Receive time-out, struct timeval. */
export const SO_RCVTIMEO = 20;
/** Receive buffer bytes beyond the limit, for root. */
export const SO_RCVBUFFORCE = 33;
/** IP protocol number of TCP (linux/in.h). */
export const IPPROTO_TCP = 6;
/** UDP. */
export const IPPROTO_UDP = 17;
/** SCTP. */
export const IPPROTO_SCTP = 132;
/** IP protocols that ports are of, by name. */
export const PORT_PROTOCOLS: Readonly<Record<string, number>> = {
  tcp: IPPROTO_TCP,
  udp: IPPROTO_UDP,
  sctp: IPPROTO_SCTP,
};
/** IPv6 option level, and its v6-only switch. */
export const IPPROTO_IPV6 = 41;
/** The v6-only switch. */
export const IPV6_V6ONLY = 26;

/** Flags of send and receive. */
export const MSG_PEEK = 0x2;
/** Report the full length of a datagram that did not fit. */
export const MSG_TRUNC = 0x20;
/** Ancillary data did not fit (in {@linkcode ReceivedMessage.flags}). */
export const MSG_CTRUNC = 0x8;
/** Do not wait. */
export const MSG_DONTWAIT = 0x40;
/** No SIGPIPE. */
export const MSG_NOSIGNAL = 0x4000;

/** shutdown(2): no more reads. */
export const SHUT_RD = 0;
/** No more writes. */
export const SHUT_WR = 1;
/** Neither. */
export const SHUT_RDWR = 2;

/** A message with what came beside it. */
export interface ReceivedMessage {
  /** Bytes written into the buffer; 0 at the end of a stream. */
  length: number;
  /** Descriptors that were passed (SCM_RIGHTS); close-on-exec, owned by the caller. */
  fds: number[];
  /** msg_flags: MSG_TRUNC, MSG_CTRUNC. */
  flags: number;
}

/** Credentials of a unix peer at the time it connected. */
export interface PeerCredentials {
  pid: number;
  uid: number;
  gid: number;
}

/**
 * Calls about sockets. Every failure is a SyscallError; EINTR is retried; a descriptor is close-on-exec and owned by the
 * caller. Addresses are encoded by socket_address.ts.
 */
export interface SocketKernel {
  /** socket(2), close-on-exec. EPROTONOSUPPORT or EAFNOSUPPORT when the kernel lacks it. */
  socket(family: number, type: number, protocol: number): number;

  /** socketpair(2) of AF_UNIX, close-on-exec. */
  socketpair(type: number): [number, number];

  /** bind(2). EADDRINUSE: taken; EADDRNOTAVAIL: not an address of this namespace; EACCES: privileged. */
  bind(fd: number, address: Uint8Array<ArrayBuffer>): void;

  /** listen(2). */
  listen(fd: number, backlog: number): void;

  /** accept4(2), close-on-exec. EAGAIN when non-blocking and nobody waits. */
  accept(fd: number): number;

  /** connect(2). EINPROGRESS when non-blocking. */
  connect(fd: number, address: Uint8Array<ArrayBuffer>): void;

  /** Address of this end, as sockaddr bytes. */
  getsockname(fd: number): Uint8Array<ArrayBuffer>;

  /** send(2) with MSG_NOSIGNAL added. Returns the bytes taken. */
  send(fd: number, bytes: Uint8Array<ArrayBuffer>, flags?: number): number;

  /** recv(2). Returns bytes received, 0 at the end; with MSG_TRUNC the datagram's whole length. */
  recv(fd: number, buffer: Uint8Array<ArrayBuffer>, flags?: number): number;

  /** As {@linkcode recv} with MSG_DONTWAIT added; undefined when nothing waits, which costs no error object. */
  tryRecv(fd: number, buffer: Uint8Array<ArrayBuffer>, flags?: number): number | undefined;

  /**
   * send(2) on a pool thread, for a request that the kernel works on for milliseconds. The bytes must stay untouched until
   * it settles. errno of another thread cannot be read: a failure is EIO.
   */
  sendAsync(fd: number, bytes: Uint8Array<ArrayBuffer>, flags?: number): Promise<number>;

  /** recv(2) on a pool thread; as {@linkcode sendAsync}. */
  recvAsync(fd: number, buffer: Uint8Array<ArrayBuffer>, flags?: number): Promise<number>;

  /** sendmsg(2) with descriptors as SCM_RIGHTS; at least one byte must go along on a stream. Returns the bytes taken. */
  sendmsg(fd: number, bytes: Uint8Array<ArrayBuffer>, fds: readonly number[], flags?: number): number;

  /** recvmsg(2), with room for `maxFds` descriptors; more are closed by the kernel and MSG_CTRUNC is set. */
  recvmsg(fd: number, buffer: Uint8Array<ArrayBuffer>, maxFds: number, flags?: number): ReceivedMessage;

  /** setsockopt(2); a number is an int. */
  setsockopt(fd: number, level: number, name: number, value: number | Uint8Array<ArrayBuffer>): void;

  /** getsockopt(2) of an int. */
  getsockopt(fd: number, level: number, name: number): number;

  /** SO_PEERCRED of a connected unix socket. */
  peerCredentials(fd: number): PeerCredentials;

  /** shutdown(2) with one of the SHUT_* values. */
  shutdownSocket(fd: number, how: number): void;

  /** close(2). */
  closeSocket(fd: number): void;
}
