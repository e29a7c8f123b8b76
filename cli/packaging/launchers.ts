/**
 * The two small shell programs that stand on the PATH. That of nyxd reads the options that decide what nyxd may touch, and starts it
 * under exactly those permissions, so that its base directory and socket can be anywhere.
 */

import { nyxdPermissions } from "../../daemon/permissions.ts";
import { NyxError } from "../../mod.ts";

/** What the CLI may do: files, variables, sockets and credential helpers that the user names on its command line. */
export const NYX_FLAGS: readonly string[] = [
  "--allow-read",
  "--allow-write",
  "--allow-env",
  "--allow-net",
  "--allow-run",
];

/** Unstable features that nyxd uses, as flags for where no deno.json is read; a test compares them with deno.json. */
export const UNSTABLE_FLAGS: readonly string[] = [
  "--unstable-worker-options",
  "--unstable-net",
  "--unstable-no-legacy-abort",
];

/** In every launcher; what has it may be written over. */
export const MARK = "# Written by the installer of nyx; install again to change it.";

/** A program as Deno is to run it. */
export interface Runnable {
  /** The deno binary. */
  deno: string;
  /** Entry module. */
  main: string;
  /** Directory of its modules, which nyxd has to be allowed to read. */
  dir: string;
  /** Flags of `deno run` other than permissions. */
  flags: readonly string[];
}

const ALONE = ["--quiet", "--no-config", "--no-lock", "--no-prompt", "--no-check"];

/** A bundle: one that needs anything beyond its directory is to fail, not to fetch it. */
export function bundled(deno: string, dir: string, name: "nyx" | "nyxd"): Runnable {
  const unstable = name === "nyxd" ? UNSTABLE_FLAGS : [];
  return { deno, main: `${dir}/${name}.js`, dir, flags: [...ALONE, "--no-remote", "--no-npm", ...unstable] };
}

/** A program in a checkout. The CLI uses no package and needs no configuration. */
export function fromSource(deno: string, root: string, name: "nyx" | "nyxd"): Runnable {
  if (name === "nyx") return { deno, main: `${root}/cli/main.ts`, dir: root, flags: ALONE };
  const flags = ["--quiet", "--no-prompt", "--cached-only", "--no-check", `--config=${root}/deno.json`];
  return { deno, main: `${root}/daemon/main.ts`, dir: root, flags };
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Refuses paths that would end, or start something, between a shell's double quotes or in a comma-separated list of permissions. */
function checkPaths(paths: readonly string[]): void {
  for (const path of paths) {
    if (/[,"$`\\\n]/.test(path)) {
      throw new NyxError(
        "invalid_argument",
        `Invalid path "${path}": use one without commas, quotes, $ and backslashes`,
      );
    }
  }
}

/** Launcher of the CLI. */
export function nyxLauncher({ deno, main, flags }: Runnable): string {
  checkPaths([deno, main]);
  const argv = [deno, "run", ...flags, ...NYX_FLAGS, main];
  return `#!/bin/sh\n${MARK}\nexec ${argv.map(quote).join(" ")} "$@"\n`;
}

/** nyxd's permissions as text between double quotes of a shell, whose variables stand for what its command line says. */
function permissionsInShell(dir: string): string[] {
  return nyxdPermissions({
    baseDir: "$base",
    socket: "$run/nyxd.sock",
    // Empty, or each with a comma before it.
    crun: "$crun$plugins",
    sourceDir: dir,
    extraRead: ["$init", "$resolv$cniread"],
  }).map(({ flag }) => flag);
}

/**
 * Launcher of the daemon.
 *
 * @param program as Deno runs it
 * @param cacheDir where Deno keeps compiled code, unless DENO_DIR says otherwise; default Deno's own choice
 */
export function nyxdLauncher({ deno, main, dir, flags }: Runnable, cacheDir?: string): string {
  checkPaths([deno, main, dir, cacheDir ?? ""]);
  const known = [
    ["base-dir", "base"],
    ["socket", "socket"],
    ["crun", "crun"],
    ["init-path", "init"],
    ["resolv-conf", "resolv"],
    ["net-driver", "driver"],
    ["cni-conf-dir", "cniconf"],
    ["cni-bin-dir", "cnibin"],
  ];
  const cases = known.map(([name, variable]) =>
    `    --${name}=*) ${variable}=\${arg#*=} ;;\n    --${name}) want=${variable} ;;`
  ).join("\n");
  const wanted = known.map(([, variable]) => `    ${variable}) ${variable}=$arg ;;`).join("\n");
  const allowed = permissionsInShell(dir).map((flag) => `"${flag}"`).join(" \\\n  ");
  const cache = cacheDir === undefined ? "" : `export DENO_DIR="\${DENO_DIR:-${cacheDir}}"\n`;
  return `#!/bin/sh
${MARK}
base=/var/lib/nyxd socket=/run/nyxd/nyxd.sock crun=/usr/bin/crun init= resolv=/etc/resolv.conf
driver=native cniconf=/etc/cni/net.d cnibin=/usr/lib/cni plugins= cniread= want=
for arg do
  case $want in
${wanted}
  esac
  if [ -n "$want" ]; then want=; continue; fi
  case $arg in
${cases}
  esac
done
case "$base$socket$crun$init$resolv$cniconf$cnibin" in
  *,*) echo "nyxd: paths with a comma are not supported: Deno's permission lists are split at commas" >&2; exit 2 ;;
esac
case $socket in */*) run=\${socket%/*} ;; *) run=. ;; esac
[ -n "$run" ] || run=/
[ -n "$init" ] || init=$base
if [ "$driver" = cni ]; then
  cniread=,$cniconf,$cnibin
  for plugin in "$cnibin"/*; do
    case $plugin in *,*) continue ;; esac
    if [ -f "$plugin" ] && [ -x "$plugin" ]; then plugins=$plugins,$plugin; fi
  done
fi
# Registries of a company are signed by what the host trusts.
export DENO_TLS_CA_STORE="\${DENO_TLS_CA_STORE:-system,mozilla}"
${cache}exec ${[deno, "run", ...flags].map(quote).join(" ")} \\
  ${allowed} \\
  ${quote(main)} "$@"
`;
}

const HERE = `here=$(readlink -f -- "$0")
dir=\${here%/bin/*}
case $dir in
  *,*) echo "\${here##*/}: a directory with a comma is not supported: Deno's permission lists are split at commas" >&2; exit 2 ;;
esac
`;

/**
 * Launchers for `bin/` beside bundles that can lie anywhere, and be moved: they find the bundles by their own place, and deno on the PATH
 * or by DENO.
 */
export function portableLaunchers(): Record<"nyx" | "nyxd", string> {
  const portable = (text: string) =>
    text.replace(`${MARK}\n`, HERE)
      .replaceAll("'@DENO@'", '"${DENO:-deno}"')
      .replaceAll(/'@DIR@([^']*)'/g, '"$dir$1"')
      .replaceAll("@DIR@", "$dir");
  return {
    nyx: portable(nyxLauncher(bundled("@DENO@", "@DIR@", "nyx"))),
    nyxd: portable(nyxdLauncher(bundled("@DENO@", "@DIR@", "nyxd"))),
  };
}
