/** `nyx load`. */

import { NyxError } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";

async function openInput(path: string | undefined): Promise<Deno.FsFile | typeof Deno.stdin> {
  if (path === undefined || path === "-") {
    if (!Deno.stdin.isTerminal()) return Deno.stdin;
    throw new NyxError("invalid_argument", "Standard input is a terminal: give a file with -i, or pipe an archive in");
  }
  try {
    return await Deno.open(path, { read: true });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new NyxError("invalid_argument", `Opening "${path}" failed: ${reason}`, { cause });
  }
}

async function* pieces(file: Deno.FsFile | typeof Deno.stdin): AsyncGenerator<Uint8Array, void, void> {
  while (true) {
    const buffer = new Uint8Array(256 * 1024);
    const count = await file.read(buffer);
    if (count === null) return;
    yield buffer.subarray(0, count);
  }
}

/** `nyx load`. */
export const command = defineCommand({
  summary: "Load images from an archive",
  flags: {
    input: {
      type: "value",
      short: "i",
      value: "FILE",
      help: "Archive to read (default standard input)",
      complete: "files",
    },
    platform: { type: "value", help: "", refuse: "the daemon takes the platform it runs (nyxd --pull-platform)" },
    quiet: { type: "bool", short: "q", help: "Print nothing but references or ids" },
  },
  operands: [],
  notes: "Docker archives, OCI archives, plain or compressed with gzip or zstd.",
  async run(context, flags) {
    const input = await openInput(flags.input);
    try {
      const { refs, ids } = await (await context.client()).images.load(pieces(input));
      const prefix = flags.quiet === true ? "" : refs.length > 0 ? "Loaded image: " : "Loaded image ID: ";
      for (const name of refs.length > 0 ? refs : ids) context.out.text(`${prefix}${name}\n`);
      return EXIT.ok;
    } finally {
      input.close();
    }
  },
});
