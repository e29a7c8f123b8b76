/** Poll, process and terminal areas of the kernel edge, on the real kernel. */

import assert from "node:assert/strict";
import { linuxFile } from "../../ffi/linux/file.ts";
import { linuxPoll } from "../../ffi/linux/poll.ts";
import { linuxProcess } from "../../ffi/linux/process.ts";
import { linuxTty } from "../../ffi/linux/tty.ts";
import { AT_FDCWD, O, S } from "../../ffi/file.ts";
import { EPOLL, EPOLL_CTL, IN } from "../../ffi/poll.ts";
import { RLIMITS } from "../../ffi/process.ts";

const files = linuxFile();
const poll = linuxPoll();
const proc = linuxProcess();
const tty = linuxTty();
const bytes = (s: string) => new TextEncoder().encode(s);

Deno.test("PollKernel: epoll reports the registered token, waits on a pool thread, and forgets what was removed", async () => {
  const epoll = poll.epollCreate();
  const event = poll.eventfd(0);
  try {
    poll.epollCtl(epoll, EPOLL_CTL.ADD, event, EPOLL.IN, 77);
    assert.deepEqual(poll.epollPoll(epoll, 8), []);
    const start = performance.now();
    setTimeout(() => poll.eventfdAdd(event, 3), 30);
    await poll.epollReadyAsync(epoll, -1);
    assert.ok(performance.now() - start >= 25);
    assert.deepEqual(poll.epollPoll(epoll, 8), [{ token: 77, events: EPOLL.IN }]);
    assert.equal(poll.eventfdTake(event), 3);
    assert.equal(poll.eventfdTake(event), 0);
    poll.epollCtl(epoll, EPOLL_CTL.DEL, event, 0, 0);
    poll.eventfdAdd(event, 1);
    assert.deepEqual(poll.epollPoll(epoll, 8), []);
    assert.throws(() => poll.epollCtl(epoll, EPOLL_CTL.DEL, event, 0, 0), { code: "ENOENT" });
  } finally {
    files.close(event);
    files.close(epoll);
  }
});

