/** A terminal session with a process in a container: input, output, signals, window size, detaching (run, start -a, attach, exec). */

import { type AttachedStream, fromErrorData, NyxError, type StreamEvent } from "../mod.ts";
import type { Context } from "./context.ts";
import { EXIT, exitCodeOf, ExitError } from "./failure.ts";
import { DetachWatch, parseDetachKeys } from "./terminal/detach_keys.ts";
import { OutputClosed, terminalSize } from "./terminal/output.ts";
import { OutputQueue } from "./terminal/output_queue.ts";

/** What a session does. */
export interface SessionOptions {
  /** Feed standard input. */
  stdin: boolean;
  /** The process has a terminal. */
  tty: boolean;
  /** Pass signals on. */
  sigProxy: boolean;
  /** Detach sequence as text; used with a terminal alone. */
  detachKeys: string;
  /** Input and signals wait for the event `started` (run, start); else the process runs already. */
  awaitStart: boolean;
  /** Hears every event before the session acts on it. */
  onEvent?: (event: StreamEvent) => void | Promise<void>;
  /** Something is about to be written to the terminal: progress lines must go first. */
  beforeOutput?: () => void;
  /** Second Ctrl-C in short order: stop it. Third: kill it. */
  forceStop: (kill: boolean) => Promise<void>;
}

/** How a session ended. */
export interface SessionResult {
  exitCode: number;
  detached: boolean;
}

/** Signals that are passed on. TSTP, TTIN and TTOU stay with the shell's job control, WINCH has its own use with a terminal. */
const PROXIED: readonly Deno.Signal[] = [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGTERM",
  "SIGUSR1",
  "SIGUSR2",
  "SIGCONT",
  "SIGPWR",
];
/** Two Ctrl-C within this time mean it. */
const INSIST_MS = 2000;

class Session {
  readonly #context: Context;
  readonly #stream: AttachedStream;
  readonly #options: SessionOptions;
  readonly #queue = new OutputQueue();
  readonly #undo: (() => void)[] = [];
  #started = false;
  #raw = false;
  #detached = false;
  #interrupted = false;
  #lastInterrupt = -Infinity;
  #insisted = 0;

  constructor(context: Context, stream: AttachedStream, options: SessionOptions) {
    this.#context = context;
    this.#stream = stream;
    this.#options = options;
  }

