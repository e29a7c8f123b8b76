/** Standard input of a container or exec: bytes go into a pipe or terminal in order, as fast as the process takes them. */

import { EPOLL } from "../../ffi/poll.ts";
import type { FileKernel } from "../../ffi/file.ts";
import { isErrno } from "../../ffi/errno.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import type { PollLoop } from "./loop.ts";

/** What input goes to; writes are serialised, each resolves when all its bytes are in the kernel. */
export class InputPipe {
  readonly #files: FileKernel;
  readonly #loop: PollLoop;
  readonly #fd: number;
  #token: number | undefined;
  #writable: PromiseWithResolvers<void> | undefined;
  #chain: Promise<void> = Promise.resolve();
  #closed = false;

  /**
   * @param files writes and closes
   * @param loop tells when there is room
   * @param fd non-blocking descriptor, taken over
   */
  constructor(files: FileKernel, loop: PollLoop, fd: number) {
    this.#files = files;
    this.#loop = loop;
    this.#fd = fd;
  }

  /**
   * Writes all bytes after what was asked before.
   *
   * @throws NyxError failed_precondition when the process has ended or its input was closed
   */
  write(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const turn = this.#chain.then(() => this.#writeAll(bytes));
    this.#chain = turn.catch(() => {});
    return turn;
  }

  /** Resolves when everything asked so far has been written or has failed. */
  settled(): Promise<void> {
    return this.#chain;
  }

  /** Closes the descriptor; waiting writes fail. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#token !== undefined) this.#loop.remove(this.#token);
    this.#files.close(this.#fd);
    this.#writable?.resolve();
  }

  async #writeAll(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    let done = 0;
    while (done < bytes.byteLength) {
      if (this.#closed) throw gone();
      try {
        done += this.#files.write(this.#fd, bytes.subarray(done));
      } catch (e) {
        if (isErrno(e, "EPIPE", "EIO")) throw gone();
        if (!isErrno(e, "EAGAIN", "EINTR")) throw e;
        await this.#room();
      }
    }
  }

  #room(): Promise<void> {
    this.#writable = Promise.withResolvers<void>();
    const { promise } = this.#writable;
    if (this.#token === undefined) this.#token = this.#loop.add(this.#fd, EPOLL.OUT, () => this.#onWritable());
    else this.#loop.modify(this.#token, EPOLL.OUT);
    return promise;
  }

  #onWritable(): void {
    if (this.#token !== undefined) this.#loop.modify(this.#token, 0);
    this.#writable?.resolve();
    this.#writable = undefined;
  }
}

function gone(): NyxError {
  return new NyxError("failed_precondition", "Could not write to standard input: the process has ended or closed it");
}
