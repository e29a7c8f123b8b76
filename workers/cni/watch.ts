/** Notices changes of the configuration directory, so that a network of a new file is known without a restart. */

/** Changes come in bursts: an editor writes, renames, and touches. */
const SETTLE_MS = 100;
/** How often a directory is looked at that cannot be watched. */
const SEARCH_MS = 2000;

/** What a directory holds, to be compared; one that is missing is empty. */
function stateOf(dir: string): string {
  try {
    return [...Deno.readDirSync(dir)].map(({ name }) => {
      const { ino, size, mtime } = Deno.lstatSync(`${dir}/${name}`);
      return JSON.stringify([name, ino, size, mtime]);
    }).sort().join();
  } catch (e) {
    return e instanceof Deno.errors.NotFound ? "" : String(e);
  }
}

/** Watches one directory until it is disposed. */
export class ConfigWatch implements Disposable {
  readonly #dir: string;
  readonly #tell: () => void;
  readonly #onError: (e: unknown) => void;
  #watcher: Deno.FsWatcher | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #search: ReturnType<typeof setInterval> | undefined;

  /**
   * @param dir directory
   * @param onChange told some time after the last change
   * @param onError told what `onChange` threw, and why a watch ended
   */
  constructor(dir: string, onChange: () => void, onError: (e: unknown) => void) {
    this.#dir = dir;
    this.#onError = onError;
    this.#tell = () => {
      try {
        onChange();
      } catch (e) {
        onError(e);
      }
    };
  }

  /** Begins; a directory that is missing, or that the host has no watch left for, is looked at now and then. */
  start(): void {
    if (!this.#open()) this.#seek();
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

  #seek(): void {
    let seen = stateOf(this.#dir);
    clearInterval(this.#search);
    this.#search = setInterval(() => {
      this.#open();
      const now = stateOf(this.#dir);
      if (now === seen) return;
      seen = now;
      this.#tell();
    }, SEARCH_MS);
  }

  async #follow(watcher: Deno.FsWatcher): Promise<void> {
    try {
      for await (const { kind } of watcher) {
        if (watcher !== this.#watcher) return;
        if (kind === "access") continue;
        this.#settle();
        if (kind !== "remove") continue;
        // What went may be the directory itself, of which this watch hears nothing more, nor of one made anew in its place.
        this.#close();
        this.start();
        return;
      }
    } catch (e) {
      if (watcher !== this.#watcher) return;
      this.#close();
      this.#onError(e);
      this.#settle();
      this.#seek();
    }
  }

  /** Comes before another watch of the directory is opened, which would be deaf: the runtime has one watch for a path. */
  #close(): void {
    const watcher = this.#watcher;
    this.#watcher = undefined;
    watcher?.close();
  }

  #settle(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#tell, SETTLE_MS);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    clearInterval(this.#search);
    this.#close();
  }
}