  async run(): Promise<SessionResult> {
    this.#listen();
    try {
      if (!this.#options.awaitStart) this.#begin();
      for await (const item of this.#stream) {
        if (item.kind !== "event") {
          this.#options.beforeOutput?.();
          await this.#queue.push(item.kind === "stdout" ? this.#context.out : this.#context.err, item.bytes);
          continue;
        }
        await this.#queue.flush();
        await this.#options.onEvent?.(item.event);
        const result = this.#event(item.event);
        if (result !== undefined) return result;
      }
      await this.#queue.flush();
      if (this.#detached) return { exitCode: EXIT.ok, detached: true };
      if (this.#interrupted) return { exitCode: EXIT.interrupted, detached: false };
      throw new NyxError("unavailable", "The connection to nyxd ended before the process did; it may run on");
    } finally {
      // What came before a failure is still the program's output.
      await this.#queue.flush().catch(() => {});
      for (const undo of this.#undo.reverse()) undo();
      this.#stream.close();
    }
  }

  #event(event: StreamEvent): SessionResult | undefined {
    switch (event.event) {
      case "started":
        this.#begin();
        return undefined;
      case "exit":
        if (event.error !== undefined && event.error !== "") {
          throw new ExitError(event.exitCode === 0 ? EXIT.engine : event.exitCode, event.error);
        }
        return { exitCode: event.exitCode, detached: false };
      case "error":
        throw new ExitError(exitCodeOf(event.error) ?? EXIT.engine, event.error.message, {
          cause: fromErrorData(event.error),
        });
      default:
        return undefined;
    }
  }

  /** The process runs: terminal, size and input from now on. */
  #begin(): void {
    if (this.#started) return;
    this.#started = true;
    const { stdin, tty } = this.#options;
    if (tty && this.#context.out.isTerminal) this.#followSize();
    if (stdin && tty && Deno.stdin.isTerminal()) {
      Deno.stdin.setRaw(true);
      this.#raw = true;
      this.#undo.push(() => Deno.stdin.setRaw(false));
    }
    if (stdin) this.#pump().catch(() => this.#stream.closeStdin());
  }

  #followSize(): void {
    const tell = () => {
      const size = terminalSize();
      if (size !== undefined) this.#stream.resize(size.rows, size.cols).catch(() => {});
    };
    // The window may have changed since the request was sent.
    tell();
    this.#on("SIGWINCH", tell);
  }

  #on(signal: Deno.Signal, handler: () => void): void {
    Deno.addSignalListener(signal, handler);
    this.#undo.push(() => Deno.removeSignalListener(signal, handler));
  }

  #listen(): void {
    for (const signal of PROXIED) {
      if (signal === "SIGINT") this.#on(signal, () => this.#interrupt());
      else if (this.#options.sigProxy || !["SIGUSR1", "SIGUSR2", "SIGCONT", "SIGPWR"].includes(signal)) {
        this.#on(signal, () => this.#signal(signal));
      }
    }
  }

  #signal(signal: Deno.Signal): void {
    if (!this.#started && ["SIGHUP", "SIGQUIT", "SIGTERM"].includes(signal)) this.#giveUp();
    else if (!this.#started) return;
    else if (this.#options.sigProxy) this.#stream.signal(signal).catch(() => {});
    else this.#leave();
  }

  #interrupt(): void {
    if (!this.#started) return this.#giveUp();
    if (!this.#options.sigProxy) return this.#leave();
    const now = performance.now();
    const insisting = now - this.#lastInterrupt < INSIST_MS;
    this.#lastInterrupt = now;
    if (!insisting) {
      this.#stream.signal("SIGINT").catch(() => {});
      return;
    }
    this.#insisted++;
    this.#note(this.#insisted === 1 ? "stopping it; Ctrl-C again kills it" : "killing it");
    this.#options.forceStop(this.#insisted > 1).catch((e: unknown) =>
      this.#note(e instanceof Error ? e.message : String(e))
    );
  }

  /** Before the process runs, closing the connection cancels what is under way. */
  #giveUp(): void {
    this.#interrupted = true;
    this.#stream.close();
  }

  /** Without signal proxying Ctrl-C ends the session alone, as Docker's client does. */
  #leave(): void {
    this.#detached = true;
    this.#stream.close();
  }

  #note(text: string): void {
    try {
      this.#context.err.text(`nyx: ${text}${this.#raw ? "\r\n" : "\n"}`);
    } catch (e) {
      if (!(e instanceof OutputClosed)) throw e;
    }
  }

  async #pump(): Promise<void> {
    const watch = new DetachWatch(this.#raw ? parseDetachKeys(this.#options.detachKeys) : new Uint8Array(0));
    const buffer = new Uint8Array(64 * 1024);
    while (true) {
      const count = await Deno.stdin.read(buffer);
      if (count === null) break;
      const { forward, detached } = watch.push(buffer.subarray(0, count));
      if (forward.byteLength > 0 && !await this.#stream.write(forward)) return;
      if (detached) {
        this.#detached = true;
        this.#stream.close();
        return;
      }
    }
    await this.#stream.closeStdin();
  }
}

/**
 * Runs a session until the process ends or the user detaches. Output is complete when it resolves.
 *
 * @throws ExitError with the exit code when the daemon reports a failure in the stream; OutputClosed when nobody reads our output
 */
export function runSession(context: Context, stream: AttachedStream, options: SessionOptions): Promise<SessionResult> {
  return new Session(context, stream, options).run();
}

/**
 * Refuses a terminal for a process whose input is not one.
 *
 * @throws ExitError 1, in Docker's words
 */
export function requireTerminal(stdin: boolean, tty: boolean, exitCode: number): void {
  if (stdin && tty && !Deno.stdin.isTerminal()) {
    throw new ExitError(exitCode, "the input device is not a TTY; leave out -t, or run nyx on a terminal");
  }
}
