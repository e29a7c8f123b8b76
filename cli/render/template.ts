/**
 * Templates of `--format`: Go's text/template with Docker's functions. Understood are fields, variables, pipelines, brackets, if, else, with,
 * range, end, trimming, comments, and the functions of {@linkcode FUNCTIONS}. Fields are found by their exact name, else without regard to
 * case and underscores, so that Docker's names (`.State.ExitCode`) find nyx's (`exit_code`).
 */

import { invalid } from "../../mod.ts";
import { type Node, parseTemplate, type Pipeline, type Stage, type Term } from "./template_parse.ts";

function plain(name: string): string {
  return name.replaceAll("_", "").toLowerCase();
}

/** Field of a value: exact, then tolerant. */
function lookup(value: unknown, name: string): { found: boolean; value: unknown } {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return { found: false, value: undefined };
  if (Object.hasOwn(value, name)) return { found: true, value: Reflect.get(value, name) };
  const wanted = plain(name);
  const key = Object.keys(value).find((candidate) => plain(candidate) === wanted);
  return key === undefined ? { found: false, value: undefined } : { found: true, value: Reflect.get(value, key) };
}

/** Text of a value as Go's fmt prints it: `[a b]`, `map[k:v]`, `<no value>`. */
function show(value: unknown): string {
  if (value === undefined || value === null) return "<no value>";
  if (Array.isArray(value)) return `[${value.map(show).join(" ")}]`;
  if (typeof value === "object") {
    return `map[${
      Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1).map(([k, v]) => `${k}:${show(v)}`).join(" ")
    }]`;
  }
  return String(value);
}

function truthy(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}

function compare(a: unknown, b: unknown): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  const [x, y] = [show(a), show(b)];
  return x < y ? -1 : x > y ? 1 : 0;
}

/** `printf` with the verbs that formats use: %s %d %v %q %t %x %f %% and widths. */
function printf(format: string, args: unknown[]): string {
  let at = 0;
  return format.replace(
    /%([-0]?)(\d*)(?:\.(\d+))?([sdvqtxf%])/g,
    (_, flag: string, width: string, precision: string, verb: string) => {
      if (verb === "%") return "%";
      const value = args[at++];
      let text = verb === "q" ? JSON.stringify(show(value)) : verb === "x" ? Number(value).toString(16) : show(value);
      if (verb === "f") text = Number(value).toFixed(precision === undefined ? 6 : Number(precision));
      else if (precision !== undefined && verb === "s") text = text.slice(0, Number(precision));
      const wide = Number(width || "0");
      return flag === "-" ? text.padEnd(wide) : text.padStart(wide, flag === "0" ? "0" : " ");
    },
  );
}

function indexOf(value: unknown, keys: unknown[]): unknown {
  let at = value;
  for (const key of keys) {
    if (Array.isArray(at)) at = at[Number(key)];
    else if (typeof at === "object" && at !== null) {
      at = Object.hasOwn(at, String(key)) ? Reflect.get(at, String(key)) : undefined;
    } else return undefined;
  }
  return at;
}

function items(value: unknown): [string | number, unknown][] {
  if (Array.isArray(value)) return value.map((item, index): [number, unknown] => [index, item]);
  if (typeof value === "object" && value !== null) return Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1);
  if (typeof value === "number") return Array.from({ length: value }, (_, index): [number, unknown] => [index, index]);
  return [];
}

function strings(value: unknown): string[] {
  return items(value).map(([, item]) => show(item));
}

/** Functions by name. A pipeline's value comes as the last argument. */
export const FUNCTIONS: Readonly<Record<string, (...args: unknown[]) => unknown>> = {
  json: (value) => JSON.stringify(value ?? null),
  lower: (value) => show(value).toLowerCase(),
  upper: (value) => show(value).toUpperCase(),
  title: (value) => show(value).replace(/\b\p{L}/gu, (char) => char.toUpperCase()),
  join: (list, separator) => strings(list).join(show(separator ?? "")),
  split: (text, separator) => show(text).split(show(separator)),
  slice: (value, from, to) => {
    const range: [number, number?] = to === undefined ? [Number(from)] : [Number(from), Number(to)];
    return Array.isArray(value) ? value.slice(...range) : show(value).slice(...range);
  },
  pad: (text, before, after) => `${" ".repeat(Number(before))}${show(text)}${" ".repeat(Number(after))}`,
  truncate: (text, length) => show(text).slice(0, Number(length)),
  len: (value) => typeof value === "string" ? new TextEncoder().encode(value).byteLength : items(value).length,
  index: (value, ...keys) => indexOf(value, keys),
  println: (...args) => `${args.map(show).join(" ")}\n`,
  print: (...args) => args.map(show).join(""),
  printf: (format, ...args) => printf(show(format), args),
  not: (value) => !truthy(value),
  and: (...args) => args.find((arg) => !truthy(arg)) ?? args.at(-1),
  or: (...args) => args.find(truthy) ?? args.at(-1),
  eq: (first, ...others) => others.some((other) => compare(first, other) === 0),
  ne: (a, b) => compare(a, b) !== 0,
  lt: (a, b) => compare(a, b) < 0,
  le: (a, b) => compare(a, b) <= 0,
  gt: (a, b) => compare(a, b) > 0,
  ge: (a, b) => compare(a, b) >= 0,
};

