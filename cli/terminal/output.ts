/** Standard output and error, written whole: nothing is lost when the process ends, and a reader that went away is no error. */

/** The reader of our output has gone (`nyx ps | head -1`). */
export class OutputClosed extends Error {
  override readonly name = "OutputClosed";
}

const encoder = new TextEncoder();

/** One output stream. */
export class Output {
  readonly #file: typeof Deno.stdout | typeof Deno.stderr;
  #terminal: boolean | undefined;

  /** @param file standard output or error */
  constructor(file: typeof Deno.stdout | typeof Deno.stderr) {
    this.#file = file;
  }

  /** Whether it is a terminal. */
  get isTerminal(): boolean {
    return this.#terminal ??= this.#file.isTerminal();
  }

  /**
   * Writes text at once, blocking.
   *
   * @throws OutputClosed when nobody reads any more
   */
  text(text: string): void {
    const bytes = encoder.encode(text);
    for (let at = 0; at < bytes.byteLength;) {
      try {
        at += this.#file.writeSync(bytes.subarray(at));
      } catch (e) {
        // Someone we share the file with made it non-blocking: let its reader catch up.
        if (e instanceof Deno.errors.WouldBlock) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
        else throw asClosed(e);
      }
    }
  }

  /**
   * Writes bytes; resolves when the kernel took them. Signals are handled meanwhile.
   *
   * @throws OutputClosed when nobody reads any more
   */
  async bytes(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.byteLength;) {
      try {
        at += await this.#file.write(bytes.subarray(at));
      } catch (e) {
        if (e instanceof Deno.errors.WouldBlock) await new Promise((resolve) => setTimeout(resolve, 5));
        else throw asClosed(e);
      }
    }
  }
}

function asClosed(e: unknown): unknown {
  return e instanceof Deno.errors.BrokenPipe ? new OutputClosed() : e;
}

/** Width of the terminal in columns: the terminal's own, else COLUMNS, else 80. */
export function terminalWidth(env: (name: string) => string | undefined): number {
  try {
    const { columns } = Deno.consoleSize();
    if (columns > 0) return columns;
  } catch {
    // No terminal.
  }
  const set = Number(env("COLUMNS") ?? "");
  return Number.isInteger(set) && set >= 20 ? set : 80;
}

/** Rows and columns of the terminal; undefined without one. */
export function terminalSize(): { rows: number; cols: number } | undefined {
  try {
    const { rows, columns } = Deno.consoleSize();
    return rows > 0 && columns > 0 ? { rows, cols: columns } : undefined;
  } catch {
    return undefined;
  }
}
