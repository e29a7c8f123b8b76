import assert from "node:assert/strict";
import { isErrno } from "../../ffi/errno.ts";
import { linuxSocket } from "../../ffi/linux/socket.ts";
import { AF_INET, MSG_DONTWAIT, SHUT_WR, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET } from "../../ffi/socket.ts";
import { sockaddrIn, sockaddrPort } from "../../ffi/socket_address.ts";

const s = linuxSocket();
const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("sendmsg and recvmsg pass descriptors that refer to the same open file", () => {
  const [a, b] = s.socketpair(SOCK_STREAM);
  const [x, y] = s.socketpair(SOCK_STREAM);
  const open = new Set([a, b, x, y]);
  try {
    assert.equal(s.sendmsg(a, bytes("!"), [x]), 1);
    const got = s.recvmsg(b, new Uint8Array(16), 4);
    assert.equal(got.length, 1);
    assert.equal(got.fds.length, 1);
    const passed = got.fds[0] ?? -1;
    open.add(passed);
    assert.equal(s.send(passed, bytes("through")), 7);
    const buffer = new Uint8Array(16);
    assert.equal(s.recv(y, buffer), 7);
    assert.equal(new TextDecoder().decode(buffer.subarray(0, 7)), "through");
    assert.throws(() => s.recv(y, buffer, MSG_DONTWAIT), (e) => isErrno(e, "EAGAIN"));
    s.shutdownSocket(passed, SHUT_WR);
    assert.equal(s.recv(y, buffer), 0);
  } finally {
    for (const fd of open) s.closeSocket(fd);
  }
});

Deno.test("peerCredentials names this process", () => {
  const [a, b] = s.socketpair(SOCK_STREAM);
  try {
    assert.deepEqual(s.peerCredentials(a), { pid: Deno.pid, uid: Deno.uid(), gid: Deno.gid() });
  } finally {
    s.closeSocket(a);
    s.closeSocket(b);
  }
});

Deno.test("bind tells a taken port (EADDRINUSE) from a foreign address (EADDRNOTAVAIL)", () => {
  const loopback = new Uint8Array([127, 0, 0, 1]);
  const first = s.socket(AF_INET, SOCK_STREAM, 0);
  const second = s.socket(AF_INET, SOCK_STREAM, 0);
  try {
    s.bind(first, sockaddrIn(loopback, 0));
    s.listen(first, 1);
    const port = sockaddrPort(s.getsockname(first));
    s.setsockopt(second, SOL_SOCKET, SO_REUSEADDR, 1);
    assert.equal(s.getsockopt(second, SOL_SOCKET, SO_REUSEADDR), 1);
    assert.throws(() => s.bind(second, sockaddrIn(loopback, port)), (e) => isErrno(e, "EADDRINUSE"));
    assert.throws(
      () => s.bind(second, sockaddrIn(new Uint8Array([203, 0, 113, 7]), port)),
      (e) => isErrno(e, "EADDRNOTAVAIL"),
    );
  } finally {
    s.closeSocket(first);
    s.closeSocket(second);
  }
});
