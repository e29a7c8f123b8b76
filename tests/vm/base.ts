/**
 * The guest's Debian: a root made by mmdebstrap from the mirrors that this machine is set up for, Debian's cloud kernel, and an
 * initramfs that finds the disks. Cached by what it is made of. Needs root, mmdebstrap, e2fsprogs.
 */

import { createHash } from "node:crypto";
import { CACHE_DIR, cached, release, sources } from "../support/debian_root.ts";
import { run } from "../support/random_tree.ts";
import { pruneCache } from "./cache.ts";
import { cpio, type CpioEntry } from "./cpio.ts";

/** Architecture of a guest, as Debian names it. */
export type Arch = "amd64" | "arm64";

/** A Debian that guests boot. */
export interface GuestBase {
  arch: Arch;
  /** Whether its programs do not run on this machine. */
  foreign: boolean;
  /** Its root as a directory of this machine. */
  root: string;
  /** The same as an ext4 image, for the guest's first disk. */
  image: string;
  kernel: string;
  initramfs: string;
  /** Of the kernel, such as `6.1.0-56-cloud-amd64`. */
  kernelRelease: string;
  /** QEMU's program for it. */
  emulator: string;
  /** Which board QEMU shall be. */
  machine: string[];
  /** The kernel's name of the first serial port. */
  consoleDevice: string;
}

const BOARDS = {
  amd64: { emulator: "qemu-system-x86_64", machine: ["-machine", "q35,usb=off"], consoleDevice: "ttyS0" },
  arm64: { emulator: "qemu-system-aarch64", machine: ["-machine", "virt"], consoleDevice: "ttyAMA0" },
};

const VERSION = 6;

/** Roots kept besides the one in use: of other architectures, and with other packages. */
const KEEP = 3;

/** What nyx needs on a host, systemd, and tools that the runs use. */
export const GUEST_PACKAGES: readonly string[] = [
  "busybox-static",
  "crun",
  "nftables",
  "libnftables1",
  "iproute2",
  "kmod",
  "libisal2",
  "libzstd1",
  "libseccomp2",
  "catatonit",
  "systemd",
  "systemd-sysv",
  "procps",
  "ca-certificates",
  // Servers of every protocol; its libraries are there already.
  "socat",
];

/** What a root that is unpacked only needs by name: nothing pulls it in as essential. */
const UNCONFIGURED_PACKAGES = [
  "linux-image-cloud-arm64",
  "base-files",
  "base-passwd",
  "bash",
  "coreutils",
  "dash",
  "util-linux",
  "mount",
  "libc-bin",
  "sed",
  "grep",
  "findutils",
  "hostname",
];

/** Modules that the first root loads; what they depend on comes before them. */
const FIRST_MODULES = ["virtio_pci", "virtio_blk", "virtio_console", "virtio_net", "overlay"];
const HERE = new URL(".", import.meta.url).pathname;

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** Versions that apt would install now; this machine's apt knows its own architecture alone. */
function candidates(names: readonly string[]): string {
  const policy = text(run("apt-cache", ["policy", ...names]));
  return [...policy.matchAll(/^(\S+):$|Candidate: (\S+)/gm)].map((m) => m[1] ?? m[2]).join(" ");
}

/** The package that the kernel's meta package stands for. */
function kernelPackage(): string {
  const depends = text(run("apt-cache", ["depends", `linux-image-cloud-amd64`]));
  const name = /Depends: (linux-image-[0-9]\S*-cloud-\S+)/.exec(depends)?.[1];
  if (name === undefined) throw new Error("Could not find a kernel: linux-image-cloud-amd64 depends on none");
  return name;
}

/** Unpacks Debian's kernel into the root without installing it, since that would bring tools that make an initramfs. */
function addKernel(name: string, dir: string, root: string): void {
  Deno.mkdirSync(`${dir}/kernel`);
  const inDir = ["-c", 'cd "$1" && apt-get -q -o APT::Sandbox::User=root download "$2"', "sh", dir, name];
  run("sh", inDir);
  const deb = [...Deno.readDirSync(dir)].find((e) => e.name.endsWith(".deb"))?.name;
  run("dpkg-deb", ["-x", `${dir}/${deb}`, `${dir}/kernel`]);
  Deno.removeSync(`${dir}/${deb}`);
  run("cp", ["-a", `${dir}/kernel/boot`, root]);
  run("cp", ["-a", `${dir}/kernel/lib/modules`, `${root}/usr/lib`]);
  Deno.removeSync(`${dir}/kernel`, { recursive: true });
}

/** File names of modules in the order in which they can be loaded. */
function loadOrder(modulesDir: string, wanted: readonly string[]): string[] {
  const depends = new Map<string, string[]>();
  for (const line of Deno.readTextFileSync(`${modulesDir}/modules.dep`).split("\n")) {
    const [path, rest] = line.split(":");
    if (path !== undefined && rest !== undefined) depends.set(path, rest.trim().split(" ").filter((d) => d !== ""));
  }
  const pathOf = (name: string) => [...depends.keys()].find((p) => p.replace(/-/g, "_").endsWith(`/${name}.ko`));
  const order: string[] = [];
  const add = (path: string) => {
    for (const d of depends.get(path) ?? []) add(d);
    if (!order.includes(path)) order.push(path);
  };
  for (const name of wanted) {
    const path = pathOf(name);
    if (path !== undefined) add(path);
  }
  return order;
}

/**
 * A first root of busybox: `/init`, and below `/modules` kernel modules with their `order`.
 *
 * @param init script of guest/ that is `/init`
 * @param more files of the root that are there as well, by path without a leading slash
 */
