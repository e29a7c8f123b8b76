/** Archives that go to a file or to standard output. */

import { NyxError } from "../mod.ts";
import type { Context } from "./context.ts";

/** The flag that says where an archive goes. */
export const OUTPUT_FLAG = {
  type: "value",
  short: "o",
  value: "FILE",
  help: "File to write (default standard output)",
  complete: "files",
} as const;

/** Writes an archive where {@linkcode OUTPUT_FLAG} says. */
export async function writeArchive(
  context: Context,
  output: string | undefined,
  source: AsyncIterable<Uint8Array>,
): Promise<void> {
  if (output === undefined || output === "-") await archiveToStdout(context, source);
  else await archiveToFile(output, source);
}

/** Writes beside the target and renames, so that a broken archive never stands under its name. */
export async function archiveToFile(path: string, source: AsyncIterable<Uint8Array>): Promise<void> {
  const partial = `${path}.${crypto.randomUUID().slice(0, 8)}.part`;
  let file: Deno.FsFile | undefined;
  try {
    for await (const piece of source) {
      // Opened at the first byte: a refused request leaves nothing behind, not even for a moment.
      file ??= await Deno.open(partial, { write: true, createNew: true });
      for (let at = 0; at < piece.byteLength;) at += await file.write(piece.subarray(at));
    }
    if (file === undefined) throw new NyxError("internal", "nyxd sent an empty archive");
    await file.sync();
    await Deno.rename(partial, path);
  } catch (e) {
    if (file !== undefined) await Deno.remove(partial).catch(() => {});
    if (e instanceof NyxError) throw e;
    throw new NyxError("internal", `Writing "${path}" failed: ${e instanceof Error ? e.message : String(e)}`, {
      cause: e,
    });
  } finally {
    file?.close();
  }
}

/** Writes to standard output, which must not be a terminal. */
export async function archiveToStdout(context: Context, source: AsyncIterable<Uint8Array>): Promise<void> {
  if (context.out.isTerminal) {
    throw new NyxError(
      "invalid_argument",
      "Refusing to write an archive to the terminal: give a file with -o, or redirect",
    );
  }
  for await (const piece of source) await context.out.bytes(piece);
}
