/** Reads an argument list by a definition (POSIX utility conventions with GNU long options, as Docker's CLI takes them). */

import type { FlagSpec, FlagSpecs, OperandSpec } from "./definition.ts";
import { UsageError } from "./definition.ts";
import { didYouMean } from "./suggest.ts";

/** What was read. Lists are always there; other options only when given. */
export interface ParsedArgs {
  flags: Record<string, string | boolean | string[] | undefined>;
  operands: string[];
}

/** How to read. */
export interface ParseOptions {
  /** Stop at the first operand; it and all that follows are operands. */
  optionsFirst?: boolean;
}

interface Names {
  long: Map<string, string>;
  short: Map<string, string>;
}

function indexNames(specs: FlagSpecs): Names {
  const names: Names = { long: new Map(), short: new Map() };
  for (const [name, spec] of Object.entries(specs)) {
    names.long.set(name, name);
    for (const alias of spec.aliases ?? []) names.long.set(alias, name);
    if (spec.short !== undefined) names.short.set(spec.short, name);
  }
  return names;
}

function parseTruth(text: string, shown: string): boolean {
  if (/^(1|t|true)$/i.test(text)) return true;
  if (/^(0|f|false)$/i.test(text)) return false;
  throw new UsageError(`Option ${shown} is true or false, not "${text}"`);
}

/** State of one parse. */
class Reader {
  readonly flags: ParsedArgs["flags"] = {};
  readonly operands: string[] = [];
  readonly #specs: FlagSpecs;
  readonly #names: Names;
  readonly #argv: readonly string[];
  #at = 0;

  constructor(specs: FlagSpecs, argv: readonly string[]) {
    this.#specs = specs;
    this.#names = indexNames(specs);
    this.#argv = argv;
    for (const [name, spec] of Object.entries(specs)) if (spec.type === "list") this.flags[name] = [];
  }

  read(optionsFirst: boolean): void {
    while (this.#at < this.#argv.length) {
      const arg = this.#argv[this.#at++] ?? "";
      if (arg === "--") break;
      if (arg.startsWith("--")) this.#long(arg);
      else if (arg.startsWith("-") && arg !== "-") this.#shorts(arg);
      else {
        this.operands.push(arg);
        if (optionsFirst) break;
      }
    }
    this.operands.push(...this.#argv.slice(this.#at));
  }

  #long(arg: string): void {
    const equals = arg.indexOf("=");
    const typed = equals < 0 ? arg.slice(2) : arg.slice(2, equals);
    const inline = equals < 0 ? undefined : arg.slice(equals + 1);
    const name = this.#names.long.get(typed);
    if (name !== undefined) return this.#take(name, `--${typed}`, inline);
    const positive = typed.startsWith("no-") ? this.#names.long.get(typed.slice(3)) : undefined;
    if (positive !== undefined && this.#specs[positive]?.type === "bool" && inline === undefined) {
      this.flags[positive] = false;
      return;
    }
    throw new UsageError(`Unknown option --${typed}${didYouMean(typed, this.#visible(), "--")}`);
  }

  #visible(): string[] {
    return [...this.#names.long].filter(([, name]) => this.#specs[name]?.hidden !== true).map(([typed]) => typed);
  }

  #shorts(arg: string): void {
    for (let i = 1; i < arg.length; i++) {
      const letter = arg[i] ?? "";
      const name = this.#names.short.get(letter);
      if (name === undefined) {
        const rest = arg.length > 2 ? ` in "${arg}"` : "";
        throw new UsageError(`Unknown option -${letter}${rest}${didYouMean(arg.slice(1), this.#visible(), "--")}`);
      }
      const tail = arg.slice(i + 1);
      if (this.#specs[name]?.type === "bool") {
        if (tail.startsWith("=")) return this.#take(name, `-${letter}`, tail.slice(1));
        this.#take(name, `-${letter}`, undefined);
      } else {
        return this.#take(name, `-${letter}`, tail === "" ? undefined : tail.replace(/^=/, ""));
      }
    }
  }

  #take(name: string, shown: string, inline: string | undefined): void {
    const spec = this.#specs[name];
    if (spec === undefined) return;
    if (spec.refuse !== undefined) throw new UsageError(`Option ${shown} cannot be honoured: ${spec.refuse}`);
    if (spec.type === "bool") {
      this.flags[name] = inline === undefined ? true : parseTruth(inline, shown);
      return;
    }
    const value = inline ?? this.#argv[this.#at++];
    if (value === undefined) throw new UsageError(`Option ${shown} needs a value: ${shown} ${valueName(spec)}`);
    const collected = this.flags[name];
    if (Array.isArray(collected)) collected.push(value);
    else this.flags[name] = value;
  }
}

/** Placeholder of an option's value. */
export function valueName(spec: FlagSpec): string {
  return spec.value ?? "VALUE";
}

/**
 * Reads options and operands.
 *
 * @throws UsageError for unknown or refused options, missing values, and values of switches that are no truth values
 */
export function parseArgs(specs: FlagSpecs, argv: readonly string[], options: ParseOptions = {}): ParsedArgs {
  const reader = new Reader(specs, argv);
  reader.read(options.optionsFirst ?? false);
  return { flags: reader.flags, operands: reader.operands };
}

/**
 * Checks the number of operands.
 *
 * @throws UsageError naming the first missing, or the first that is too many
 */
export function checkOperands(specs: readonly OperandSpec[], operands: readonly string[]): void {
  const missing = specs.find((spec, index) => spec.optional !== true && operands[index] === undefined);
  if (missing !== undefined) throw new UsageError(`${missing.name} is missing`);
  if (specs.at(-1)?.variadic === true) return;
  const extra = operands[specs.length];
  if (extra === undefined) return;
  const takes = specs.length === 0
    ? "no argument"
    : specs.length === 1
    ? "one argument"
    : `at most ${specs.length} arguments`;
  throw new UsageError(`Unexpected argument "${extra}": the command takes ${takes}`);
}
