/** A counting semaphore, first come first served. */
export class Slots {
  #free: number;
  readonly #queue: (() => void)[] = [];

  /** @param count how many may hold a slot at once */
  constructor(count: number) {
    this.#free = count;
  }

  /**
   * Waits for a slot.
   *
   * @returns gives it back when disposed
   * @throws the signal's reason when it aborts first
   */
  async acquire(signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free--;
    else await this.#wait(signal);
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        const next = this.#queue.shift();
        if (next === undefined) this.#free++;
        else next();
      },
    };
  }

  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#queue.splice(this.#queue.indexOf(grant), 1);
        reject(signal.reason);
      };
      const grant = () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      this.#queue.push(grant);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }
}

/** Slots for each of several peers: one that is slow, or means to be, takes none from the others. */
export class SlotsByHost {
  readonly #count: number;
  readonly #hosts = new Map<string, { slots: Slots; users: number }>();

  /** @param count how many may hold a slot of one host at once */
  constructor(count: number) {
    this.#count = count;
  }

  /** Hosts that somebody holds a slot of, or waits for. */
  get hosts(): number {
    return this.#hosts.size;
  }

  /**
   * Waits for a slot of a host.
   *
   * @returns gives it back when disposed
   * @throws the signal's reason when it aborts first
   */
  async acquire(host: string, signal: AbortSignal): Promise<Disposable> {
    const entry = this.#hosts.get(host) ?? { slots: new Slots(this.#count), users: 0 };
    this.#hosts.set(host, entry);
    entry.users++;
    const leave = () => {
      entry.users--;
      if (entry.users === 0) this.#hosts.delete(host);
    };
    let slot: Disposable;
    try {
      slot = await entry.slots.acquire(signal);
    } catch (e) {
      leave();
      throw e;
    }
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        slot[Symbol.dispose]();
        leave();
      },
    };
  }
}
