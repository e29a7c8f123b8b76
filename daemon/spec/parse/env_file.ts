/** Environment of a container from `--env-file` and `-e`, with Docker's rules. */

import { invalid } from "../errors.ts";
import { parseKeyValueFile } from "./key_values.ts";

/** Looks a variable up in the caller's environment. */
export type EnvLookup = (name: string) => string | undefined;

/**
 * KEY=VALUE strings of an env file. A name alone takes its value from the caller's environment, and is left out when that has none.
 *
 * @throws NyxError invalid_argument with path and line
 */
export function parseEnvFile(bytes: Uint8Array, path: string, lookup: EnvLookup): string[] {
  const out: string[] = [];
  for (const { key, value } of parseKeyValueFile(bytes, "env file", path)) {
    const resolved = value ?? lookup(key);
    if (resolved !== undefined) out.push(`${key}=${resolved}`);
  }
  return out;
}

/**
 * One `-e` value: KEY=VALUE as it is; KEY alone with the caller's value, or, when the caller has none, KEY alone, which removes the image's
 * variable.
 */
export function parseEnv(text: string, lookup: EnvLookup, field = "env"): string {
  if (text.startsWith("=") || text === "") throw invalid(field, text, "write NAME=VALUE or NAME");
  if (text.includes("\0")) throw invalid(field, text, "a variable cannot hold a NUL byte");
  if (text.includes("=")) return text;
  const value = lookup(text);
  return value === undefined ? text : `${text}=${value}`;
}
