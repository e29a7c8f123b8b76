/** The daemon's own log: one JSON object a line on standard error. */

import { toErrorData } from "../spec/errors.ts";

/** Levels, rising; `silent` writes nothing. */
export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
/** One of {@linkcode LOG_LEVELS}. */
export type Level = (typeof LOG_LEVELS)[number];

/** Facts of a line. An `error` field may hold anything thrown. */
export type Fields = Record<string, unknown>;

const encoder = new TextEncoder();

/** Names whose values are never written, at any depth. */
const SECRET = /^(password|secret|token|identity_?token|authorization|registry_password|registry_identity_token)$/i;

function clean(value: unknown, depth = 0): unknown {
  if (value instanceof Error) return toErrorData(value);
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object" || value === null || depth > 6) return value;
  if (Array.isArray(value)) return value.slice(0, 100).map((v) => clean(v, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([k, v]) => [k, SECRET.test(k) ? "[redacted]" : clean(v, depth + 1)]),
  );
}

/** Structured logger. */
export class Logger {
  readonly #minimum: number;
  readonly #write: (line: Uint8Array) => void;
  readonly #base: Fields;

  /**
   * @param level lowest level written
   * @param options `write` takes whole lines (default standard error); `base` fields are in each line
   */
  constructor(level: Level = "info", options: { write?: (line: Uint8Array) => void; base?: Fields } = {}) {
    this.#minimum = LOG_LEVELS.indexOf(level);
    this.#write = options.write ?? ((line) => {
      try {
        Deno.stderr.writeSync(line);
      } catch {
        // Nobody reads the log any more; the daemon goes on.
      }
    });
    this.#base = options.base ?? {};
  }

  /** A logger whose lines all carry `fields`. */
  with(fields: Fields): Logger {
    const level = LOG_LEVELS[this.#minimum] ?? "info";
    return new Logger(level, { write: this.#write, base: { ...this.#base, ...fields } });
  }

  /** Writes a line when `level` is high enough. */
  log(level: Exclude<Level, "silent">, msg: string, fields: Fields = {}): void {
    if (LOG_LEVELS.indexOf(level) < this.#minimum) return;
    const record = { time: new Date().toISOString(), level, msg, ...this.#base, ...clean(fields) as Fields };
    this.#write(encoder.encode(JSON.stringify(record) + "\n"));
  }

  /** For whoever follows one operation through the code. */
  debug(msg: string, fields?: Fields): void {
    this.log("debug", msg, fields);
  }
  /** What an operator wants to have seen. */
  info(msg: string, fields?: Fields): void {
    this.log("info", msg, fields);
  }
  /** Something is off, and was handled. */
  warn(msg: string, fields?: Fields): void {
    this.log("warn", msg, fields);
  }
  /** Something failed that should not have. */
  error(msg: string, fields?: Fields): void {
    this.log("error", msg, fields);
  }
}
