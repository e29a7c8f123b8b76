/** One inotify instance for all monitor directories: says when a file in one of them has been written whole. */

import { EPOLL, IN, type PollKernel } from "../../ffi/poll.ts";
import type { FileKernel } from "../../ffi/file.ts";
import { isErrno } from "../../ffi/errno.ts";
import type { PollLoop } from "./loop.ts";

/** Called with the name of a file that was closed after writing, or renamed into place. */
export type FileHandler = (name: string) => void;

/** Watches directories for finished files, and single files for changes. */
export class DirectoryWatcher {
  readonly #poll: PollKernel;
  readonly #files: Pick<FileKernel, "close">;
  readonly #loop: PollLoop;
  readonly #fd: number;
  readonly #token: number;
  readonly #handlers = new Map<number, FileHandler>();
  readonly #onError: (e: unknown) => void;

  /** Opens the instance and registers it with the loop. */
  constructor(poll: PollKernel, files: Pick<FileKernel, "close">, loop: PollLoop, onError: (e: unknown) => void) {
    this.#poll = poll;
    this.#files = files;
    this.#loop = loop;
    this.#onError = onError;
    this.#fd = poll.inotifyInit();
    this.#token = loop.add(this.#fd, EPOLL.IN, () => this.#dispatch());
  }

  /** Watches a directory; returns the function that ends it. */
  watchDirectory(path: string, handler: FileHandler): () => void {
    return this.#watch(path, IN.CLOSE_WRITE | IN.MOVED_TO | IN.ONLYDIR, handler);
  }

  /** Watches one file for modification (as cgroup files report it); returns the function that ends it. */
  watchFile(path: string, handler: () => void): () => void {
    return this.#watch(path, IN.MODIFY, handler);
  }

  /** Closes the instance. */
  close(): void {
    this.#loop.remove(this.#token);
    this.#files.close(this.#fd);
  }

  #watch(path: string, mask: number, handler: FileHandler): () => void {
    const watch = this.#poll.inotifyAddWatch(this.#fd, path, mask);
    this.#handlers.set(watch, handler);
    return () => {
      if (!this.#handlers.delete(watch)) return;
      try {
        this.#poll.inotifyRemoveWatch(this.#fd, watch);
      } catch (e) {
        if (!isErrno(e, "EINVAL", "EBADF")) throw e;
      }
    };
  }

  #dispatch(): void {
    for (const { watch, mask, name } of this.#poll.inotifyRead(this.#fd)) {
      try {
        if ((mask & IN.IGNORED) !== 0) this.#handlers.delete(watch);
        else this.#handlers.get(watch)?.(name);
      } catch (e) {
        this.#onError(e);
      }
    }
  }
}
