/**
 * The guest's second disk: nyx as `deno task install` puts it, the deno binary, images to load, and the agent. Made anew whenever one of
 * these changes; cached until then.
 */

import { createHash } from "node:crypto";
import { busyboxImage, busyboxLayer, tagInLayout } from "../support/oci.ts";
import { CACHE_DIR, cached } from "../support/debian_root.ts";
import { run } from "../support/random_tree.ts";
import { type Arch, type GuestBase, guestBase, makeImage } from "./base.ts";
import { pruneCache } from "./cache.ts";

/** The checkout that runs in the guest. */
const ROOT = Deno.env.get("NYX_VM_SOURCE") ?? new URL("../../", import.meta.url).pathname;
const HERE = new URL(".", import.meta.url).pathname;
const VERSION = 1;

/** What of the repository goes into the guest. */
const SOURCES = ["mod.ts", "deno.json", "deno.lock", "daemon", "workers", "cli", "ffi"];
/** Where things lie in the guest. */
const GUEST_LIB = "usr/lib/nyx-vm";
/** Layers of the image `deep`. */
export const DEEP_LAYERS = 120;
/** Only this many old disks stay in the cache. */
const KEEP = 2;

/** Paths and contents of the files below `paths`, tests left out. */
function* sourceFiles(paths: readonly string[], base: string): Generator<[string, Uint8Array<ArrayBuffer>]> {
  for (const path of [...paths].sort()) {
    if (Deno.statSync(`${base}${path}`).isDirectory) {
      const names = [...Deno.readDirSync(`${base}${path}`)].map((e) => `${path}/${e.name}`);
      yield* sourceFiles(names, base);
    } else if (!path.endsWith("_test.ts")) yield [path, Deno.readFileSync(`${base}${path}`)];
  }
}

function put(dir: string, path: string, data: Uint8Array | string, mode = 0o644): void {
  const target = `${dir}/${path}`;
  Deno.mkdirSync(target.slice(0, target.lastIndexOf("/")), { recursive: true });
  if (typeof data === "string") Deno.writeTextFileSync(target, data);
  else Deno.writeFileSync(target, data);
  Deno.chmodSync(target, mode);
}

