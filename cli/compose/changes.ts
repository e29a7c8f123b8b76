/** Changes of files below some paths, gathered until it is quiet for a moment. */

/** Changes within this time of each other are one, milliseconds. */
const QUIET_MS = 100;
/** Longest that a stream of changes is gathered, milliseconds. */
const GATHER_MS = 1000;

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

/** Hears of changes from its making on, until the signal aborts. */
export class FileChanges implements AsyncIterable<Set<string>> {
  readonly #signal: AbortSignal;
  readonly #watchers: Deno.FsWatcher[] = [];
  #paths = new Set<string>();
  #firstAt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wake: PromiseWithResolvers<void> = Promise.withResolvers();
  readonly #noting: Promise<unknown>;

  /** @param roots directories, watched with all below, and files */
  constructor(roots: Iterable<string>, signal: AbortSignal) {
    this.#signal = signal;
    const all = [...new Set(roots)];
    const dirs = all.filter(isDirectory);
    // An editor that writes a new file and renames it takes the watched one away: its directory is watched instead.
    const parents = new Set(all.filter((p) => !dirs.includes(p)).map((p) => p.slice(0, p.lastIndexOf("/")) || "/"));
    if (dirs.length > 0) this.#watchers.push(Deno.watchFs(dirs, { recursive: true }));
    if (parents.size > 0) this.#watchers.push(Deno.watchFs([...parents], { recursive: false }));
    this.#noting = Promise.all(this.#watchers.map((watcher) => this.#note(watcher)));
    if (signal.aborted) this.#close();
    else signal.addEventListener("abort", this.#close, { once: true });
  }

  readonly #close = (): void => {
    clearTimeout(this.#timer);
    for (const watcher of this.#watchers.splice(0)) watcher.close();
    this.#wake.resolve();
  };

  async #note(watcher: Deno.FsWatcher): Promise<void> {
    for await (const event of watcher) {
      if (event.kind === "access") continue;
      if (this.#paths.size === 0) this.#firstAt = performance.now();
      for (const path of event.paths) this.#paths.add(path);
      clearTimeout(this.#timer);
      const wait = Math.max(0, Math.min(QUIET_MS, this.#firstAt + GATHER_MS - performance.now()));
      this.#timer = setTimeout(() => this.#wake.resolve(), wait);
    }
  }

  /** Sets of changed paths; those that come while one is dealt with are in the next. Ends when the signal aborts. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Set<string>, void, void> {
    try {
      while (!this.#signal.aborted) {
        await this.#wake.promise;
        this.#wake = Promise.withResolvers();
        const gathered = this.#paths;
        this.#paths = new Set();
        if (gathered.size > 0 && !this.#signal.aborted) yield gathered;
      }
    } finally {
      this.#signal.removeEventListener("abort", this.#close);
      this.#close();
      await this.#noting;
    }
  }
}
