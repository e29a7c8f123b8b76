/** {@linkcode Nft} over libnftables(3), and over a spawned `nft` where the library is missing. */

import { cstr, openLibrary, stringAt } from "../linux/libc.ts";
import type { SocketKernel } from "../socket.ts";
import { MOST_ELEMENTS, NftElements } from "./elements.ts";
import { addCommands, deleteCommands, type MapElements, type Nft, NftError, parseListing } from "./nft.ts";

/** Absolute paths of the library; a worker with scoped ffi permission must be granted these. */
export const LIBNFTABLES_PATHS: readonly string[] = Deno.build.arch === "aarch64"
  ? ["/usr/lib/aarch64-linux-gnu/libnftables.so.1", "/usr/lib64/libnftables.so.1"]
  : ["/usr/lib/x86_64-linux-gnu/libnftables.so.1", "/usr/lib64/libnftables.so.1"];

/** Absolute paths of the program; a worker with scoped run permission must be granted these. */
export const NFT_PATHS: readonly string[] = ["/usr/sbin/nft", "/sbin/nft"];

const NFT_CTX_DEFAULT = 0;
const NFT_CTX_OUTPUT_JSON = 1 << 4;

function open() {
  return openLibrary(LIBNFTABLES_PATHS, {
    nft_ctx_new: { parameters: ["u32"], result: "pointer" },
    nft_ctx_free: { parameters: ["pointer"], result: "void" },
    nft_ctx_buffer_output: { parameters: ["pointer"], result: "i32" },
    nft_ctx_buffer_error: { parameters: ["pointer"], result: "i32" },
    nft_ctx_get_output_buffer: { parameters: ["pointer"], result: "pointer" },
    nft_ctx_get_error_buffer: { parameters: ["pointer"], result: "pointer" },
    nft_ctx_output_set_flags: { parameters: ["pointer", "u32"], result: "void" },
    nft_run_cmd_from_buffer: { parameters: ["pointer", "buffer"], result: "i32" },
  });
}

/** What runs commands, however it does. */
type Runner = Omit<Nft, "change">;

class LibNft implements Runner {
  readonly via = "libnftables";
  readonly #library = open();
  #context: Deno.PointerValue;

  constructor() {
    const lib = this.#library.symbols;
    this.#context = lib.nft_ctx_new(NFT_CTX_DEFAULT);
    if (
      this.#context === null || lib.nft_ctx_buffer_output(this.#context) !== 0 ||
      lib.nft_ctx_buffer_error(this.#context) !== 0
    ) throw new Error("Could not make a libnftables context: out of memory or no netlink socket");
  }

  run(commands: string): void {
    this.#run(commands, 0);
  }

  list(command: string): Record<string, unknown>[] {
    return parseListing(this.#run(command, NFT_CTX_OUTPUT_JSON));
  }

  [Symbol.dispose](): void {
    if (this.#context === null) return;
    this.#library.symbols.nft_ctx_free(this.#context);
    this.#context = null;
    this.#library.close();
  }

  #run(commands: string, flags: number): string {
    const lib = this.#library.symbols;
    lib.nft_ctx_output_set_flags(this.#context, flags);
    const failed = lib.nft_run_cmd_from_buffer(this.#context, cstr(commands)) !== 0;
    const output = stringAt(lib.nft_ctx_get_output_buffer(this.#context));
    const errors = stringAt(lib.nft_ctx_get_error_buffer(this.#context));
    if (failed) throw new NftError(errors, commands);
    return output;
  }
}

class SpawnedNft implements Runner {
  readonly via: string;
  readonly #tempDir: string;

  constructor(tempDir: string) {
    this.#tempDir = tempDir;
    const failures: string[] = [];
    for (const path of NFT_PATHS) {
      try {
        Deno.statSync(path);
        this.via = path;
        return;
      } catch (e) {
        failures.push(`${path}: ${e instanceof Error ? e.message : String(e)}`);
      }
    }
    throw new Error(`Could not find the nft program (package nftables); tried ${failures.join("; ")}`);
  }

  run(commands: string): void {
    this.#spawn([], commands);
  }

  list(command: string): Record<string, unknown>[] {
    return parseListing(this.#spawn(["-j"], command));
  }

  [Symbol.dispose](): void {}

  #spawn(flags: string[], input: string): string {
    const file = Deno.makeTempFileSync({ dir: this.#tempDir, prefix: "nft-" });
    try {
      Deno.writeTextFileSync(file, `${input}\n`);
      const { success, stdout, stderr } = new Deno.Command(this.via, {
        args: [...flags, "-f", file],
        stdin: "null",
        clearEnv: true,
      }).outputSync();
      const decoder = new TextDecoder();
      if (!success) throw new NftError(decoder.decode(stderr), input);
      return decoder.decode(stdout);
    } finally {
      Deno.removeSync(file);
    }
  }
}

/** Commands by a runner; changes of elements straight to the kernel, or by the runner where they are too many. */
class ElementsBeside implements Nft {
  readonly #runner: Runner;
  readonly #elements: NftElements;

  constructor(runner: Runner, elements: NftElements) {
    this.#runner = runner;
    this.#elements = elements;
  }

  get via(): string {
    return this.#runner.via;
  }

  run(commands: string): void {
    this.#runner.run(commands);
  }

  list(command: string): Record<string, unknown>[] {
    return this.#runner.list(command);
  }

  change(table: string, remove: MapElements, add: MapElements): void {
    const most = Math.max(0, ...[...remove.values(), ...add.values()].map((rows) => rows.length));
    if (most <= MOST_ELEMENTS) this.#elements.change(table, remove, add);
    else this.run([deleteCommands(table, remove), addCommands(table, add)].filter((c) => c !== "").join("\n"));
  }

  [Symbol.dispose](): void {
    this.#elements[Symbol.dispose]();
    this.#runner[Symbol.dispose]();
  }
}

/** How to open nftables. */
export interface OpenNftOptions {
  /** Directory for the program's input files. */
  tempDir: string;
  /** For changes of elements. */
  socket: SocketKernel;
  /** Receive buffer for these, which other sockets of the thread may share. */
  buffer?: Uint8Array<ArrayBuffer>;
  /** `program` skips the library. Default `library`. */
  prefer?: "library" | "program";
}

/**
 * Opens nftables for the calling thread's network namespace: the library, else the program.
 *
 * @throws Error that names what was tried when neither is there
 */
export function openNft({ tempDir, socket, buffer, prefer = "library" }: OpenNftOptions): Nft {
  const runner = openRunner(tempDir, prefer);
  try {
    return new ElementsBeside(runner, new NftElements(socket, buffer));
  } catch (e) {
    runner[Symbol.dispose]();
    throw e;
  }
}

function openRunner(tempDir: string, prefer: "library" | "program"): Runner {
  if (prefer === "program") return new SpawnedNft(tempDir);
  try {
    return new LibNft();
  } catch (library) {
    try {
      return new SpawnedNft(tempDir);
    } catch (program) {
      throw new Error(`Could not open nftables. ${(library as Error).message}. ${(program as Error).message}`);
    }
  }
}
