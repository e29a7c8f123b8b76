/** `nyx volume import`. */

import { NyxError } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";

async function open(path: string | undefined): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  if (path === undefined || path === "-") {
    if (!Deno.stdin.isTerminal()) return Deno.stdin.readable;
    throw new NyxError("invalid_argument", "Standard input is a terminal: give a file, or pipe an archive in");
  }
  try {
    return (await Deno.open(path, { read: true })).readable;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new NyxError("invalid_argument", `Opening "${path}" failed: ${reason}`, { cause });
  }
}

/** The tar itself, out of gzip where it is in one. */
async function* plainTar(source: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<Uint8Array, void, void> {
  const reader = source.getReader();
  const first = await reader.read();
  const head = first.value ?? new Uint8Array(0);
  const rest = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start: (controller) => controller.enqueue(head),
    pull: async (controller) => {
      const { value, done } = await reader.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: () => reader.cancel(),
  });
  if (head[0] === 0x1f && head[1] === 0x8b) yield* rest.pipeThrough(new DecompressionStream("gzip"));
  else if (head[0] === 0x28 && head[1] === 0xb5) {
    throw new NyxError(
      "unimplemented",
      "The archive is compressed with zstd: pipe it in, zstd -dc FILE | nyx volume import",
    );
  } else yield* rest;
}

/** `nyx volume import`. */
export const command = defineCommand({
  summary: "Unpack a tar archive into a volume",
  flags: {
    quiet: { type: "bool", short: "q", help: "Print nothing" },
  },
  operands: [{ name: "VOLUME", complete: "volumes" }, { name: "FILE|-", optional: true, complete: "files" }],
  notes: "The archive is plain or gzip; default is standard input. The volume is made where there is none; files of\n" +
    "the same name give way, others stay. What was unpacked before a failure stays, too.",
  async run(context, flags, [name = "", path]) {
    const source = await open(path);
    const entries = await (await context.client()).volumes.importTar(name, plainTar(source));
    if (flags.quiet !== true) context.err.text(`Unpacked ${entries} ${entries === 1 ? "member" : "members"}\n`);
    return EXIT.ok;
  },
});