interface Scope {
  dot: unknown;
  variables: Map<string, unknown>;
}

/** A parsed template. */
export class Template {
  readonly #source: string;
  readonly #nodes: Node[];

  /** @throws NyxError invalid_argument for a template that cannot be parsed */
  constructor(source: string) {
    this.#source = source;
    this.#nodes = parseTemplate(source);
  }

  /**
   * The text for one value.
   *
   * @throws NyxError invalid_argument for a field or function that does not exist
   */
  execute(value: unknown): string {
    return this.#run(this.#nodes, { dot: value, variables: new Map([["$", value]]) });
  }

  #fail(reason: string): Error {
    return invalid("format", this.#source, reason);
  }

  #run(nodes: Node[], scope: Scope): string {
    return nodes.map((node) => this.#node(node, scope)).join("");
  }

  #node(node: Node, scope: Scope): string {
    switch (node.kind) {
      case "text":
        return node.text;
      case "output":
        return show(this.#pipeline(node.pipeline, scope));
      case "assign":
        scope.variables.set(node.name, this.#pipeline(node.pipeline, scope));
        return "";
      case "if":
      case "with": {
        const value = this.#pipeline(node.pipeline, scope);
        if (!truthy(value)) return this.#run(node.otherwise, scope);
        return this.#run(node.body, node.kind === "with" ? { ...scope, dot: value } : scope);
      }
      case "range": {
        const found = items(this.#pipeline(node.pipeline, scope));
        if (found.length === 0) return this.#run(node.otherwise, scope);
        return found.map(([key, item]) => {
          const variables = new Map(scope.variables);
          if (node.key !== undefined) variables.set(node.key, key);
          if (node.value !== undefined) variables.set(node.value, item);
          return this.#run(node.body, { dot: item, variables });
        }).join("");
      }
    }
  }

  #pipeline(pipeline: Pipeline, scope: Scope): unknown {
    let value: unknown;
    for (const [index, stage] of pipeline.entries()) value = this.#stage(stage, scope, index === 0 ? [] : [value]);
    return value;
  }

  #stage(stage: Stage, scope: Scope, piped: unknown[]): unknown {
    const [first, ...rest] = stage;
    if (first === undefined) return undefined;
    if (first.kind !== "call") {
      const value = this.#term(first, scope);
      if (typeof value === "function") return value(...rest.map((term) => this.#term(term, scope)), ...piped);
      if (rest.length > 0 || piped.length > 0) throw this.#fail("only a function takes arguments");
      return value;
    }
    const call = Object.hasOwn(FUNCTIONS, first.name) ? FUNCTIONS[first.name] : undefined;
    if (call === undefined) {
      throw this.#fail(`there is no function "${first.name}"; known are ${Object.keys(FUNCTIONS).join(", ")}`);
    }
    return call(...rest.map((term) => this.#term(term, scope)), ...piped);
  }

  #term(term: Term, scope: Scope): unknown {
    switch (term.kind) {
      case "literal":
        return term.value;
      case "field":
        return this.#path(scope.dot, term.path);
      case "variable":
        if (!scope.variables.has(term.name)) throw this.#fail(`variable ${term.name} is not set`);
        return this.#path(scope.variables.get(term.name), term.path);
      case "group":
        return this.#path(this.#pipeline(term.pipeline, scope), term.path);
      case "call":
        return this.#stage([term], scope, []);
    }
  }

  #path(value: unknown, path: string[]): unknown {
    let at = value;
    for (const [index, name] of path.entries()) {
      const found = lookup(at, name);
      // A missing key of an optional part has no value, as in Go's maps; of the top level it is a mistake worth telling.
      if (!found.found && index === 0 && typeof at === "object" && at !== null && !Array.isArray(at)) {
        throw this.#fail(
          `there is no field ".${name}"; there are ${Object.keys(at).map((key) => `.${key}`).join(" ")}`,
        );
      }
      at = found.value;
    }
    return at;
  }
}

/** Backslash escapes that a shell's quotes leave in a format: `\t` and `\n`. */
export function unescapeFormat(format: string): string {
  return format.replaceAll("\\t", "\t").replaceAll("\\n", "\n");
}
