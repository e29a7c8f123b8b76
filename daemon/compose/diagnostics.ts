/** What is wrong, or worth knowing, in a compose file: positions, excerpts and a collector that gathers all of it. */

import { NyxError } from "../spec/errors.ts";
import type { ComposeDiagnostic } from "../spec/compose.ts";

/** Longest excerpt shown; a longer line is cut around the column. */
const EXCERPT_LENGTH = 120;

/** Most findings that are kept: a hostile file has no end of them. */
const MAX_DIAGNOSTICS = 2000;

/** The text of one file, for turning offsets into lines. */
export class SourceFile {
  /** Path as the user would type it. */
  readonly path: string;
  /** The whole text. */
  readonly text: string;
  #starts: number[] | undefined;

  /** Keeps the text; line starts are computed when first asked for. */
  constructor(path: string, text: string) {
    this.path = path;
    this.text = text;
  }

  /** Line and column, both from 1, of an offset in UTF-16 units. */
  position(offset: number): { line: number; column: number } {
    const starts = this.#lineStarts();
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((starts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: offset - (starts[low] ?? 0) + 1 };
  }

  /** The line that holds an offset, without its end, cut to a readable length. */
  excerpt(offset: number): string {
    const { line, column } = this.position(offset);
    const starts = this.#lineStarts();
    const text = this.text.slice(starts[line - 1] ?? 0, (starts[line] ?? this.text.length + 1) - 1).replace(/\r$/, "");
    if (text.length <= EXCERPT_LENGTH) return text;
    const from = Math.max(0, Math.min(column - 1 - EXCERPT_LENGTH / 2, text.length - EXCERPT_LENGTH));
    return `${from > 0 ? "…" : ""}${text.slice(from, from + EXCERPT_LENGTH)}…`;
  }

  #lineStarts(): number[] {
    if (this.#starts !== undefined) return this.#starts;
    const starts = [0];
    for (let at = this.text.indexOf("\n"); at >= 0; at = this.text.indexOf("\n", at + 1)) starts.push(at + 1);
    this.#starts = starts;
    return starts;
  }
}

/** Where something was written. */
export interface Origin {
  /** File that holds it. */
  file: SourceFile;
  /** Offset in its text. */
  offset: number;
}

/** Fields of a diagnostic beside its severity and position. */
export interface Finding {
  /** Machine-readable kind, such as `unknown-key`. */
  code: string;
  /** Place in the model, such as `services.web.ports[0]`. */
  path: string;
  /** What was found. */
  message: string;
  /** What the specification asks for. */
  rule?: string;
  /** What to write instead. */
  fix?: string;
  /** See {@linkcode ComposeDiagnostic.blocks}. */
  blocks?: boolean;
}

/** Gathers diagnostics; the same one at the same place is kept once. */
export class Diagnostics {
  readonly #found: ComposeDiagnostic[] = [];
  readonly #seen = new Set<string>();

  /** Everything so far, in the order of discovery. */
  get all(): readonly ComposeDiagnostic[] {
    return this.#found;
  }

  /** Only what makes the project unusable. */
  get errors(): ComposeDiagnostic[] {
    return this.#found.filter((d) => d.severity === "error");
  }

  /** Something that must be repaired. */
  error(origin: Origin | undefined, finding: Finding): void {
    this.#add("error", origin, finding);
  }

  /** Something that is ignored, assumed or not honoured. */
  warn(origin: Origin | undefined, finding: Finding): void {
    this.#add("warning", origin, finding);
  }

  /** Something that changes nothing, said so that it isn't silent. */
  note(origin: Origin | undefined, finding: Finding): void {
    this.#add("info", origin, finding);
  }

  #add(severity: ComposeDiagnostic["severity"], origin: Origin | undefined, finding: Finding): void {
    const where = origin === undefined ? undefined : origin.file.position(origin.offset);
    const key = origin === undefined
      ? `${finding.code}|${finding.path}|${finding.message}`
      : `${finding.code}|${origin.file.path}|${origin.offset}|${finding.message}`;
    if (this.#seen.has(key) || this.#found.length >= MAX_DIAGNOSTICS) return;
    this.#seen.add(key);
    const diagnostic: ComposeDiagnostic = { severity, ...finding };
    if (origin !== undefined && where !== undefined) {
      diagnostic.file = origin.file.path;
      diagnostic.line = where.line;
      diagnostic.column = where.column;
      diagnostic.excerpt = origin.file.excerpt(origin.offset);
    }
    this.#found.push(diagnostic);
  }
}

/** One diagnostic as a person reads it: position, message, the line with a caret, rule and fix. */
export function formatDiagnostic(d: ComposeDiagnostic): string {
  const where = d.file === undefined ? "" : `${d.file}:${d.line}:${d.column}: `;
  const lines = [`${where}${d.severity}: ${d.path === "" ? "" : `${d.path}: `}${d.message}`];
  if (d.excerpt !== undefined && d.excerpt.trim() !== "") {
    const cut = d.excerpt.startsWith("…") || d.column === undefined;
    lines.push(`    ${d.excerpt.replaceAll("\t", " ")}`);
    if (!cut) lines.push(`    ${" ".repeat(Math.max(0, (d.column ?? 1) - 1))}^`);
  }
  if (d.rule !== undefined) lines.push(`  rule: ${d.rule}`);
  if (d.fix !== undefined) lines.push(`  fix: ${d.fix}`);
  return lines.join("\n");
}

/** The NyxError that carries all errors of a project at once. */
export function composeError(diagnostics: readonly ComposeDiagnostic[], action: string): NyxError {
  const errors = diagnostics.filter((d) => d.severity === "error");
  const count = errors.length === 1 ? "1 error" : `${errors.length} errors`;
  return new NyxError("invalid_argument", `Could not ${action}: ${count}\n${errors.map(formatDiagnostic).join("\n")}`, {
    op: "compose.load",
    context: { errors: errors.length },
  });
}
