/** The one event loop of the streams worker: epoll over every FIFO, terminal, pidfd, eventfd and inotify. */

import { EPOLL, EPOLL_CTL, type PollKernel } from "../../ffi/poll.ts";
import type { FileKernel } from "../../ffi/file.ts";

/** Called with the event bits of a ready descriptor; reads a bounded amount, since readiness is level-triggered. */
export type ReadyHandler = (events: number) => void;

/** Longest run of handlers before messages of the main thread get their turn. */
const SLICE_MS = 2;
/** Break after a run of handlers that found no end of work. */
const YIELD_US = 20;
/** Wait after a failure of epoll itself, such as for want of memory. */
const PAUSE_MS = 50;
const BATCH = 64;

/** Registration of one descriptor. */
interface Registration {
  fd: number;
  handler: ReadyHandler;
  /** Bits now registered with the kernel; 0 while suspended. */
  events: number;
}

/** epoll loop; register, then {@linkcode PollLoop.run}. */
export class PollLoop {
  readonly #poll: PollKernel;
  readonly #files: Pick<FileKernel, "close">;
  readonly #epollFd: number;
  readonly #wakeFd: number;
  readonly #registrations = new Map<number, Registration>();
  #nextToken = 1;
  #stopped = false;
  readonly #onError: (e: unknown) => void;

  /**
   * @param poll readiness calls
   * @param files closes descriptors
   * @param onError told what a handler threw; the loop goes on
   */
  constructor(poll: PollKernel, files: Pick<FileKernel, "close">, onError: (e: unknown) => void) {
    this.#poll = poll;
    this.#files = files;
    this.#onError = onError;
    this.#epollFd = poll.epollCreate();
    this.#wakeFd = poll.eventfd(0);
    poll.epollCtl(this.#epollFd, EPOLL_CTL.ADD, this.#wakeFd, EPOLL.IN, 0);
  }

  /** Registers a descriptor that stays open until {@linkcode remove}; returns its token. */
  add(fd: number, events: number, handler: ReadyHandler): number {
    const token = this.#nextToken++;
    if (events !== 0) this.#poll.epollCtl(this.#epollFd, EPOLL_CTL.ADD, fd, events, token);
    this.#registrations.set(token, { fd, handler, events });
    return token;
  }

  /**
   * Changes what is waited for; 0 suspends, which takes the descriptor out of epoll: a hung-up FIFO would otherwise report
   * for ever.
   */
  modify(token: number, events: number): void {
    const r = this.#registrations.get(token);
    if (r === undefined || r.events === events) return;
    const operation = events === 0 ? EPOLL_CTL.DEL : r.events === 0 ? EPOLL_CTL.ADD : EPOLL_CTL.MOD;
    this.#poll.epollCtl(this.#epollFd, operation, r.fd, events, token);
    r.events = events;
  }

  /** Forgets a descriptor. Call before closing it. Unknown tokens are no error. */
  remove(token: number): void {
    const r = this.#registrations.get(token);
    if (r === undefined) return;
    this.#registrations.delete(token);
    if (r.events !== 0) this.#poll.epollCtl(this.#epollFd, EPOLL_CTL.DEL, r.fd, 0, 0);
  }

  /** Dispatches until {@linkcode stop}. Only one runner. Whatever fails is reported, and the loop goes on. */
  async run(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#turn();
      } catch (e) {
        this.#onError(e);
        await new Promise((r) => setTimeout(r, PAUSE_MS));
      }
    }
    this.#files.close(this.#epollFd);
    this.#files.close(this.#wakeFd);
  }

  /** Handles what is ready for a while, then lets messages of the main thread in; with nothing to do it waits. */
  async #turn(): Promise<void> {
    const until = performance.now() + SLICE_MS;
    let idle = false;
    do {
      idle = !this.#dispatch();
    } while (!idle && !this.#stopped && performance.now() < until);
    if (this.#stopped) return;
    if (idle) await this.#poll.epollReadyAsync(this.#epollFd, -1);
    else await this.#poll.yieldAsync(YIELD_US);
  }

  /** Ends run(). */
  stop(): void {
    this.#stopped = true;
    this.#poll.eventfdAdd(this.#wakeFd, 1);
  }

  #dispatch(): boolean {
    const ready = this.#poll.epollPoll(this.#epollFd, BATCH);
    for (const { token, events } of ready) {
      // A handler before this one may have removed or suspended it.
      const r = this.#registrations.get(token);
      if (r === undefined || r.events === 0) continue;
      try {
        r.handler(events);
      } catch (e) {
        this.#onError(e);
      }
    }
    return ready.length > 0;
  }
}
