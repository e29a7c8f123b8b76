/** One container's mailbox: its changes run one after the other, and never wait for another container's. */

/** Serial queue of asynchronous jobs. A failing job fails its own caller only. */
export class Mailbox {
  #tail: Promise<unknown> = Promise.resolve();
  #length = 0;

  /** Jobs waiting or running. */
  get length(): number {
    return this.#length;
  }

  /** Runs `job` after all earlier jobs; resolves or rejects as it does. */
  run<T>(job: () => T | Promise<T>): Promise<T> {
    this.#length++;
    const result = this.#tail.then(job);
    this.#tail = result.then(() => void this.#length--, () => void this.#length--);
    return result;
  }

  /** Resolves when the queue is empty. */
  async idle(): Promise<void> {
    while (this.#length > 0) await this.#tail;
  }
}