export function initramfs(
  { root, kernelRelease }: Pick<GuestBase, "root" | "kernelRelease">,
  init: string,
  modules: readonly string[],
  more: readonly CpioEntry[] = [],
): Uint8Array<ArrayBuffer> {
  const modulesDir = `${root}/usr/lib/modules/${kernelRelease}`;
  const order = loadOrder(modulesDir, modules);
  const base = (path: string) => path.slice(path.lastIndexOf("/") + 1);
  const entries: CpioEntry[] = [
    { path: "bin", mode: 0o040755 },
    { path: "modules", mode: 0o040755 },
    { path: "init", mode: 0o100755, data: Deno.readFileSync(`${HERE}guest/${init}`) },
    { path: "bin/busybox", mode: 0o100755, data: Deno.readFileSync(`${root}/bin/busybox`) },
    { path: "modules/order", mode: 0o100644, data: new TextEncoder().encode(order.map(base).join("\n") + "\n") },
    ...order.map((p) => ({
      path: `modules/${base(p)}`,
      mode: 0o100644,
      data: Deno.readFileSync(`${modulesDir}/${p}`),
    })),
    ...more,
  ];
  return cpio(entries);
}

/** Makes an ext4 image of a directory; sparse, so that room left in it costs nothing. */
export function makeImage(dir: string, image: string, spareMiB = 64): void {
  const kib = Number(text(run("du", ["-sk", "--apparent-size", dir])).split("\t")[0]);
  const size = Math.ceil(kib / 1024 * 1.25) + spareMiB;
  run("mke2fs", ["-q", "-F", "-t", "ext4", "-m", "0", "-O", "^has_journal", "-d", dir, image, `${size}M`]);
}

/** Makes the root. One of another architecture is unpacked and not configured: its programs do not run here. */
function makeRoot(arch: Arch, packages: readonly string[], root: string, foreign: boolean): void {
  const excluded = ["doc", "man", "locale", "info"].map((d) => `--dpkgopt=path-exclude=/usr/share/${d}/*`);
  const unpacked = ["--variant=extract", "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"];
  run("mmdebstrap", [
    "--quiet",
    ...(foreign ? unpacked : ["--variant=minbase"]),
    "--format=directory",
    `--architectures=${arch}`,
    ...excluded,
    `--include=${[...packages, ...(foreign ? UNCONFIGURED_PACKAGES : [])].join(",")}`,
    release(),
    root,
    ...sources(),
  ]);
  if (!foreign) return;
  run("cp", [`${root}/usr/share/base-passwd/passwd.master`, `${root}/etc/passwd`]);
  run("cp", [`${root}/usr/share/base-passwd/group.master`, `${root}/etc/group`]);
}

async function build(arch: Arch, packages: readonly string[], dir: string): Promise<GuestBase> {
  Deno.mkdirSync(dir, { recursive: true });
  for (const { name } of Deno.readDirSync(dir)) Deno.removeSync(`${dir}/${name}`, { recursive: true });
  const root = `${dir}/root`;
  const foreign = text(run("dpkg", ["--print-architecture"])).trim() !== arch;
  makeRoot(arch, packages, root, foreign);
  if (!foreign) addKernel(kernelPackage(), dir, root);
  const kernelRelease = [...Deno.readDirSync(`${root}/usr/lib/modules`)][0]?.name ?? "";
  // The machine itself need not have depmod, so that of a root that runs here is used.
  const script = 'mount --make-rprivate / && mount --bind "$2" "$1/mnt" && chroot "$1" depmod -b "$3" "$4"';
  const [runs, inside] = foreign ? [(await guestBase()).root, "/mnt"] : [root, "/"];
  run("unshare", ["-m", "sh", "-c", script, "sh", runs, root, inside, kernelRelease]);
  const made: GuestBase = {
    arch,
    foreign,
    root,
    image: `${dir}/base.ext4`,
    kernel: `${dir}/vmlinuz`,
    initramfs: `${dir}/initramfs`,
    kernelRelease,
    ...BOARDS[arch],
  };
  Deno.copyFileSync(`${root}/boot/vmlinuz-${kernelRelease}`, made.kernel);
  Deno.removeSync(`${root}/boot`, { recursive: true });
  Deno.writeFileSync(made.initramfs, initramfs(made, "first.sh", FIRST_MODULES));
  makeImage(root, made.image);
  return made;
}

/**
 * The cached Debian; made when it is missing, which takes about a minute and fetches some 80 MB. Several processes may ask at once.
 *
 * @param extra more packages, such as podman for the benchmark
 */
export async function guestBase(arch: Arch = "amd64", extra: readonly string[] = []): Promise<GuestBase> {
  const packages = [...GUEST_PACKAGES, ...extra];
  const versions = candidates(["linux-image-cloud-amd64", ...packages]);
  const first = Deno.readTextFileSync(`${HERE}guest/first.sh`);
  const recipe = JSON.stringify({ VERSION, arch, release: release(), versions, first, FIRST_MODULES });
  const name = `vm-base-${createHash("sha256").update(recipe).digest("hex").slice(0, 12)}`;
  const whole = (base: GuestBase) =>
    [base.image, base.kernel, base.initramfs].every((p) => Deno.statSync(p).isFile) &&
    Deno.statSync(base.root).isDirectory;
  const base = await cached(name, whole, () => build(arch, packages, `${CACHE_DIR}/${name}`));
  pruneCache("vm-base", name, KEEP);
  return base;
}

if (import.meta.main) console.log(await guestBase());
