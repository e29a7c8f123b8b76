/**
 * Real servers as images: nginx, redis and postgresql from the machine's Debian mirror, unpacked without their scripts into one root
 * with busybox as shell. Made once and cached; needs root, apt and dpkg-deb.
 */

import { createHash } from "node:crypto";
import { CACHE_DIR, cached, release } from "./debian_root.ts";
import { run } from "./random_tree.ts";

const VERSION = 1;
/** What runs. Its dependencies come along, except those that only scripts and other uses need. */
const PACKAGES = ["nginx", "redis-server", "postgresql", "busybox-static"];
const LEFT_OUT = new RegExp(
  "^(libllvm|libz3|perl|libperl|locales|libc-l10n|libc-bin|dpkg|debconf|adduser|postgresql-common|postgresql-client-common|iproute2|" +
    "openssl|ssl-cert|passwd|tar|ucf|lsb|sysvinit|libjson|logrotate|libdb5|netbase)",
);
const DATA = "/var/lib/postgresql/data";
/** Uids of the image's users. */
export const POSTGRES_UID = 101;

/** Names of the images in the archive. */
export const APP_IMAGES = { nginx: "apps/nginx:1", redis: "apps/redis:1", postgres: "apps/postgres:1" } as const;

function text(command: string, args: string[], cwd?: string): string {
  const { success, stdout, stderr } = new Deno.Command(command, {
    args,
    env: { DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" },
    ...(cwd === undefined ? {} : { cwd }),
  }).outputSync();
  if (success) return new TextDecoder().decode(stdout);
  throw new Error(`Could not run ${command} ${args.slice(0, 4).join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

/** Packages that an empty machine would need, by apt's own reckoning. */
function closure(dir: string): string[] {
  Deno.writeTextFileSync(`${dir}/status`, "");
  const listing = text("apt-get", [
    "install",
    "-q",
    "--simulate",
    "--no-install-recommends",
    "-o",
    `Dir::State::status=${dir}/status`,
    ...PACKAGES,
  ]);
  return listing.split("\n").flatMap((line) => /^Inst (\S+)/.exec(line)?.[1] ?? []).filter((name) =>
    !LEFT_OUT.test(name)
  );
}

function download(dir: string): void {
  const get = () =>
    text("apt-get", ["download", "-qq", "-o", "APT::Sandbox::User=root", ...closure(dir)], `${dir}/debs`);
  try {
    get();
  } catch {
    // Lists are missing, or name packages that the mirror has replaced.
    text("apt-get", ["update", "-qq"]);
    get();
  }
}

/** Files that no package has: users, the shell's programs, directories that the servers write. */
function complete(root: string): string {
  const users = { root: 0, "www-data": 33, postgres: POSTGRES_UID, redis: 102 };
  const lines = (line: (name: string, id: number) => string) =>
    Object.entries(users).map(([n, id]) => line(n, id)).join("");
  Deno.writeTextFileSync(`${root}/etc/passwd`, lines((n, id) => `${n}:x:${id}:${id}::/:/bin/sh\n`));
  Deno.writeTextFileSync(`${root}/etc/group`, lines((n, id) => `${n}:x:${id}:\n`));
  for (
    const dir of [
      "bin",
      "sbin",
      "tmp",
      "run",
      "proc",
      "sys",
      "dev",
      "var/lib/nginx",
      "var/log/nginx",
      DATA.slice(1),
      "srv",
    ]
  ) {
    Deno.mkdirSync(`${root}/${dir}`, { recursive: true });
  }
  Deno.chmodSync(`${root}/tmp`, 0o1777);
  Deno.chownSync(`${root}${DATA}`, POSTGRES_UID, POSTGRES_UID);
  Deno.chmodSync(`${root}${DATA}`, 0o700);
  const there = (name: string) => ["bin", "sbin", "usr/bin", "usr/sbin"].some((d) => isThere(`${root}/${d}/${name}`));
  const busybox = isThere(`${root}/usr/bin/busybox`) ? "/usr/bin/busybox" : "/bin/busybox";
  for (const name of text("busybox", ["--list"]).trim().split("\n")) {
    if (!there(name)) Deno.symlinkSync(busybox, `${root}/bin/${name}`);
  }
  const [version = ""] = [...Deno.readDirSync(`${root}/usr/lib/postgresql`)].map((entry) => entry.name);
  return `/usr/lib/postgresql/${version}/bin`;
}

function isThere(path: string): boolean {
  try {
    return Deno.lstatSync(path).mode !== undefined;
  } catch {
    return false;
  }
}

function build(archive: string): { archive: string; size: number } {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-apps-" });
  try {
    for (const name of ["debs", "root", "out"]) Deno.mkdirSync(`${dir}/${name}`);
    download(dir);
    for (const { name } of Deno.readDirSync(`${dir}/debs`)) {
      run("dpkg-deb", ["-x", `${dir}/debs/${name}`, `${dir}/root`]);
    }
    const postgres = complete(`${dir}/root`);
    run("rm", ["-rf", ...["doc", "man", "locale", "info", "bash-completion"].map((d) => `${dir}/root/usr/share/${d}`)]);
    run("tar", ["-cf", `${dir}/out/layer.tar`, "--numeric-owner", "-C", `${dir}/root`, "."]);
    const diffId = `sha256:${text("sha256sum", [`${dir}/out/layer.tar`]).slice(0, 64)}`;
    const manifest = Object.entries(APP_IMAGES).map(([name, tag]) => {
      const Env = [`PATH=${postgres}:/usr/sbin:/usr/bin:/sbin:/bin`, `PGDATA=${DATA}`, "HOME=/tmp"];
      const config = {
        architecture: Deno.build.arch === "aarch64" ? "arm64" : "amd64",
        os: "linux",
        config: { Env, Cmd: [name], Labels: { app: name } },
        rootfs: { type: "layers", diff_ids: [diffId] },
      };
      Deno.writeTextFileSync(`${dir}/out/${name}.json`, JSON.stringify(config));
      return { Config: `${name}.json`, RepoTags: [tag], Layers: ["layer.tar"] };
    });
    Deno.writeTextFileSync(`${dir}/out/manifest.json`, JSON.stringify(manifest));
    run("tar", ["-cf", `${archive}.partial`, "-C", `${dir}/out`, "."]);
    Deno.renameSync(`${archive}.partial`, archive);
    return { archive, size: Deno.statSync(archive).size };
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

/** Path of a docker-archive with the images {@linkcode APP_IMAGES}; made when it is missing. */
export async function appImages(): Promise<string> {
  const recipe = JSON.stringify({ VERSION, release: release(), PACKAGES, LEFT_OUT: LEFT_OUT.source });
  const name = `apps-${createHash("sha256").update(recipe).digest("hex").slice(0, 12)}`;
  const path = `${CACHE_DIR}/${name}.tar`;
  const valid = (made: { archive: string; size: number }) => Deno.statSync(made.archive).size === made.size;
  return (await cached(name, valid, () => Promise.resolve(build(path)))).archive;
}
