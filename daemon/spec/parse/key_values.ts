/**
 * Files of KEY=VALUE lines with Docker's rules: no quoting, no escapes, no inline comments, no expansion. A line that starts with `#` after
 * blanks is a comment; blanks before a key are dropped; the value is everything after the first `=`, blanks and all.
 */

import { NyxError } from "../errors.ts";

/** One line's content; `value` is missing when the line had no `=`. */
export interface KeyValue {
  key: string;
  value?: string;
  line: number;
}

/**
 * All pairs of a file, in order.
 *
 * @param what name of the file's kind for the error, such as `env file`
 * @param path shown in the error
 * @throws NyxError invalid_argument: not UTF-8, a key with blanks, a line without a key
 */
export function parseKeyValueFile(bytes: Uint8Array, what: string, path: string): KeyValue[] {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new NyxError("invalid_argument", `Reading ${what} "${path}" failed: it is not valid UTF-8; save it as UTF-8`);
  }
  const pairs: KeyValue[] = [];
  for (const [index, raw] of text.split("\n").entries()) {
    const line = (raw.endsWith("\r") ? raw.slice(0, -1) : raw).replace(/^[ \t]+/, "");
    if (line === "" || line.startsWith("#")) continue;
    const equals = line.indexOf("=");
    const key = equals < 0 ? line : line.slice(0, equals);
    const fail = (reason: string) =>
      new NyxError("invalid_argument", `Reading ${what} "${path}" failed at line ${index + 1}: ${reason}`);
    if (key === "") throw fail("there is no name before the =");
    if (/[ \t]/.test(key)) throw fail(`name "${key}" contains blanks; write NAME=VALUE`);
    if (line.includes("\0")) throw fail("it contains a NUL byte");
    pairs.push(equals < 0 ? { key, line: index + 1 } : { key, value: line.slice(equals + 1), line: index + 1 });
  }
  return pairs;
}
