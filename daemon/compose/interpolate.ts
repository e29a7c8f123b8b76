/**
 * Variables in values, as the Compose Specification's interpolation section has them:
 * `$V ${V} ${V-d} ${V:-d} ${V?e} ${V:?e} ${V+r} ${V:+r}`, nested in d, e and r; `$$` is a dollar sign.
 */

/** Looks a variable up; undefined means unset. */
export type Lookup = (name: string) => string | undefined;

/** Why a text could not be interpolated. */
export class InterpolationError extends Error {
  override readonly name = "InterpolationError";
  /** Offset in the text. */
  readonly at: number;
  /** What to write instead. */
  readonly fix: string;

  /** Keeps where and why. */
  constructor(message: string, at: number, fix: string) {
    super(message);
    this.at = at;
    this.fix = fix;
  }
}

/** A variable as a text uses it. */
export interface VariableUse {
  name: string;
  /** Default of `-` and `:-`, as written. */
  defaultValue?: string;
  /** Value of `+` and `:+`, as written. */
  alternate?: string;
  /** From `?` and `:?`. */
  required: boolean;
}

/** What interpolation reports beside the result. */
export interface InterpolationHooks {
  /** A variable without value and default became empty. */
  missing?: (name: string) => void;
  /** Every use, nested ones too. */
  use?: (use: VariableUse) => void;
}

const NAME = /[A-Za-z_][A-Za-z0-9_]*/y;
/** Deepest nesting of defaults. */
const MAX_NESTING = 50;
/** Longest result: a value that doubles in each variable must not fill memory. */
const MAX_RESULT = 4 * 1024 * 1024;

function nameAt(text: string, at: number): string | undefined {
  NAME.lastIndex = at;
  return NAME.exec(text)?.[0];
}

/** Offset of the brace that closes the one before `at`. */
function closingBrace(text: string, at: number): number {
  let open = 1;
  for (let i = at; i < text.length; i++) {
    if (text[i] === "$" && text[i + 1] === "{") {
      open++;
      i++;
    } else if (text[i] === "$" && text[i + 1] === "$") i++;
    else if (text[i] === "}" && --open === 0) return i;
  }
  return -1;
}

class Interpolation {
  readonly #lookup: Lookup;
  readonly #hooks: InterpolationHooks;

  constructor(lookup: Lookup, hooks: InterpolationHooks) {
    this.#lookup = lookup;
    this.#hooks = hooks;
  }

  expand(text: string, depth = 0): string {
    if (depth > MAX_NESTING) {
      throw new InterpolationError("variables are nested too deeply", 0, "use fewer levels of defaults");
    }
    let out = "";
    let at = 0;
    while (true) {
      const dollar = text.indexOf("$", at);
      if (dollar < 0) return this.#bounded(out + text.slice(at));
      out += text.slice(at, dollar);
      if (text[dollar + 1] === "$") {
        out += "$";
        at = dollar + 2;
        continue;
      }
      const [value, end] = text[dollar + 1] === "{" ? this.#braced(text, dollar, depth) : this.#named(text, dollar);
      out = this.#bounded(out + value);
      at = end;
    }
  }

  #bounded(text: string): string {
    if (text.length > MAX_RESULT) {
      throw new InterpolationError("the value becomes too long", 0, "use shorter variables");
    }
    return text;
  }

  #named(text: string, dollar: number): [string, number] {
    const name = nameAt(text, dollar + 1);
    if (name === undefined) {
      throw new InterpolationError(
        `the "$" at character ${dollar + 1} starts no variable`,
        dollar,
        "write $$ for a dollar sign, or ${NAME} for a variable",
      );
    }
    this.#hooks.use?.({ name, required: false });
    return [this.#value(name), dollar + 1 + name.length];
  }

  #value(name: string): string {
    const value = this.#lookup(name);
    if (value === undefined) this.#hooks.missing?.(name);
    return value ?? "";
  }

  #braced(text: string, dollar: number, depth: number): [string, number] {
    const close = closingBrace(text, dollar + 2);
    if (close < 0) {
      throw new InterpolationError(
        'a "${" is never closed',
        dollar,
        'add the missing "}", or write $${ for the characters',
      );
    }
    const body = text.slice(dollar + 2, close);
    const name = nameAt(body, 0);
    const rest = name === undefined ? "" : body.slice(name.length);
    const match = /^(:?[-?+])([^]*)$/.exec(rest);
    if (name === undefined || (rest !== "" && match === null)) {
      throw new InterpolationError(
        `"\${${body}}" is no variable`,
        dollar,
        "write ${NAME}, ${NAME:-default}, ${NAME:?error} or ${NAME:+replacement}; $$ for a dollar sign",
      );
    }
    return [this.#substitute(name, match?.[1] ?? "", match?.[2] ?? "", dollar, depth), close + 1];
  }

  #substitute(name: string, operator: string, argument: string, at: number, depth: number): string {
    const kind = operator.at(-1);
    this.#hooks.use?.({
      name,
      required: kind === "?",
      ...(kind === "-" ? { defaultValue: argument } : {}),
      ...(kind === "+" ? { alternate: argument } : {}),
    });
    if (kind === undefined) return this.#value(name);
    const value = this.#lookup(name);
    const present = value !== undefined && (operator.length === 1 || value !== "");
    if (kind === "+") return present ? this.expand(argument, depth + 1) : "";
    if (present) return value;
    if (kind === "-") return this.expand(argument, depth + 1);
    const reason = this.expand(argument, depth + 1);
    throw new InterpolationError(
      `required variable ${name} is missing a value${reason === "" ? "" : `: ${reason}`}`,
      at,
      `set ${name} in the environment or in the .env file`,
    );
  }
}

/**
 * Replaces all variables of a text.
 *
 * @throws InterpolationError for a lone `$`, bad braces, and required variables without value
 */
export function interpolate(text: string, lookup: Lookup, hooks: InterpolationHooks = {}): string {
  return text.includes("$") ? new Interpolation(lookup, hooks).expand(text) : text;
}

/** All variables that a text uses, those nested in defaults too. A text that cannot be read gives those before the fault. */
export function variablesOf(text: string): VariableUse[] {
  const uses: VariableUse[] = [];
  const visit = (part: string): void => {
    try {
      interpolate(part, () => "set", {
        use: (use) => {
          uses.push(use);
          if (use.defaultValue !== undefined) visit(use.defaultValue);
        },
      });
    } catch (e) {
      if (!(e instanceof InterpolationError)) throw e;
    }
  };
  visit(text);
  return uses;
}
