/**
 * Bundles: each program in one file, each worker of nyxd in one beside it, npm packages inside. They run with a bare `deno`, without
 * the source, node_modules, a configuration or the network.
 */

import { type Build, VERSION, versionText } from "../../daemon/spec/version.ts";
import { NyxError } from "../../mod.ts";
import { WORKER_URL } from "./graph.ts";
import { portableLaunchers } from "./launchers.ts";
import { allDone, output, PROGRAMS, type Stage, stageSource } from "./stage.ts";

/** File of a worker's bundle: `workers/pull/main.ts` becomes `nyxd-pull.js`. All lie in one directory, so that each finds each. */
export function workerFile(path: string): string {
  return `nyxd-${path.split("/").at(-2) ?? "worker"}.js`;
}

/** Gives the workers that a module starts the names of their bundles. */
function pointAtBundles(path: string, text: string): string {
  return text.replace(WORKER_URL, (_, to: string) => {
    const target = new URL(to, `file:///${path}`).pathname.slice(1);
    return `new Worker(new URL("./${workerFile(target)}", import.meta.url)`;
  });
}

/** What to bundle, and where to. */
export interface BundleOptions {
  /** Directory of the source, without a slash at its end. */
  root: string;
  /** Directory that receives the files; those of an earlier bundle are replaced one by one, each whole. */
  outDir: string;
  /** Default both. */
  programs?: readonly (keyof typeof PROGRAMS)[];
  /** Version to write in instead of the source's own. */
  version?: string;
}

/** Writes launchers into `bin/` of a directory with bundles; it can be moved with them. */
export function writeLaunchers(dir: string): string[] {
  Deno.mkdirSync(`${dir}/bin`, { recursive: true, mode: 0o755 });
  return Object.entries(portableLaunchers()).map(([name, text]) => {
    const path = `${dir}/bin/${name}`;
    Deno.writeTextFileSync(path, text);
    Deno.chmodSync(path, 0o755);
    return path;
  });
}

/** What was made. */
export interface Bundles {
  /** Directory, without a slash at its end. */
  dir: string;
  /** File names: programs, then nyxd's workers. */
  programs: string[];
  workers: string[];
  /** What the programs print for `--version`, without their name. */
  versionText: string;
  build: Build;
}

/** Entry modules and the file each becomes. */
function targets(stage: Stage, programs: readonly (keyof typeof PROGRAMS)[]): Map<string, string> {
  const files = new Map<string, string>();
  for (const name of programs) {
    files.set(PROGRAMS[name], `${name}.js`);
    for (const worker of stage.graphs[name].workers) {
      const file = workerFile(worker);
      if ([...files.values()].includes(file)) {
        throw new NyxError("internal", `Could not bundle ${worker}: another worker is called ${file} as well`);
      }
      files.set(worker, file);
    }
  }
  return files;
}

/**
 * Makes the bundles.
 *
 * @throws NyxError with the bundler's words; files of an earlier bundle are then as they were
 */
export async function bundle(options: BundleOptions): Promise<Bundles> {
  const { root, outDir, programs = ["nyx", "nyxd"], version = VERSION } = options;
  using stage = await stageSource(root, pointAtBundles, version);
  const files = targets(stage, programs);
  const made = `${stage.dir}/bundle`;
  const bundler = ["bundle", "--quiet", "--no-check", "--minify", "--platform", "deno"];
  // By file and not into a directory: the bundler names its output after what entries have in common.
  const make = ([entry, file]: [string, string]) =>
    output(Deno.execPath(), [...bundler, "--output", `${made}/${file}`, `${stage.dir}/${entry}`], { cwd: stage.dir });
  // One first: on a new machine it fetches the bundler, and several that fetch at once get in each other's way.
  const [first, ...others] = files;
  if (first !== undefined) await make(first);
  await allDone(others.map(make));
  Deno.mkdirSync(outDir, { recursive: true, mode: 0o755 });
  for (const file of files.values()) {
    const partial = `${outDir}/.${file}.${crypto.randomUUID().slice(0, 8)}`;
    try {
      Deno.copyFileSync(`${made}/${file}`, partial);
      // Root runs it: no umask may leave it writable to others.
      Deno.chmodSync(partial, 0o644);
      Deno.renameSync(partial, `${outDir}/${file}`);
    } catch (e) {
      await Deno.remove(partial).catch(() => {});
      throw e;
    }
  }
  const names = [...files.values()];
  return {
    dir: outDir,
    programs: names.filter((name) => !name.includes("-")),
    workers: names.filter((name) => name.includes("-")),
    versionText: versionText(version, stage.build),
    build: stage.build,
  };
}
