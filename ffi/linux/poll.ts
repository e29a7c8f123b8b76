/** Linux implementation of the readiness area. */

import { isErrno } from "../errno.ts";
import type { PollKernel, ReadyEvent, WatchEvent } from "../poll.ts";
import { check, checkBig, cstr, openLibc } from "./libc.ts";

const EPOLL_CLOEXEC = 0o2000000;
const EFD_FLAGS = 0o2000000 | 0o4000;
const INOTIFY_FLAGS = 0o2000000 | 0o4000;
// struct epoll_event is packed on x86-64 only.
const EVENT_SIZE = Deno.build.arch === "x86_64" ? 12 : 16;
const DATA_AT = Deno.build.arch === "x86_64" ? 4 : 8;
const MAX_EVENTS = 256;

/** Opens the readiness area for the calling thread. */
export function linuxPoll(): PollKernel {
  const { symbols: libc } = openLibc({
    epoll_create1: { parameters: ["i32"], result: "i32" },
    epoll_ctl: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
    epoll_wait: { parameters: ["i32", "buffer", "i32", "i32"], result: "i32" },
    wait_async: { name: "epoll_wait", parameters: ["i32", "buffer", "i32", "i32"], result: "i32", nonblocking: true },
    usleep: { parameters: ["u32"], result: "i32", nonblocking: true },
    eventfd: { parameters: ["u32", "i32"], result: "i32" },
    inotify_init1: { parameters: ["i32"], result: "i32" },
    inotify_add_watch: { parameters: ["i32", "buffer", "u32"], result: "i32" },
    inotify_rm_watch: { parameters: ["i32", "i32"], result: "i32" },
    read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
    write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  });
  const one = new Uint8Array(EVENT_SIZE);
  const oneView = new DataView(one.buffer);
  const many = new Uint8Array(EVENT_SIZE * MAX_EVENTS);
  const manyView = new DataView(many.buffer);
  // Its own buffer: a pool thread writes here while this thread may be polling.
  const asyncEvents = new Uint8Array(EVENT_SIZE);
  const counter = new Uint8Array(8);
  const counterView = new DataView(counter.buffer);
  const notes = new Uint8Array(64 * 1024);
  const notesView = new DataView(notes.buffer);
  const decoder = new TextDecoder();

  return {
    epollCreate: () => check(libc.epoll_create1(EPOLL_CLOEXEC), "epoll_create1"),
    epollCtl(epollFd, operation, fd, events, token) {
      oneView.setUint32(0, events >>> 0, true);
      oneView.setUint32(DATA_AT, token, true);
      oneView.setUint32(DATA_AT + 4, 0, true);
      check(libc.epoll_ctl(epollFd, operation, fd, one), "epoll_ctl", fd);
    },
    epollPoll(epollFd, max) {
      const n = check(libc.epoll_wait(epollFd, many, Math.min(max, MAX_EVENTS), 0), "epoll_wait");
      const ready: ReadyEvent[] = [];
      for (let i = 0; i < n; i++) {
        const at = i * EVENT_SIZE;
        ready.push({ events: manyView.getUint32(at, true), token: manyView.getUint32(at + DATA_AT, true) });
      }
      return ready;
    },
    async epollReadyAsync(epollFd, timeoutMs) {
      await libc.wait_async(epollFd, asyncEvents, 1, timeoutMs);
    },
    async yieldAsync(us) {
      await libc.usleep(us);
    },
    eventfd: (initial) => check(libc.eventfd(initial, EFD_FLAGS), "eventfd"),
    eventfdAdd(fd, value) {
      counterView.setBigUint64(0, BigInt(value), true);
      checkBig(BigInt(libc.write(fd, counter, 8n)), "write", "eventfd");
    },
    eventfdTake(fd) {
      try {
        checkBig(BigInt(libc.read(fd, counter, 8n)), "read", "eventfd");
      } catch (e) {
        if (isErrno(e, "EAGAIN")) return 0;
        throw e;
      }
      return Number(counterView.getBigUint64(0, true));
    },
    inotifyInit: () => check(libc.inotify_init1(INOTIFY_FLAGS), "inotify_init1"),
    inotifyAddWatch: (fd, path, mask) => check(libc.inotify_add_watch(fd, cstr(path), mask), "inotify_add_watch", path),
    inotifyRemoveWatch(fd, watch) {
      const about = String(watch);
      check(libc.inotify_rm_watch(fd, watch), "inotify_rm_watch", about);
    },
    inotifyRead(fd) {
      const events: WatchEvent[] = [];
      while (true) {
        let n: number;
        try {
          n = checkBig(BigInt(libc.read(fd, notes, BigInt(notes.byteLength))), "read", "inotify");
        } catch (e) {
          if (isErrno(e, "EAGAIN")) return events;
          throw e;
        }
        for (let at = 0; at + 16 <= n;) {
          const length = notesView.getUint32(at + 12, true);
          const raw = notes.subarray(at + 16, at + 16 + length);
          const nul = raw.indexOf(0);
          events.push({
            watch: notesView.getInt32(at, true),
            mask: notesView.getUint32(at + 4, true),
            name: decoder.decode(nul < 0 ? raw : raw.subarray(0, nul)),
          });
          at += 16 + length;
        }
      }
    },
  };
}
