/** Failures as the user sees them: one sentence on standard error, and an exit code. */

import { type ErrorData, toErrorData } from "../mod.ts";
import type { Context } from "./context.ts";
import { escapeControlsInLines } from "./render/escape.ts";

/** Exit codes of nyx itself; what a container's program returned passes through unchanged. */
export const EXIT = {
  ok: 0,
  /** The daemon refused, or something failed. */
  failure: 1,
  /** Mistake on the command line. */
  usage: 2,
  /** run, create, exec: the engine failed, or the command line is wrong. */
  engine: 125,
  /** run, exec: the program cannot be executed. */
  notExecutable: 126,
  /** run, exec: the program does not exist. */
  notFound: 127,
  /** Ctrl-C before anything ran. */
  interrupted: 130,
  /** The reader of our output went away, as if SIGPIPE had ended us. */
  outputClosed: 141,
} as const;

/** A failure whose exit code is already known. */
export class ExitError extends Error {
  override readonly name = "ExitError";
  /** Exit code. */
  readonly exitCode: number;

  constructor(exitCode: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/** Exit code that the daemon gave for a program that never ran: 126 or 127. */
export function exitCodeOf(data: ErrorData): number | undefined {
  for (let at: ErrorData | undefined = data; at !== undefined; at = at.cause) {
    const code = at.context?.exitCode ?? at.context?.exit_code;
    if (typeof code === "number" && code > 0 && code < 256) return code;
  }
  return undefined;
}

/** `nyx: …` on standard error; with --debug also code, operation, context and causes. */
export function reportFailure(context: Context, e: unknown): void {
  const data = toErrorData(e);
  context.err.text(`${context.paintErr.red("nyx:")} ${escapeControlsInLines(data.message)}\n`);
  if (context.debug) context.err.text(`${escapeControlsInLines(debugText(data, e))}\n`);
}

function debugText(data: ErrorData, e: unknown): string {
  const lines: string[] = [];
  for (let at: ErrorData | undefined = data; at !== undefined; at = at.cause) {
    const { message, cause: _, ...rest } = at;
    lines.push(`  ${lines.length === 0 ? "error" : `caused by: ${message}`} ${JSON.stringify(rest)}`);
  }
  if (e instanceof Error && e.stack !== undefined) lines.push(e.stack);
  return lines.join("\n");
}
