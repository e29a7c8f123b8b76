/**
 * Entry of the tasks that make what users install: `deno task install`, `bundle`, `compile`, `deb` and `release`. All but `install` write
 * to dist/. `--help` behind any of them lists its options.
 */

import { flagsHelp } from "../args/help.ts";
import type { FlagSpecs } from "../args/definition.ts";
import { checkOperands, parseArgs, type ParsedArgs } from "../args/parse.ts";
import { UsageError } from "../args/definition.ts";
import { invalid } from "../../mod.ts";
import { bundle, type Bundles, writeLaunchers } from "./bundle.ts";
import {
  type Architecture,
  ARCHITECTURES,
  checkExecutable,
  type CompiledPaths,
  compileProgram,
  DEFAULT_PATHS,
  HOST_ARCHITECTURE,
} from "./compile.ts";
import { COMPRESSIONS, deb, type DebOptions, PACKAGE } from "./debian/deb.ts";
import { install } from "./install.ts";
import { archiveBundles, billOfMaterials, planRelease, writeChecksums } from "./release.ts";
import { PROGRAMS } from "./stage.ts";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const DIST = `${ROOT}/dist`;
const say = (text: string) => console.log(text);

type Flags = ParsedArgs["flags"];

interface Task {
  summary: string;
  flags: FlagSpecs;
  run(flags: Flags): Promise<void>;
}

function text(flags: Flags, name: string): string | undefined {
  const value = flags[name];
  return typeof value === "string" ? value : undefined;
}

const ARCH_FLAG = {
  arch: { type: "value", value: "ARCH", help: `${Object.keys(ARCHITECTURES).join(" or ")} alone (default both)` },
} as const satisfies FlagSpecs;

function architectures(flags: Flags): Architecture[] {
  const wanted = text(flags, "arch");
  const known = Object.keys(ARCHITECTURES) as Architecture[];
  if (wanted === undefined) {
    return known.toSorted((a, b) => Number(b === HOST_ARCHITECTURE) - Number(a === HOST_ARCHITECTURE));
  }
  const found = known.filter((name) => name === wanted);
  if (found.length === 0) throw invalid("--arch", wanted, `use ${known.join(" or ")}`);
  return found;
}

/** Compiles both programs for each architecture, and gives the files' names. Those of this machine's architecture are run once and get the short names `nyx` and `nyxd`. */
async function compileBoth(bundles: Bundles, wanted: readonly Architecture[], paths: CompiledPaths): Promise<string[]> {
  const made: string[] = [];
  for (const architecture of wanted) {
    for (const program of Object.keys(PROGRAMS) as (keyof typeof PROGRAMS)[]) {
      const path = `${DIST}/${program}-${architecture}`;
      await compileProgram({ bundles, program, architecture, path, paths });
      const shown = architecture === HOST_ARCHITECTURE;
      if (shown) {
        const expected = `${program === "nyx" ? "nyx version" : "nyxd"} ${bundles.versionText}`;
        await checkExecutable(path, expected).catch(async (e) => {
          await Deno.remove(path);
          throw e;
        });
        await Deno.remove(`${DIST}/${program}`).catch(() => {});
        await Deno.symlink(`${program}-${architecture}`, `${DIST}/${program}`);
      }
      say(`${path}${shown ? ` and ${DIST}/${program}` : ""}`);
      made.push(`${program}-${architecture}`);
    }
  }
  return made;
}

/** Makes the packages, and gives their names. */
async function packages(
  wanted: readonly Architecture[],
  options: Partial<DebOptions> & Required<Pick<DebOptions, "bundles" | "sbom">>,
): Promise<string[]> {
  const made: string[] = [];
  for (const architecture of wanted) {
    const path = await deb({ root: ROOT, outDir: DIST, ...options, architecture });
    say(path);
    made.push(path.split("/").at(-1) ?? "");
  }
  return made;
}

async function release(flags: Flags): Promise<void> {
  const { version, notes } = await planRelease(ROOT, flags["allow-dirty"] === true);
  const wanted = architectures(flags);
  const bundles = await bundle({ root: ROOT, outDir: DIST });
  // First what may be impossible here.
  const executables = flags["compile"] === false ? [] : await compileBoth(bundles, wanted, DEFAULT_PATHS);
  const sbom = await billOfMaterials(ROOT);
  const texts = { [`nyx-${version}.cdx.json`]: sbom, [`nyx-${version}-changes.md`]: `${notes.text}\n` };
  for (const [name, content] of Object.entries(texts)) Deno.writeTextFileSync(`${DIST}/${name}`, content);
  const archive = await archiveBundles(ROOT, bundles, version);
  const debs = await packages(wanted, { bundles, sbom });
  await writeChecksums(DIST, [...executables, ...Object.keys(texts), archive, ...debs]);
  for (const name of [...Object.keys(texts), archive, "SHA256SUMS"]) say(`${DIST}/${name}`);
}

