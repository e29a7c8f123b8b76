/**
 * The modules that a program can load: static and dynamic imports, and the workers it starts, followed from its entry. What is
 * compiled, bundled or staged is this list, so a worker that somebody adds is in it without being named anywhere.
 */

import { NyxError } from "../../mod.ts";

/** All that a program can load. Paths are relative to the source's root. */
export interface ProgramGraph {
  /** Entry module. */
  entry: string;
  /** Entry modules of its workers, sorted. */
  workers: string[];
  /** Every module of ours, workers' included, sorted. */
  modules: string[];
  /** npm packages that any of them imports, such as `npm:/hono@4.13.19`, sorted. */
  packages: string[];
}

/** A `new Worker(new URL("./x.ts", import.meta.url)`, the form that `deno compile` and the bundle can follow. */
export const WORKER_URL = /new Worker\(\s*new URL\(\s*"(\.[^"]+)",\s*import\.meta\.url\s*,?\s*\)/g;

interface InfoModule {
  specifier: string;
  local?: string;
  kind?: string;
  error?: string;
}

/** Source text without its comments; a string that holds a comment's beginning loses its end, which no check here minds. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|[\s;{}(),])\/\/.*$/gm, "$1");
}

/**
 * Entry modules of the workers that a module starts, relative to the root.
 *
 * @param path of the module, relative to the root
 * @throws NyxError failed_precondition for a worker or a dynamic import whose module cannot be known before the program runs
 */
export function workersOf(path: string, source: string): string[] {
  const text = withoutComments(source);
  const followed = [...text.matchAll(WORKER_URL)];
  if (followed.length !== (text.match(/new Worker\(/g) ?? []).length) {
    throw new NyxError(
      "failed_precondition",
      `Could not list the workers of ${path}: write new Worker(new URL("./x.ts", import.meta.url), …), so that they can be found`,
    );
  }
  if (/(?<![#\w.])import\(\s*(?!["'\s])/.test(text)) {
    throw new NyxError(
      "failed_precondition",
      `Could not list the modules of ${path}: a dynamic import has to name its module in a string`,
    );
  }
  return followed.map(([, to = ""]) => new URL(to, `file:///${path}`).pathname.slice(1));
}

async function infoOf(root: string, entry: string): Promise<InfoModule[]> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", "--quiet", `--config=${root}/deno.json`, `${root}/${entry}`],
    env: { NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  }).output();
  if (!success) {
    throw new NyxError(
      "internal",
      `Could not list the modules of ${entry}: ${new TextDecoder().decode(stderr).trim()}`,
    );
  }
  const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as { modules: InfoModule[] };
  const broken = modules.find((m) => m.error !== undefined);
  if (broken === undefined) return modules;
  throw new NyxError("internal", `Could not load ${broken.specifier}, which ${entry} imports: ${broken.error}`);
}

/**
 * Follows a program from its entry.
 *
 * @param root directory of the source, without a slash at its end
 * @throws NyxError when a module is missing, or cannot be known before the program runs
 */
export async function programGraph(root: string, entry: string): Promise<ProgramGraph> {
  const [modules, packages, workers] = [new Set<string>(), new Set<string>(), new Set<string>()];
  const queue = [entry];
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    for (const { specifier } of await infoOf(root, next)) {
      if (!specifier.startsWith("file:")) {
        if (specifier.startsWith("npm:")) packages.add(specifier);
        continue;
      }
      const path = new URL(specifier).pathname.slice(root.length + 1);
      if (modules.has(path)) continue;
      modules.add(path);
      for (const worker of workersOf(path, Deno.readTextFileSync(`${root}/${path}`))) {
        if (workers.has(worker)) continue;
        workers.add(worker);
        queue.push(worker);
      }
    }
  }
  const sorted = (set: Set<string>) => [...set].sort();
  return { entry, workers: sorted(workers), modules: sorted(modules), packages: sorted(packages) };
}
