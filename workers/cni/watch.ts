/** Notices changes of the configuration directory, so that a network of a new file is known without a restart. */

/** Changes come in bursts: an editor writes, renames, and touches. */
const SETTLE_MS = 100;
/** How often a directory is looked at that cannot be watched. */
const SEARCH_MS = 2000;

/** Watches one directory until it is disposed. */
export class ConfigWatch implements Disposable {
  readonly #dir: string;
  readonly #onChange: () => void;
  #watcher: Deno.FsWatcher | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #search: ReturnType<typeof setInterval> | undefined;

  /**
   * @param dir directory
   * @param onChange told some time after the last change
   */
  constructor(dir: string, onChange: () => void) {
    this.#dir = dir;
    this.#onChange = onChange;
  }

  /** Begins; a directory that is missing, or that the host has no watch left for, is looked at now and then. */
  start(): void {
    if (this.#open()) return;
    this.#search = setInterval(() => {
      this.#open();
      this.#onChange();
    }, SEARCH_MS);
  }

  #open(): boolean {
    try {
      this.#watcher = Deno.watchFs(this.#dir, { recursive: false });
    } catch {
      return false;
    }
    clearInterval(this.#search);
    void this.#follow(this.#watcher);
    return true;
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
    clearInterval(this.#search);
    this.#watcher?.close();
  }
}
