/** WWW-Authenticate: what a registry wants to see (RFC 9110, 11.6.1; several challenges may share one header). */

/** One challenge. */
export interface Challenge {
  /** Lower case: `bearer`, `basic`. */
  scheme: string;
  /** Parameters by lower-case name; the first of a repeated one counts. */
  params: Record<string, string>;
}

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+/;
const TOKEN68 = /^[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|$))/;
/** A header longer than this is not looked at. */
const MAX_HEADER = 8192;

/** A cursor over the header's text. */
class Scanner {
  #rest: string;

  constructor(text: string) {
    this.#rest = text;
  }

  get done(): boolean {
    return this.#rest === "";
  }

  /** Skips spaces and, when asked, empty list elements. */
  skip(commas: boolean): void {
    this.#rest = this.#rest.replace(commas ? /^[\s,]+/ : /^\s+/, "");
  }

  take(pattern: RegExp): string | undefined {
    const match = pattern.exec(this.#rest);
    if (match === null) return undefined;
    this.#rest = this.#rest.slice(match[0].length);
    return match[0];
  }

  /** Takes `name = value`, where the value is a token or a quoted string; puts nothing back when there is none. */
  takeParam(): [string, string] | undefined {
    const before = this.#rest;
    const name = this.take(TOKEN);
    if (name !== undefined && this.take(/^\s*=\s*/) !== undefined) {
      const quoted = this.take(/^"(?:[^"\\]|\\.)*"/);
      const value = quoted === undefined ? this.take(TOKEN) : quoted.slice(1, -1).replace(/\\(.)/g, "$1");
      if (value !== undefined) return [name.toLowerCase(), value];
    }
    this.#rest = before;
    return undefined;
  }
}

/**
 * Takes a WWW-Authenticate header apart.
 *
 * @param header its value, several headers joined by commas as fetch gives them
 * @returns challenges in order; what is malformed ends the list
 */
export function parseChallenges(header: string | null): Challenge[] {
  const challenges: Challenge[] = [];
  if (header === null || header.length > MAX_HEADER) return challenges;
  const scanner = new Scanner(header);
  scanner.skip(true);
  while (!scanner.done) {
    const scheme = scanner.take(TOKEN);
    if (scheme === undefined) break;
    const challenge: Challenge = { scheme: scheme.toLowerCase(), params: Object.create(null) };
    challenges.push(challenge);
    if (scanner.take(/^\s+/) !== undefined && scanner.take(TOKEN68) === undefined) {
      for (let param = scanner.takeParam(); param !== undefined; param = scanner.takeParam()) {
        challenge.params[param[0]] ??= param[1];
        scanner.skip(false);
        if (scanner.take(/^,/) === undefined) break;
        scanner.skip(true);
      }
    }
    scanner.skip(true);
  }
  return challenges;
}
