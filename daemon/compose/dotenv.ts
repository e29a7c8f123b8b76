/**
 * Env files with Compose's rules: `KEY=VALUE` or `KEY: VALUE`, `export`, quotes, several lines within quotes, comments, escapes in
 * double quotes, variables outside single quotes. A key alone takes its value from the environment.
 */

import { interpolate, InterpolationError, type Lookup } from "./interpolate.ts";

/** Why an env file could not be read. */
export class DotenvError extends Error {
  override readonly name = "DotenvError";
  /** From 1. */
  readonly line: number;

  /** Keeps the line. */
  constructor(message: string, line: number) {
    super(message);
    this.line = line;
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  c: "",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  '"': '"',
  "\\": "\\",
};

/** Escapes of a double-quoted value; `\$` becomes `$$`, which interpolation turns into a dollar sign. */
function unescape(text: string): string {
  return text.replace(/\\(0[0-7]{1,3}|[abcfnrtv$"\\])/g, (_, what: string) => {
    if (what === "$") return "$$";
    if (what.startsWith("0")) return String.fromCharCode(Number.parseInt(what, 8));
    return ESCAPES[what] ?? what;
  });
}

class Reader {
  readonly #text: string;
  readonly #lookup: Lookup;
  readonly #values = new Map<string, string>();
  #at = 0;

  constructor(text: string, lookup: Lookup) {
    this.#text = text;
    this.#lookup = lookup;
  }

  read(): Map<string, string> {
    while (this.#skipBlank()) this.#statement();
    return this.#values;
  }

  #line(at = this.#at): number {
    let line = 1;
    for (let i = 0; i < at; i++) if (this.#text[i] === "\n") line++;
    return line;
  }

  #skipBlank(): boolean {
    while (this.#at < this.#text.length) {
      const c = this.#text[this.#at] ?? "";
      if (c === "#") this.#toLineEnd();
      else if (/\s/.test(c)) this.#at++;
      else return true;
    }
    return false;
  }

  #toLineEnd(): string {
    const end = this.#text.indexOf("\n", this.#at);
    const text = this.#text.slice(this.#at, end < 0 ? undefined : end);
    this.#at = end < 0 ? this.#text.length : end + 1;
    return text;
  }

  #statement(): void {
    const start = this.#at;
    const head = /(?:export[^\S\n]+)?([^=:\n]*)([=:]?)/y;
    head.lastIndex = this.#at;
    const match = head.exec(this.#text);
    const key = (match?.[1] ?? "").trim();
    const valid = /^[\p{L}\p{N}_.[\]-]+$/u;
    if (match === null || !valid.test(key)) {
      const shown = key.length > 40 ? `${key.slice(0, 40)}…` : key;
      throw new DotenvError(
        `"${shown}" is no variable name; write NAME=VALUE, or start a comment with #`,
        this.#line(start),
      );
    }
    this.#at = head.lastIndex;
    if (match[2] === "") {
      const inherited = this.#lookup(key);
      if (inherited !== undefined) this.#values.set(key, inherited);
      return;
    }
    while (/[^\S\n]/.test(this.#text[this.#at] ?? "\n")) this.#at++;
    this.#values.set(key, this.#value(start));
  }

  #value(start: number): string {
    const quote = this.#text[this.#at];
    if (quote !== "'" && quote !== '"') {
      const line = this.#toLineEnd();
      const comment = line.search(/\s#/);
      const bare = line.startsWith("#") ? "" : comment < 0 ? line : line.slice(0, comment);
      return this.#expand(bare.trimEnd(), start);
    }
    let end = this.#at + 1;
    while (end < this.#text.length && this.#text[end] !== quote) end += this.#text[end] === "\\" ? 2 : 1;
    if (end >= this.#text.length) {
      throw new DotenvError(`a quoted value is never closed with ${quote}`, this.#line(start));
    }
    const raw = this.#text.slice(this.#at + 1, end);
    this.#at = end + 1;
    return quote === "'" ? raw.replaceAll("\\'", "'") : this.#expand(unescape(raw), start);
  }

  #expand(text: string, start: number): string {
    try {
      return interpolate(text, (name) => this.#lookup(name) ?? this.#values.get(name));
    } catch (e) {
      if (e instanceof InterpolationError) throw new DotenvError(`${e.message}; ${e.fix}`, this.#line(start));
      throw e;
    }
  }
}

/**
 * Variables of an env file in their order; a later one of the same name wins.
 *
 * @param lookup the environment around it, which comes before the file's own earlier values
 * @throws DotenvError
 */
export function parseDotenv(text: string, lookup: Lookup): Map<string, string> {
  const clean = text.startsWith("\ufeff") ? text.slice(1) : text;
  return new Reader(clean.replaceAll("\r\n", "\n"), lookup).read();
}
