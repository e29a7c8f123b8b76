/** Errors of the archive reader, in words that name the entry. */

import { type ErrorCode, NyxError } from "../../../daemon/spec/errors.ts";
import { toText } from "../byte_string.ts";

/** The archive is not a tar, is damaged, or ends too early. */
export function corrupt(what: string, at: number): NyxError {
  return new NyxError("data_loss", `Could not read the layer's tar at byte ${at}: ${what}`, {
    context: { offset: at },
  });
}

/** An entry that is refused; `name` is a byte string. */
export function refused(name: string, why: string, code: ErrorCode = "invalid_argument", cause?: unknown): NyxError {
  const entry = toText(name);
  return new NyxError(code, `Could not extract entry ${JSON.stringify(entry)}: ${why}`, {
    context: { entry },
    ...(cause === undefined ? {} : { cause }),
  });
}
