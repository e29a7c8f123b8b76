/** `nyx save`. */

import { invalid, NyxError } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../failure.ts";

const FORMATS = ["docker-archive", "oci-archive"] as const;

/** Writes beside the target and renames, so that a broken save leaves no half archive under its name. */
async function saveToFile(path: string, source: AsyncIterable<Uint8Array>): Promise<void> {
  const partial = `${path}.${crypto.randomUUID().slice(0, 8)}.part`;
  let file: Deno.FsFile | undefined;
  try {
    for await (const piece of source) {
      // Opened at the first byte: a refused save leaves nothing behind, not even for a moment.
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

async function saveToStdout(context: Context, source: AsyncIterable<Uint8Array>): Promise<void> {
  if (context.out.isTerminal) {
    throw new NyxError(
      "invalid_argument",
      "Refusing to write an archive to the terminal: give a file with -o, or redirect",
    );
  }
  for await (const piece of source) await context.out.bytes(piece);
}

/** `nyx save`. */
export const command = defineCommand({
  summary: "Save images to an archive",
  flags: {
    format: {
      type: "value",
      value: "FORMAT",
      help: "docker-archive or oci-archive (default docker-archive)",
      complete: FORMATS,
    },
    output: {
      type: "value",
      short: "o",
      value: "FILE",
      help: "File to write (default standard output)",
      complete: "files",
    },
    platform: { type: "value", help: "", refuse: "an image is kept for one platform, which is saved" },
  },
  operands: [{ name: "IMAGE", variadic: true, complete: "images" }],
  async run(context, flags, operands) {
    const format = FORMATS.find((word) => word === (flags.format ?? "docker-archive"));
    if (format === undefined) throw invalid("format", flags.format, `use ${FORMATS.join(" or ")}`);
    const source = (await context.client()).images.save(operands, { format });
    if (flags.output === undefined || flags.output === "-") await saveToStdout(context, source);
    else await saveToFile(flags.output, source);
    return EXIT.ok;
  },
});
