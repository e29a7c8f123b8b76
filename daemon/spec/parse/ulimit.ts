/** `--ulimit NAME=SOFT[:HARD]` (getrlimit(2) names in lower case). */

import type { Ulimit } from "../container.ts";
import { invalid } from "../errors.ts";

/** Limits that Linux has. */
export const ULIMIT_NAMES: readonly string[] = [
  "as",
  "core",
  "cpu",
  "data",
  "fsize",
  "locks",
  "memlock",
  "msgqueue",
  "nice",
  "nofile",
  "nproc",
  "rss",
  "rtprio",
  "rttime",
  "sigpending",
  "stack",
];

function parseLimit(text: string, whole: string, field: string): number {
  if (text === "-1" || text === "unlimited") return -1;
  const value = /^\d{1,19}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(value)) throw invalid(field, whole, "limits are numbers, or -1 for unlimited");
  // RLIM_INFINITY spelt out, and what JSON could not carry exactly.
  return Number.isSafeInteger(value) ? value : -1;
}

/** One `--ulimit` value; a single number is both limits. */
export function parseUlimit(text: string, field = "ulimit"): Ulimit {
  const match = /^([a-z]+)=([^:]+)(?::([^:]+))?$/.exec(text);
  const name = match?.[1] ?? "";
  if (match === null) throw invalid(field, text, "write NAME=SOFT[:HARD], such as nofile=1024:4096");
  if (!ULIMIT_NAMES.includes(name)) throw invalid(field, text, `"${name}" is none of ${ULIMIT_NAMES.join(", ")}`);
  const soft = parseLimit(match[2] ?? "", text, field);
  const hard = match[3] === undefined ? soft : parseLimit(match[3], text, field);
  if (hard !== -1 && (soft === -1 || soft > hard)) {
    throw invalid(field, text, "the soft limit cannot exceed the hard one");
  }
  return { name, soft, hard };
}
