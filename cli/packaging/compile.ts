/**
 * `nyx` and `nyxd` as single executables (`deno compile`), made from the bundles: what is embedded is what was tested there, and starts
 * as fast. Workers are inside, permissions are fixed.
 *
 * The runtime in them, denort, is not part of the deno binary: Deno downloads it when it is not in its cache, and DENORT_BIN names a copy.
 */

import { nyxdPermissions, type PermissionPaths } from "../../daemon/permissions.ts";
import { NyxError } from "../../mod.ts";
import { NYX_FLAGS, UNSTABLE_FLAGS } from "./launchers.ts";
import type { Bundles } from "./bundle.ts";
import type { PROGRAMS } from "./stage.ts";

/** An architecture in Debian's words, and in those of Deno and of ELF. */
export const ARCHITECTURES = {
  amd64: { target: "x86_64-unknown-linux-gnu", deno: "x86_64", machine: 62 },
  arm64: { target: "aarch64-unknown-linux-gnu", deno: "aarch64", machine: 183 },
} as const;

/** Name of an architecture. */
export type Architecture = keyof typeof ARCHITECTURES;

/** That of this machine. */
export const HOST_ARCHITECTURE: Architecture = Deno.build.arch === "aarch64" ? "arm64" : "amd64";

/** Settings that a compiled nyxd is for; others are refused when it starts. */
export type CompiledPaths = Omit<PermissionPaths, "sourceDir">;

/** Those of nyxd's defaults. */
export const DEFAULT_PATHS: CompiledPaths = {
  baseDir: "/var/lib/nyxd",
  socket: "/run/nyxd/nyxd.sock",
  crun: "/usr/bin/crun",
};

/** Arguments of `deno compile` for one program, apart from target and output; its working directory is the bundles'. */
export function compileArguments(bundles: Bundles, program: keyof typeof PROGRAMS, paths: CompiledPaths): string[] {
  const daemon = program === "nyxd";
  return [
    ...["--no-check", "--no-prompt", "--no-config", "--no-lock", "--no-npm", "--no-remote"],
    ...(daemon ? UNSTABLE_FLAGS : []),
    ...(daemon ? nyxdPermissions(paths).map(({ flag }) => flag) : NYX_FLAGS),
    ...(daemon ? bundles.workers.map((file) => `--include=${file}`) : []),
    `${program}.js`,
  ];
}

/** ELF machine of a file, or undefined when it is no ELF file. */
function elfMachine(path: string): number | undefined {
  using file = Deno.openSync(path);
  const head = new Uint8Array(20);
  const read = file.readSync(head);
  const magic = head[0] === 0x7f && head[1] === 0x45 && head[2] === 0x4c && head[3] === 0x46;
  return read === 20 && magic ? new DataView(head.buffer).getUint16(18, true) : undefined;
}

/**
 * Refuses a runtime that cannot be of an architecture.
 *
 * @param given how it was named, such as DENORT_BIN
 * @throws NyxError saying what the file is
 */
export function checkRuntime(given: string, path: string, architecture: Architecture): void {
  let machine;
  try {
    machine = elfMachine(path);
  } catch (e) {
    throw new NyxError("not_found", `Could not read ${given} "${path}": ${e instanceof Error ? e.message : e}`);
  }
  if (machine === ARCHITECTURES[architecture].machine) return;
  throw new NyxError(
    "failed_precondition",
    `Could not build for ${architecture}: ${given} "${path}" is ${
      machine === undefined ? "no ELF executable" : "for another architecture"
    }; ` +
      `give one for ${architecture}, or choose the architecture with --arch`,
  );
}

function missingRuntime(architecture: Architecture, said: string): NyxError {
  const { target } = ARCHITECTURES[architecture];
  const reason = said.split("\n").map((line) => line.trim()).find((line) => /^1: /.test(line))?.slice(3) ?? said;
  return new NyxError(
    "unavailable",
    `Could not compile for ${architecture}: the runtime denort ${Deno.version.deno} is not in Deno's cache and could not be downloaded ` +
      `(${reason}); unpack denort-${target}.zip of that Deno release and set DENORT_BIN to the file, ` +
      "or use `deno task bundle` or `deno task deb`, which need none",
  );
}

/** What to compile, and where to. */
export interface CompileOptions {
  /** What {@linkcode bundle} made. */
  bundles: Bundles;
  program: keyof typeof PROGRAMS;
  architecture: Architecture;
  /** Executable to write. */
  path: string;
  /** What a nyxd may touch; default {@linkcode DEFAULT_PATHS}. */
  paths?: CompiledPaths;
}

/**
 * Compiles one program for one architecture.
 *
 * @throws NyxError unavailable when there is no runtime to put it in, with the way out; internal with the compiler's words
 */
export async function compileProgram(options: CompileOptions): Promise<void> {
  const { bundles, program, architecture, path, paths = DEFAULT_PATHS } = options;
  const runtime = Deno.env.get("DENORT_BIN");
  if (runtime !== undefined) checkRuntime("DENORT_BIN", runtime, architecture);
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "compile",
      "--quiet",
      `--target=${ARCHITECTURES[architecture].target}`,
      `--output=${path}`,
      ...compileArguments(bundles, program, paths),
    ],
    cwd: bundles.dir,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (success) return;
  const said = new TextDecoder().decode(stderr).trim();
  if (/base binary|denort/.test(said)) throw missingRuntime(architecture, said);
  throw new NyxError("internal", `Could not compile ${program}: ${said}`);
}

/**
 * Runs an executable of this machine's architecture from an empty directory without a PATH or a home, and compares its version.
 *
 * @throws NyxError failed_precondition when it does not print what it should: DENORT_BIN was no denort of this Deno
 */
export async function checkExecutable(path: string, expected: string): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-compiled-" });
  try {
    const { stdout, stderr } = await new Deno.Command(path, {
      args: ["--version"],
      cwd: dir,
      clearEnv: true,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).output();
    const said = new TextDecoder().decode(stdout).trim();
    if (said === expected) return;
    throw new NyxError(
      "failed_precondition",
      `Could not use ${path}: it was to print ${JSON.stringify(expected)} and printed ${
        JSON.stringify(`${said}${new TextDecoder().decode(stderr)}`.slice(0, 200))
      }; is DENORT_BIN a denort of Deno ${Deno.version.deno}?`,
    );
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}