Deno.test("PollKernel: inotify names files that were written and closed, and ends a watch", () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-poll-" });
  const fd = poll.inotifyInit();
  try {
    const watch = poll.inotifyAddWatch(fd, dir, IN.CLOSE_WRITE | IN.MOVED_TO);
    assert.deepEqual(poll.inotifyRead(fd), []);
    Deno.writeTextFileSync(`${dir}/pid`, "1");
    Deno.renameSync(`${dir}/pid`, `${dir}/é`);
    assert.deepEqual(poll.inotifyRead(fd), [
      { watch, mask: IN.CLOSE_WRITE, name: "pid" },
      { watch, mask: IN.MOVED_TO, name: "é" },
    ]);
    poll.inotifyRemoveWatch(fd, watch);
    assert.deepEqual(poll.inotifyRead(fd).map((e) => e.mask), [IN.IGNORED]);
    assert.throws(() => poll.inotifyAddWatch(fd, `${dir}/none`, IN.MODIFY), { code: "ENOENT" });
  } finally {
    files.close(fd);
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("ProcessKernel: splice moves, tee copies, bytesReadable counts; full and empty pipes move nothing, an ended one is -1", () => {
  const [aRead, aWrite] = proc.pipe();
  const [bRead, bWrite] = proc.pipe();
  const buffer = new Uint8Array(16);
  try {
    files.write(aWrite, bytes("hello"));
    assert.equal(proc.tee(aRead, bWrite, 100), 5);
    assert.equal(proc.bytesReadable(aRead), 5);
    assert.equal(files.read(bRead, buffer), 5);
    assert.equal(proc.splice(aRead, bWrite, 3), 3);
    assert.equal(proc.bytesReadable(aRead), 2);
    assert.equal(proc.bytesReadable(bRead), 3);
    assert.equal(proc.splice(aRead, bWrite, 100), 2);
    assert.equal(proc.splice(aRead, bWrite, 100), 0);
    files.close(aWrite);
    assert.equal(proc.splice(aRead, bWrite, 100), -1);
  } finally {
    for (const fd of [aRead, bRead, bWrite]) files.close(fd);
  }
});

Deno.test("ProcessKernel: a pidfd signals exactly its process, becomes readable at its end, and is ESRCH after", async () => {
  const child = new Deno.Command("sleep", { args: ["50"] }).spawn();
  const fd = proc.pidfdOpen(child.pid);
  const epoll = poll.epollCreate();
  try {
    poll.epollCtl(epoll, EPOLL_CTL.ADD, fd, EPOLL.IN, 1);
    proc.pidfdSendSignal(fd, 0);
    assert.deepEqual(poll.epollPoll(epoll, 1), []);
    proc.pidfdSendSignal(fd, 15);
    assert.equal((await child.status).signal, "SIGTERM");
    assert.equal(poll.epollPoll(epoll, 1).length, 1);
    assert.throws(() => proc.pidfdSendSignal(fd, 15), { code: "ESRCH" });
    assert.throws(() => proc.pidfdOpen(child.pid), { code: "ESRCH" });
    assert.throws(() => proc.waitPidfd(fd), { code: "ECHILD" });
    assert.throws(() => proc.kill(child.pid, 0), { code: "ESRCH" });
  } finally {
    files.close(epoll);
    files.close(fd);
  }
});

Deno.test("ProcessKernel: pidfdGetfd duplicates another process's descriptor", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-getfd-" });
  files.mknodat(AT_FDCWD, `${dir}/fifo`, S.IFIFO | 0o600, 0, 0);
  const child = new Deno.Command("sh", { args: ["-c", `exec 7<>${dir}/fifo; echo x >&7; exec sleep 50`] }).spawn();
  const fd = proc.pidfdOpen(child.pid);
  try {
    let copy = -1;
    for (let i = 0; i < 100 && copy < 0; i++) {
      await new Promise((r) => setTimeout(r, 10));
      try {
        copy = proc.pidfdGetfd(fd, 7);
        if (proc.bytesReadable(copy) === 0) copy = -1;
      } catch {
        // Not open yet.
      }
    }
    const buffer = new Uint8Array(4);
    assert.equal(files.read(copy, buffer), 2);
    files.close(copy);
  } finally {
    child.kill("SIGKILL");
    await child.status;
    files.close(fd);
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("ProcessKernel: limits, pid and clock", () => {
  assert.equal(proc.getpid(), Deno.pid);
  const nofile = RLIMITS["RLIMIT_NOFILE"] ?? 7;
  const before = proc.getrlimit(nofile);
  assert.ok(before.soft > 0);
  proc.setrlimit(nofile, { soft: before.soft - 1, hard: before.hard });
  assert.equal(proc.getrlimit(nofile).soft, before.soft - 1);
  proc.setrlimit(nofile, before);
  assert.ok(Math.abs(Number(proc.realtimeNs() / 1_000_000n) - Date.now()) < 1000);
});

Deno.test("TtyKernel: a terminal keeps its size and carries bytes", () => {
  const { masterFd, slavePath } = tty.openPty();
  const slave = files.openat(AT_FDCWD, slavePath, O.RDWR | O.NOCTTY | O.CLOEXEC);
  const buffer = new Uint8Array(64);
  try {
    tty.setWindowSize(masterFd, { rows: 41, cols: 132 });
    assert.deepEqual(tty.getWindowSize(slave), { rows: 41, cols: 132 });
    files.write(slave, bytes("hi\n"));
    assert.equal(new TextDecoder().decode(buffer.subarray(0, files.read(masterFd, buffer))), "hi\r\n");
    const [read, write] = proc.pipe();
    assert.throws(() => tty.getWindowSize(read), { code: "ENOTTY" });
    for (const fd of [read, write]) files.close(fd);
    files.close(slave);
    assert.throws(() => files.read(masterFd, buffer), { code: "EIO" });
  } finally {
    files.close(masterFd);
  }
});

Deno.test("TtyKernel: a descriptor arrives over a unix socket; a peer that sends none is ENODATA; long paths are refused", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-tty-" });
  const path = `${dir}/s`;
  const listener = tty.listenUnix(path);
  try {
    assert.equal(tty.acceptUnix(listener), undefined);
    const client = `
import socket, os, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
r, w = os.pipe(); os.write(w, b"through")
if sys.argv[2] == "send": socket.send_fds(s, [b"/dev/ptmx"], [r])
`;
    const run = (mode: string) => new Deno.Command("python3", { args: ["-c", client, path, mode] }).output();
    assert.ok((await run("send")).success);
    const accepted = tty.acceptUnix(listener) ?? -1;
    const received = tty.receiveDescriptor(accepted) ?? -1;
    const buffer = new Uint8Array(16);
    assert.equal(files.read(received, buffer), 7);
    for (const fd of [received, accepted]) files.close(fd);
    assert.ok((await run("none")).success);
    const other = tty.acceptUnix(listener) ?? -1;
    assert.throws(() => tty.receiveDescriptor(other), { code: "ENODATA" });
    files.close(other);
    assert.throws(() => tty.listenUnix(path), { code: "EADDRINUSE" });
    assert.throws(() => tty.listenUnix(`${dir}/${"x".repeat(120)}`), { code: "EINVAL" });
  } finally {
    files.close(listener);
    Deno.removeSync(dir, { recursive: true });
  }
});
