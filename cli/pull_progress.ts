/** Shows a pull on standard error: bars on a terminal, plain lines elsewhere. */

import type { PullEvent } from "../mod.ts";
import { formatSize } from "../daemon/spec/parse/size.ts";
import type { Context } from "./context.ts";
import { type LayerState, PullState, renderPull, shortDigest } from "./render/bars.ts";
import { escapeControls } from "./render/escape.ts";
import { OutputClosed, terminalSize } from "./terminal/output.ts";

/** Shortest time between two pictures. */
const FRAME_MS = 100;

/** Where the picture goes. */
export interface Screen {
  write(text: string): void;
  size(): { rows: number; cols: number };
  now(): number;
}

/** Listener of pull events. */
export interface PullProgress {
  event(event: PullEvent): void;
  /** Last picture; other output may follow. Idempotent. */
  end(): void;
}

/** Bars, redrawn in place at most ten times a second. */
export class BarProgress implements PullProgress {
  readonly #screen: Screen;
  readonly #state = new PullState();
  #drawn = 0;
  #lastDraw = -Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  /** @param screen a terminal that knows ANSI sequences */
  constructor(screen: Screen) {
    this.#screen = screen;
  }

  event(event: PullEvent): void {
    if (this.#ended) return;
    this.#state.apply(event, this.#screen.now());
    const wait = this.#lastDraw + FRAME_MS - this.#screen.now();
    if (wait <= 0) this.#draw();
    else this.#timer ??= setTimeout(() => this.#draw(), wait);
  }

  end(): void {
    if (this.#ended) return;
    if (this.#state.layers.size > 0) this.#draw();
    else if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#ended = true;
  }

  #draw(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#state.layers.size === 0) return;
    const { rows, cols } = this.#screen.size();
    // The last column stays free: a full line would wrap on some terminals, and the cursor's way up would be wrong.
    const lines = renderPull(this.#state, this.#screen.now(), Math.max(10, cols - 1), Math.max(2, rows - 1));
    const up = this.#drawn > 0 ? `\u001b[${this.#drawn}A` : "";
    const rest = "\u001b[K\n".repeat(Math.max(0, this.#drawn - lines.length));
    this.#screen.write(`${up}\r${lines.map((line) => `${line}\u001b[K\n`).join("")}${rest}`);
    this.#drawn = Math.max(this.#drawn, lines.length);
    this.#lastDraw = this.#screen.now();
  }
}

/** One line for each thing that happened; no progress in between. */
export class LineProgress implements PullProgress {
  readonly #write: (text: string) => void;
  readonly #state = new PullState();
  readonly #told = new Set<string>();

  /** @param write takes whole lines */
  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  event(event: PullEvent): void {
    const layer = this.#state.apply(event, 0);
    if (event.phase === "begin") this.#write(`Pulling ${escapeControls(event.ref ?? "")}\n`);
    else if (layer !== undefined && (layer.state === "done" || layer.state === "exists")) this.#tell(layer);
  }

  end(): void {}

  #tell(layer: LayerState): void {
    if (this.#told.has(layer.digest)) return;
    this.#told.add(layer.digest);
    const what = layer.state === "exists" ? "already here" : `pulled ${formatSize(layer.size, 3)}`;
    this.#write(
      `${shortDigest(layer.digest)}: ${what} (${this.#state.finished}/${
        Math.max(this.#state.count, this.#state.layers.size)
      })\n`,
    );
  }
}

/** The listener that suits standard error; quiet hears nothing. */
export function pullProgress(context: Context, quiet: boolean): PullProgress {
  if (quiet) return { event() {}, end() {} };
  const write = (text: string) => {
    try {
      context.err.text(text);
    } catch (e) {
      // Progress is a courtesy: a reader that left does not stop the pull.
      if (!(e instanceof OutputClosed)) throw e;
    }
  };
  if (!context.err.isTerminal || context.env("TERM") === "dumb") return new LineProgress(write);
  return new BarProgress({
    write,
    size: () => terminalSize() ?? { rows: 24, cols: context.width() },
    now: () => performance.now(),
  });
}