const TASKS: Readonly<Record<string, Task>> = {
  install: {
    summary: "Put nyx and nyxd on PATH",
    flags: {
      prefix: { type: "value", value: "DIR", help: "directory of both (default /usr/local/bin)" },
      bundle: { type: "bool", help: "bundle them, which starts faster (default; --no-bundle runs the source)" },
    },
    async run(flags) {
      const binDir = text(flags, "prefix");
      await install({
        root: ROOT,
        bundle: flags["bundle"] !== false,
        ...(binDir === undefined ? {} : { binDir }),
        onStep: say,
      });
    },
  },
  bundle: {
    summary: "Make dist/nyx.js, dist/nyxd.js and the workers, which run with deno alone, and launchers in dist/bin",
    flags: {},
    async run() {
      const { programs, workers, dir } = await bundle({ root: ROOT, outDir: DIST });
      for (const file of [...programs, ...workers]) say(`${dir}/${file}`);
      for (const path of writeLaunchers(dir)) say(path);
    },
  },
  compile: {
    summary: "Make dist/nyx and dist/nyxd, executables that need no deno",
    flags: {
      ...ARCH_FLAG,
      "base-dir": { type: "value", value: "DIR", help: `that nyxd shall use (default ${DEFAULT_PATHS.baseDir})` },
      socket: { type: "value", value: "PATH", help: `that nyxd shall use (default ${DEFAULT_PATHS.socket})` },
      crun: { type: "value", value: "PATH", help: `that nyxd shall use (default ${DEFAULT_PATHS.crun})` },
      "init-path": { type: "value", value: "PATH", help: "that nyxd shall be able to use besides the usual ones" },
      "resolv-conf": { type: "value", value: "PATH", help: "that nyxd shall be able to use besides /etc/resolv.conf" },
    },
    async run(flags) {
      const extraRead = ["init-path", "resolv-conf"].flatMap((name) => text(flags, name) ?? []);
      const paths = {
        baseDir: text(flags, "base-dir") ?? DEFAULT_PATHS.baseDir,
        socket: text(flags, "socket") ?? DEFAULT_PATHS.socket,
        crun: text(flags, "crun") ?? DEFAULT_PATHS.crun,
        extraRead,
      };
      await compileBoth(await bundle({ root: ROOT, outDir: DIST }), architectures(flags), paths);
    },
  },
  deb: {
    summary: `Make Debian packages, dist/${PACKAGE}_VERSION_ARCH.deb, which carry the deno that they need`,
    flags: {
      arch: { ...ARCH_FLAG.arch, help: `amd64 or arm64 (default this machine's, ${HOST_ARCHITECTURE})` },
      deno: { type: "value", value: "FILE", help: "deno binary to carry (default this one, for other machines npm's)" },
      out: { type: "value", value: "DIR", help: "directory of the package (default dist)" },
      compression: {
        type: "value",
        value: "NAME",
        help: `${COMPRESSIONS.join(", ")} (default xz, which takes a minute)`,
      },
    },
    async run(flags) {
      const [deno, outDir, compression] = [text(flags, "deno"), text(flags, "out"), text(flags, "compression")];
      const known = COMPRESSIONS.find((name) => name === (compression ?? "xz"));
      if (known === undefined) throw invalid("--compression", compression, `use ${COMPRESSIONS.join(", ")}`);
      const scratch = Deno.makeTempDirSync({ prefix: "nyx-deb-" });
      try {
        await packages(text(flags, "arch") === undefined ? [HOST_ARCHITECTURE] : architectures(flags), {
          bundles: await bundle({ root: ROOT, outDir: scratch }),
          sbom: await billOfMaterials(ROOT),
          compression: known,
          ...(deno === undefined ? {} : { deno }),
          ...(outDir === undefined ? {} : { outDir }),
        });
      } finally {
        Deno.removeSync(scratch, { recursive: true });
      }
    },
  },
  release: {
    summary: "Make all that a release consists of, with notes, a bill of materials and SHA256SUMS",
    flags: {
      ...ARCH_FLAG,
      compile: { type: "bool", help: "executables too (default; --no-compile where there is no denort)" },
      "allow-dirty": { type: "bool", help: "although the source is not what is committed" },
    },
    run: release,
  },
};

async function main(): Promise<number> {
  const [name = "", ...rest] = Deno.args;
  const task = Object.hasOwn(TASKS, name) ? TASKS[name] : undefined;
  if (task === undefined) {
    console.error(`Usage: deno task ${Object.keys(TASKS).join("|")} [OPTIONS]`);
    return 2;
  }
  try {
    const { flags, operands } = parseArgs({ ...task.flags, help: { type: "bool", help: "Show help" } }, rest);
    if (flags["help"] === true) {
      const options = Object.keys(task.flags).length === 0 ? "" : `\n\nOptions:\n${flagsHelp(task.flags, 100)}`;
      say(`Usage:  deno task ${name}${options === "" ? "" : " [OPTIONS]"}\n\n${task.summary}${options}`);
      return 0;
    }
    checkOperands([], operands);
    await task.run(flags);
    return 0;
  } catch (e) {
    console.error(`${name}: ${e instanceof Error ? e.message : e}`);
    return e instanceof UsageError ? 2 : 1;
  }
}

if (import.meta.main) Deno.exit(await main());
