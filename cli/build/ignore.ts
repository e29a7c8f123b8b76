/**
 * .dockerignore, as docs.docker.com's "Dockerignore files" has it: Go's filepath.Match with `**`, comments, `!` for exceptions, and the
 * last pattern that fits decides. What lies in an excluded directory is excluded, too, unless an exception names it.
 */

interface Rule {
  pattern: RegExp;
  /** Matches directories that something below may fit. */
  prefixes: RegExp[];
  exception: boolean;
}

function escapeText(text: string): string {
  return text.replace(/[.+^$(){}|\\]/g, "\\$&");
}

/** One pattern as a regular expression; undefined for one that Go would refuse. */
function compile(pattern: string): RegExp | undefined {
  let out = "^";
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern.charAt(i);
    if (c === "*" && pattern[i + 1] === "*") {
      const slash = pattern[i + 2] === "/";
      i += slash ? 2 : 1;
      out += i + 1 >= pattern.length && !slash ? ".*" : "(?:.*/)?";
    } else if (c === "*") out += "[^/]*";
    else if (c === "?") out += "[^/]";
    else if (c === "[") {
      const end = pattern.indexOf("]", i + 2);
      if (end < 0) return undefined;
      out += `[${pattern.slice(i + 1, end).replace(/\\(?!.)/g, "\\\\")}]`;
      i = end;
    } else if (c === "\\") out += escapeText(pattern.charAt(++i));
    else out += escapeText(c);
  }
  try {
    return new RegExp(`${out}$`);
  } catch {
    return undefined;
  }
}

function clean(pattern: string): string {
  const parts: string[] = [];
  for (const part of pattern.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") parts.pop();
    else parts.push(part);
  }
  return parts.join("/");
}

/** What a .dockerignore leaves out. */
export class IgnoreRules {
  readonly #rules: Rule[] = [];
  /** Patterns that could not be read. */
  readonly refused: string[] = [];

  /** @param text of the file; empty leaves nothing out */
  constructor(text: string) {
    for (const line of text.replace(/^\ufeff/, "").split(/\r?\n/)) {
      const trimmed = line.trim();
      if (trimmed === "" || line.startsWith("#")) continue;
      const exception = trimmed.startsWith("!");
      const pattern = clean(exception ? trimmed.slice(1).trim() : trimmed);
      if (pattern === "") continue;
      const compiled = compile(pattern);
      if (compiled === undefined) {
        this.refused.push(trimmed);
        continue;
      }
      const parts = pattern.split("/");
      const wild = parts.findIndex((part) => part.includes("**"));
      const prefixes = parts.slice(0, -1).flatMap((_, i) =>
        wild >= 0 && i >= wild ? [] : compile(parts.slice(0, i + 1).join("/")) ?? []
      );
      if (wild >= 0) prefixes.push(compile([...parts.slice(0, wild), "**"].join("/")) ?? /^/);
      this.#rules.push({ pattern: compiled, prefixes, exception });
    }
  }

  /** Whether a path of the context, without leading slash, is left out. */
  excludes(path: string): boolean {
    const parents: string[] = [];
    for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) parents.push(path.slice(0, at));
    let excluded = false;
    for (const { pattern, exception } of this.#rules) {
      if (exception !== excluded) continue;
      if (pattern.test(path) || parents.some((parent) => pattern.test(parent))) excluded = !exception;
    }
    return excluded;
  }

  /** Whether an excluded directory may hold what an exception takes back. */
  mayHoldExceptions(path: string): boolean {
    return this.#rules.some((rule) => rule.exception && rule.prefixes.some((p) => p.test(path)));
  }
}
