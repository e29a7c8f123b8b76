/**
 * Puts `nyx` and `nyxd` on the PATH: two small launchers, and the CLI as a bundle where the bundler is at hand.
 *
 * What nyxd may do is the daemon's knowledge, so its flags are handed in; `tests/install.ts` puts both together for `deno task install`.
 */

import { NyxError } from "../mod.ts";

/** What the CLI may do: files, variables, sockets and credential helpers that the user names on its command line. */
export const NYX_FLAGS: readonly string[] = [
  "--allow-read",
  "--allow-write",
  "--allow-env",
  "--allow-net",
  "--allow-run",
];

/** First lines of every launcher; what has them may be written over. */
const MARK = "# Written by the installer of nyx; install again to change it.";

/** What to install. */
export interface InstallOptions {
  /** Directory on the PATH; default /usr/local/bin. */
  binDir?: string;
  /** Where the bundle goes; default `../lib/nyx` beside the bin directory. */
  libDir?: string;
  /** Root of nyx's source. */
  root: string;
  /** The deno binary that runs it; default the one that runs now. */
  deno?: string;
  /** Make a bundle of the CLI, which starts faster; when that fails the source is used. Default true. */
  bundle?: boolean;
  /**
   * Flags of `deno run` for nyxd, as text between double quotes of a shell: `$base`, `$run` (directory of the socket), `$crun`, `$init`
   * and `$resolv` stand for what nyxd's own command line says. Without it nyxd is not installed.
   */
  nyxdFlags?: readonly string[];
  /** Hears what is done. */
  onStep?: (text: string) => void;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Launcher of the CLI. */
export function nyxLauncher(deno: string, main: string): string {
  const argv = [deno, "run", "--quiet", "--no-config", "--no-lock", "--no-prompt", "--no-check", ...NYX_FLAGS, main];
  return `#!/bin/sh\n${MARK}\nexec ${argv.map(quote).join(" ")} "$@"\n`;
}

/** Launcher of the daemon: reads the options that decide what it may touch, then starts it under exactly that. */
export function nyxdLauncher(deno: string, root: string, flags: readonly string[]): string {
  const known = [
    ["base-dir", "base"],
    ["socket", "socket"],
    ["crun", "crun"],
    ["init-path", "init"],
    ["resolv-conf", "resolv"],
  ];
  const cases = known.map(([name, variable]) =>
    `    --${name}=*) ${variable}=\${arg#*=} ;;\n    --${name}) want=${variable} ;;`
  ).join("\n");
  const wanted = known.map(([, variable]) => `    ${variable}) ${variable}=$arg ;;`).join("\n");
  const fixed = ["run", "--quiet", "--no-prompt", "--cached-only", "--no-check", `--config=${root}/deno.json`].map(
    quote,
  ).join(" ");
  const allowed = flags.map((flag) => `"${flag}"`).join(" \\\n  ");
  return `#!/bin/sh
${MARK}
base=/var/lib/nyxd socket=/run/nyxd/nyxd.sock crun=/usr/bin/crun init= resolv=/etc/resolv.conf want=
for arg do
  case $want in
${wanted}
  esac
  if [ -n "$want" ]; then want=; continue; fi
  case $arg in
${cases}
  esac
done
case "$base$socket$crun$init$resolv" in
  *,*) echo "nyxd: paths with a comma are not supported: Deno's permission lists are split at commas" >&2; exit 2 ;;
esac
case $socket in */*) run=\${socket%/*} ;; *) run=. ;; esac
[ -n "$run" ] || run=/
[ -n "$init" ] || init=$base
# Registries of a company are signed by what the host trusts.
export DENO_TLS_CA_STORE="\${DENO_TLS_CA_STORE:-system,mozilla}"
exec ${quote(deno)} ${fixed} \\
  ${allowed} \\
  ${quote(`${root}/daemon/main.ts`)} "$@"
`;
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

/**
 * Bundles the CLI into one minified file, which starts faster than split chunks or the source (fewer files to open, and V8 caches its code),
 * and swaps it in, so that a command under way goes on with the old one.
 *
 * @returns the bundle, or undefined when bundling failed
 */
async function bundleCli(
  deno: string,
  root: string,
  libDir: string,
  onStep: (text: string) => void,
): Promise<string | undefined> {
  const target = `${libDir}/nyx.js`;
  const partial = `${libDir}/nyx.${crypto.randomUUID().slice(0, 8)}.js`;
  Deno.mkdirSync(libDir, { recursive: true, mode: 0o755 });
  const { success, stderr } = await new Deno.Command(deno, {
    args: ["bundle", "--quiet", "--minify", "--platform", "deno", "--output", partial, `${root}/cli/main.ts`],
    cwd: root,
    stdout: "null",
    stderr: "piped",
  }).output();
  if (success) {
    // Root runs it: no umask may leave it writable to others.
    Deno.chmodSync(partial, 0o644);
    Deno.renameSync(partial, target);
    return target;
  }
  const reason = new TextDecoder().decode(stderr).trim().split("\n").slice(-3).join(" ");
  onStep(`Bundling failed, nyx runs from source: ${reason}`);
  try {
    Deno.removeSync(partial);
  } catch {
    // It never came to be.
  }
  return undefined;
}

/**
 * Installs both programs.
 *
 * @returns paths of the launchers
 * @throws NyxError already_exists when a foreign file stands in the way; Deno's errors when the directories cannot be written
 */
export async function install(options: InstallOptions): Promise<string[]> {
  const { binDir = "/usr/local/bin", root, deno = Deno.execPath(), bundle = true, nyxdFlags, onStep = () => {} } =
    options;
  const libDir = options.libDir ?? `${binDir.replace(/\/[^/]*\/?$/, "")}/lib/nyx`;
  const [nyx, nyxd] = [`${binDir}/nyx`, `${binDir}/nyxd`];
  for (const path of [root, deno]) {
    // Both end up between a shell's double quotes, and in comma-separated lists of permissions.
    if (/[,"$`\\\n]/.test(path)) {
      throw new NyxError(
        "invalid_argument",
        `Invalid path "${path}": use one without commas, quotes, $ and backslashes`,
      );
    }
  }
  checkReplaceable(nyx);
  if (nyxdFlags !== undefined) checkReplaceable(nyxd);
  Deno.mkdirSync(binDir, { recursive: true, mode: 0o755 });
  const main = (bundle ? await bundleCli(deno, root, libDir, onStep) : undefined) ?? `${root}/cli/main.ts`;
  writeLauncher(nyx, nyxLauncher(deno, main));
  onStep(`${nyx} runs ${main}`);
  if (nyxdFlags === undefined) return [nyx];
  writeLauncher(nyxd, nyxdLauncher(deno, root, nyxdFlags));
  onStep(`${nyxd} runs ${root}/daemon/main.ts`);
  return [nyx, nyxd];
}
