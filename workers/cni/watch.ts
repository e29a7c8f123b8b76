/** Notices changes of the configuration directory, so that a network of a new file is known without a restart. */

/** Changes come in bursts: an editor writes, renames, and touches. */
const SETTLE_MS = 100;

/** Watches one directory until it is disposed. */
export class ConfigWatch implements Disposable {
  readonly #dir: string;
  readonly #onChange: () => void;
  #watcher: Deno.FsWatcher | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param dir directory; one that is missing is not watched
   * @param onChange told some time after the last change
   */
  constructor(dir: string, onChange: () => void) {
    this.#dir = dir;
    this.#onChange = onChange;
  }

  /** Begins. */
  start(): void {
    try {
      this.#watcher = Deno.watchFs(this.#dir, { recursive: false });
    } catch (e) {
      if (e instanceof Deno.errors.NotFound) return;
      throw e;
    }
    void this.#follow(this.#watcher);
  }

  async #follow(watcher: Deno.FsWatcher): Promise<void> {
    for await (const { kind } of watcher) {
      if (kind === "access") continue;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(this.#onChange, SETTLE_MS);
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#watcher?.close();
  }
}
