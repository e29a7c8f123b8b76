/**
 * Puts `nyx` and `nyxd` on the PATH: two small launchers, and bundles of both where the bundler is at hand. A bundle starts faster than
 * the source and takes less memory (docs/performance.md says by how much), so it is used whenever it could be made.
 */

import { NyxError } from "../../mod.ts";
import { bundle } from "./bundle.ts";
import { bundled, fromSource, MARK, nyxdLauncher, nyxLauncher } from "./launchers.ts";

/** What to install. */
export interface InstallOptions {
  /** Directory on the PATH; default /usr/local/bin. */
  binDir?: string;
  /** Where the bundles go; default `../lib/nyx` beside the bin directory. */
  libDir?: string;
  /** Root of nyx's source, without a slash at its end. */
  root: string;
  /** The deno binary that runs it; default the one that runs now. */
  deno?: string;
  /** Make bundles; when that fails the source is used. Default true. */
  bundle?: boolean;
  /** Hears what is done. */
  onStep?: (text: string) => void;
}

/** Refuses to write over a file that is not a launcher of ours. */
function checkReplaceable(path: string): void {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (e) {
    if (e instanceof Deno.errors.NotFound) return;
    throw e;
  }
  if (!text.includes(MARK)) {
    throw new NyxError(
      "already_exists",
      `Installing ${path} failed: a file that is not nyx's stands there; move it away, or choose another directory with --prefix`,
    );
  }
}

function writeLauncher(path: string, text: string): void {
  const partial = `${path}.${crypto.randomUUID().slice(0, 8)}`;
  try {
    Deno.writeTextFileSync(partial, text, { createNew: true });
    // A mode given at creation would be cut by the umask.
    Deno.chmodSync(partial, 0o755);
    Deno.renameSync(partial, path);
  } catch (e) {
    try {
      Deno.removeSync(partial);
    } catch {
      // It never came to be.
    }
    throw e;
  }
}

async function couldBundle(root: string, libDir: string, onStep: (text: string) => void): Promise<boolean> {
  try {
    await bundle({ root, outDir: libDir });
    return true;
  } catch (e) {
    onStep(`Bundling failed, nyx and nyxd run from source: ${e instanceof Error ? e.message : e}`);
    return false;
  }
}

/**
 * Installs both programs.
 *
 * @returns paths of the launchers, that of nyx first
 * @throws NyxError already_exists when a foreign file stands in the way; Deno's errors when the directories cannot be written
 */
export async function install(options: InstallOptions): Promise<string[]> {
  const { binDir = "/usr/local/bin", root, deno = Deno.execPath(), onStep = () => {} } = options;
  const libDir = options.libDir ?? `${binDir.replace(/\/[^/]*\/?$/, "")}/lib/nyx`;
  const paths = { nyx: `${binDir}/nyx`, nyxd: `${binDir}/nyxd` };
  for (const path of Object.values(paths)) checkReplaceable(path);
  const source = { nyx: fromSource(deno, root, "nyx"), nyxd: fromSource(deno, root, "nyxd") };
  // A path that no launcher can hold is refused before anything is written.
  nyxdLauncher(source.nyxd);
  Deno.mkdirSync(binDir, { recursive: true, mode: 0o755 });
  const { nyx, nyxd } = options.bundle !== false && await couldBundle(root, libDir, onStep)
    ? { nyx: bundled(deno, libDir, "nyx"), nyxd: bundled(deno, libDir, "nyxd") }
    : source;
  writeLauncher(paths.nyx, nyxLauncher(nyx));
  onStep(`${paths.nyx} runs ${nyx.main}`);
  writeLauncher(paths.nyxd, nyxdLauncher(nyxd));
  onStep(`${paths.nyxd} runs ${nyxd.main}`);
  return [paths.nyx, paths.nyxd];
}