/** OCI archives that `nyx load` takes: busybox, and `deep`, whose layers each have a file of their own and one that all write. */
function images(base: GuestBase, stage: string): void {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-vm-layout-" });
  const busybox = Deno.readFileSync(`${base.root}/bin/busybox`);
  const first = busyboxLayer().map((e) => e.path === "bin/busybox" ? { ...e, data: busybox } : e);
  const rest = Array.from({ length: DEEP_LAYERS - 1 }, (_, i) => [
    { path: `layer/${i + 2}`, data: `${i + 2}\n` },
    { path: "top", data: `${i + 2}\n` },
  ]);
  const platform = { os: "linux", architecture: base.arch };
  try {
    busyboxImage({ dir, tag: "busybox", layers: [first], platform });
    busyboxImage({ dir, tag: "deep", layers: [first, ...rest], platform });
    for (const tag of ["busybox", "deep"]) archive(dir, tag, `${stage}/${GUEST_LIB}/${tag}.tar`);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

function archive(layout: string, tag: string, target: string): void {
  const one = Deno.makeTempDirSync({ prefix: "nyx-vm-archive-" });
  try {
    const index = JSON.parse(Deno.readTextFileSync(`${layout}/index.json`));
    const refName = "org.opencontainers.image.ref.name";
    const root = index.manifests.find((m: { annotations: Record<string, string> }) => m.annotations[refName] === tag);
    run("cp", ["-r", `${layout}/blobs`, `${layout}/oci-layout`, one]);
    const keep = new Set<string>([root.digest]);
    const manifest = JSON.parse(Deno.readTextFileSync(`${one}/blobs/${root.digest.replace(":", "/")}`));
    for (const d of [manifest.config, ...manifest.layers]) keep.add(d.digest);
    for (const { name } of Deno.readDirSync(`${one}/blobs/sha256`)) {
      if (!keep.has(`sha256:${name}`)) Deno.removeSync(`${one}/blobs/sha256/${name}`);
    }
    tagInLayout(one, `docker.io/library/${tag}:latest`, root);
    run("tar", ["-C", one, "-cf", target, "oci-layout", "index.json", "blobs"]);
  } finally {
    Deno.removeSync(one, { recursive: true });
  }
}

function denoDir(): string {
  const info = run(Deno.execPath(), ["info", "--json"], { env: { NO_COLOR: "1" } });
  return JSON.parse(new TextDecoder().decode(info)).denoDir;
}

/**
 * The deno binary of another architecture, from npm: this version, or the newest that the registry has.
 *
 * @throws Error when npm is missing or has none
 */
function foreignDeno(arch: Arch): string {
  const name = `@deno/linux-${arch}-glibc`;
  const versions: string[] = JSON.parse(new TextDecoder().decode(run("npm", ["view", name, "versions", "--json"])));
  const version = versions.includes(Deno.version.deno) ? Deno.version.deno : versions.at(-1);
  const path = `${CACHE_DIR}/deno-${arch}-${version}`;
  try {
    Deno.statSync(path);
    return path;
  } catch (e) {
    if (!(e instanceof Deno.errors.NotFound)) throw e;
  }
  const dir = Deno.makeTempDirSync({ prefix: "nyx-vm-deno-" });
  try {
    run("npm", ["pack", "--silent", "--pack-destination", dir, `${name}@${version}`]);
    run("sh", ["-c", 'cd "$1" && tar -xzf *.tgz && mv package/deno "$2"', "sh", dir, path]);
    return path;
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

/** Runs the installer where it will be: below the guest's root, seen by this command alone. */
async function installInside(base: GuestBase, stage: string): Promise<void> {
  // What does not run here is installed by its like that does: launchers and bundles are the same for all.
  const { root } = base.foreign ? await guestBase() : base;
  const script = `set -e
mount --make-rprivate /
for dir in opt usr/local root; do mount --bind "$2/$dir" "$1/$dir"; done
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
[ ! -f /etc/resolv.conf ] || { touch "$1/etc/resolv.conf"; mount --bind /etc/resolv.conf "$1/etc/resolv.conf"; }
cd /
chroot "$1" sh -ec '
  export HOME=/root NO_COLOR=1
  cd /opt/nyx
  deno task --quiet install
  # V8 keeps the code that it compiled: software emulation is slow at that. It does so at the second run.
  for i in 1 2 3; do nyx --version; nyxd --version; done >/dev/null
'`;
  const env = { PATH: "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };
  run("unshare", ["-m", "sh", "-c", script, "sh", root, stage], { clearEnv: true, env });
}

async function stageFiles(base: GuestBase, stage: string): Promise<void> {
  for (const dir of ["opt", "usr/local/bin", "root/.cache/deno", GUEST_LIB]) {
    Deno.mkdirSync(`${stage}/${dir}`, { recursive: true });
  }
  for (const [path, data] of sourceFiles(SOURCES, ROOT)) put(stage, `opt/nyx/${path}`, data);
  run("cp", [Deno.execPath(), `${stage}/usr/local/bin/deno`]);
  Deno.chmodSync(`${stage}/usr/local/bin/deno`, 0o755);
  for (const name of ["npm", "dl"]) {
    try {
      run("cp", ["-r", `${denoDir()}/${name}`, `${stage}/root/.cache/deno/`]);
    } catch {
      // Deno fetches what is missing.
    }
  }
  await installInside(base, stage);
  if (base.foreign) {
    run("cp", [foreignDeno(base.arch), `${stage}/usr/local/bin/deno`]);
    for (const { name } of Deno.readDirSync(`${stage}/root/.cache/deno`)) {
      if (name.startsWith("v8_code_cache")) Deno.removeSync(`${stage}/root/.cache/deno/${name}`);
    }
  }
  for (const name of ["boot", "agent", "nyxd-up", "restart"]) {
    put(stage, `${GUEST_LIB}/${name}`, Deno.readTextFileSync(`${HERE}guest/${name}.sh`), 0o755);
  }
  const unit = "nyx-vm-agent.service";
  put(stage, `etc/systemd/system/${unit}`, Deno.readTextFileSync(`${HERE}guest/${unit}`));
  Deno.mkdirSync(`${stage}/etc/systemd/system/multi-user.target.wants`);
  Deno.symlinkSync(`../${unit}`, `${stage}/etc/systemd/system/multi-user.target.wants/${unit}`);
  images(base, stage);
}

/** The disk's image; made when it is missing. */
export async function appImage(base: GuestBase): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify({ VERSION, base: base.image, deno: Deno.version.deno }));
  for (const [path, data] of sourceFiles(SOURCES, ROOT)) hash.update(`${path}\0`).update(data);
  for (const [path, data] of sourceFiles(["guest", "app.ts"], HERE)) hash.update(`${path}\0`).update(data);
  const name = `vm-app-${hash.digest("hex").slice(0, 12)}`;
  const image = `${CACHE_DIR}/${name}.ext4`;
  const whole = (made: { image: string; size: number }) => Deno.statSync(made.image).size === made.size;
  await cached(name, whole, async () => {
    const stage = Deno.makeTempDirSync({ prefix: "nyx-vm-app-" });
    try {
      await stageFiles(base, stage);
      makeImage(stage, `${image}.partial`);
      Deno.renameSync(`${image}.partial`, image);
      return { image, size: Deno.statSync(image).size };
    } finally {
      Deno.removeSync(stage, { recursive: true });
    }
  });
  pruneCache("vm-app", name, KEEP);
  return image;
}
