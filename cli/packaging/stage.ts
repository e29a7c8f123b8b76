/** A copy of the source to build from, without its tests, with commit and date written in, which nobody edits meanwhile. */

import { NyxError } from "../../mod.ts";
import type { Build } from "../../daemon/spec/version.ts";
import { type ProgramGraph, programGraph } from "./graph.ts";

/** The programs and their entry modules. */
export const PROGRAMS = { nyx: "cli/main.ts", nyxd: "daemon/main.ts" } as const;

/** Directories with the programs' modules, those that give types alone included: the bundler looks for these, too. */
const AREAS = ["cli", "daemon", "ffi", "workers"];
const VERSION_MODULE = "daemon/spec/version.ts";
const BUILD_LINE = /^export const BUILD: Build = .*$/m;

/** Source that is ready to be built. Disposing it removes the directory. */
export interface Stage extends Disposable {
  /** Directory, without a slash at its end. */
  readonly dir: string;
  readonly build: Build;
  readonly graphs: Readonly<Record<keyof typeof PROGRAMS, ProgramGraph>>;
}

/**
 * Runs a command and gives what it printed.
 *
 * @throws NyxError internal with the command's own last words
 */
export async function output(command: string, args: string[], options: Deno.CommandOptions = {}): Promise<string> {
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
  let result;
  try {
    result = await new Deno.Command(command, { args, stdin: "null", stdout: "piped", stderr: "piped", ...options })
      .output();
  } catch (e) {
    throw new NyxError("failed_precondition", `Could not run ${command}: ${e instanceof Error ? e.message : e}`);
  }
  if (result.success) return text(result.stdout);
  const said = text(result.stderr).replace(/\s*Stack backtrace:[\s\S]*$/, "").split("\n").slice(-5).join("\n");
  throw new NyxError("internal", `Could not run ${[command, ...args].slice(0, 4).join(" ")}: ${said}`);
}

/** Waits for all, also when one fails: what is removed afterwards is then nobody's. Throws the first failure. */
export async function allDone<const T extends readonly Promise<unknown>[]>(
  work: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(work);
  return await Promise.all(work);
}

/**
 * Commit and date of a checkout, `unknown` outside one. The date is the commit's, or SOURCE_DATE_EPOCH's, never the clock's: the same
 * source gives the same bytes.
 */
export async function buildOf(root: string): Promise<Build> {
  const git = (...args: string[]) => output("git", ["-C", root, ...args]);
  const epoch = Deno.env.get("SOURCE_DATE_EPOCH");
  const dated = epoch === undefined ? undefined : new Date(Number(epoch) * 1000).toISOString();
  try {
    const commit = await git("rev-parse", "--short=12", "HEAD");
    const changed = await git(
      "status",
      "--porcelain",
      "--untracked-files=no",
      "--",
      "deno.json",
      "daemon",
      "workers",
      "ffi",
      "cli",
    );
    const date = new Date(Number(await git("show", "-s", "--format=%ct", "HEAD")) * 1000).toISOString();
    return { commit: changed === "" ? commit : `${commit}-dirty`, buildDate: dated ?? date };
  } catch {
    return { commit: "unknown", buildDate: dated ?? "unknown" };
  }
}

function sources(root: string, dir: string): string[] {
  return [...Deno.readDirSync(`${root}/${dir}`)].flatMap(({ name, isDirectory }) => {
    if (isDirectory) return sources(root, `${dir}/${name}`);
    return name.endsWith(".ts") && !name.endsWith("_test.ts") ? [`${dir}/${name}`] : [];
  });
}

/** Writes a build's commit and date into the text of daemon/spec/version.ts. */
export function stamp(source: string, build: Build, version?: string): string {
  if (!BUILD_LINE.test(source)) {
    throw new NyxError("internal", `Could not write the commit into ${VERSION_MODULE}: it has no line of BUILD`);
  }
  const text = source.replace(BUILD_LINE, `export const BUILD: Build = ${JSON.stringify(build)};`);
  return version === undefined
    ? text
    : text.replace(/^export const VERSION = .*$/m, `export const VERSION = ${JSON.stringify(version)};`);
}

/**
 * Copies the programs' modules.
 *
 * @param root directory of the source
 * @param edit changes the text of a module on its way, given its path below the root
 * @param version instead of the source's own, for a test of upgrades
 */
export async function stageSource(
  root: string,
  edit: (path: string, text: string) => string = (_, text) => text,
  version?: string,
): Promise<Stage> {
  const build = await buildOf(root);
  const [nyx, nyxd] = await Promise.all([programGraph(root, PROGRAMS.nyx), programGraph(root, PROGRAMS.nyxd)]);
  const dir = Deno.makeTempDirSync({ prefix: "nyx-build-" });
  try {
    for (const path of ["mod.ts", ...AREAS.flatMap((area) => sources(root, area))]) {
      const text = edit(path, Deno.readTextFileSync(`${root}/${path}`));
      Deno.mkdirSync(`${dir}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
      Deno.writeTextFileSync(`${dir}/${path}`, path === VERSION_MODULE ? stamp(text, build, version) : text);
    }
    for (const name of ["deno.json", "deno.lock"]) Deno.copyFileSync(`${root}/${name}`, `${dir}/${name}`);
  } catch (e) {
    Deno.removeSync(dir, { recursive: true });
    throw e;
  }
  return { dir, build, graphs: { nyx, nyxd }, [Symbol.dispose]: () => Deno.removeSync(dir, { recursive: true }) };
}
