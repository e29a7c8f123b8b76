/** Files that flags name. */

import { NyxError } from "../mod.ts";

/**
 * Content of a file that a flag names.
 *
 * @param what in front of the path in the error, such as `secret token`
 * @throws NyxError invalid_argument with the reason
 */
export function readNamedFile(path: string, what?: string): Uint8Array<ArrayBuffer> {
  try {
    return Deno.readFileSync(path);
  } catch (cause) {
    const reason = cause instanceof Deno.errors.NotFound
      ? "there is no such file"
      : cause instanceof Error
      ? cause.message
      : String(cause);
    const named = what === undefined ? `"${path}"` : `${what} "${path}"`;
    throw new NyxError("invalid_argument", `Reading ${named} failed: ${reason}`, { cause });
  }
}
