/**
 * A Debian package of nyx, made with dpkg-deb alone. The same source and the same deno give the same bytes.
 *
 * It is called nyx-engine, because Debian has a package nyx (a monitor for Tor), whose /usr/bin/nyx it conflicts with. It carries the
 * Deno runtime, which Debian does not have, as /usr/lib/nyx/deno.
 */

import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { VERSION } from "../../../daemon/spec/version.ts";
import { NyxError } from "../../../mod.ts";
import { COMPLETION_SCRIPTS } from "../../completion_scripts.ts";
import { bundle, type Bundles } from "../bundle.ts";
import { debianChangelog, parseChangelog } from "../changelog.ts";
import { type Architecture, checkRuntime, HOST_ARCHITECTURE } from "../compile.ts";
import { bundled, nyxdLauncher, nyxLauncher } from "../launchers.ts";
import { manualPages } from "../man.ts";
import { output } from "../stage.ts";
import { COPYRIGHT } from "./copyright.ts";
import { POSTINST, POSTRM, PRERM } from "./scripts.ts";

/** Name of the package. */
export const PACKAGE = "nyx-engine";

/** How dpkg-deb can compress it. */
export const COMPRESSIONS = ["xz", "gzip", "none"] as const;

const LIB = "/usr/lib/nyx";
const DOC = `/usr/share/doc/${PACKAGE}`;
/** npm packages that hold the runtime, by architecture. */
const RUNTIMES = { amd64: "@deno/linux-x64-glibc", arm64: "@deno/linux-arm64-glibc" } as const;

/** What to package. */
export interface DebOptions {
  /** Directory of the source, without a slash at its end. */
  root: string;
  outDir: string;
  architecture: Architecture;
  /** Instead of the source's own, for a test of upgrades. */
  version?: string;
  /** Binary of the runtime to carry, instead of this machine's or npm's. */
  deno?: string;
  /** Default xz, which takes most of a minute. */
  compression?: (typeof COMPRESSIONS)[number];
  /** Bill of materials to put beside the copyright. */
  sbom?: string;
  /** Bundles of this source and version that are there already, instead of ones made for the package alone. */
  bundles?: Bundles;
}

/** Who answers for the package: DEBFULLNAME and DEBEMAIL, as Debian's own tools have it. */
function maintainer(): string {
  return `${Deno.env.get("DEBFULLNAME") ?? "nyx maintainers"} <${Deno.env.get("DEBEMAIL") ?? "nyx@packages.invalid"}>`;
}

/** Writes into a directory that is to become a root. */
class Tree {
  readonly dir: string;

  constructor(dir: string) {
    this.dir = dir;
  }

  #below(path: string): string {
    const full = `${this.dir}${path}`;
    const parent = full.slice(0, full.lastIndexOf("/"));
    Deno.mkdirSync(parent, { recursive: true });
    return full;
  }

  file(path: string, content: string | Uint8Array, mode = 0o644): void {
    const full = this.#below(path);
    Deno.writeFileSync(full, typeof content === "string" ? new TextEncoder().encode(content) : content);
    Deno.chmodSync(full, mode);
  }

  gzip(path: string, content: string): void {
    // Level 9 and no name or time in the header, as Debian wants it.
    this.file(`${path}.gz`, gzipSync(content, { level: 9 }));
  }

  link(path: string, target: string): void {
    Deno.symlinkSync(target, this.#below(path));
  }

  directory(path: string): void {
    Deno.mkdirSync(`${this.dir}${path}`, { recursive: true });
  }

  /** Gives all directories the mode that they shall have, whatever the umask. */
  openDirectories(below = ""): void {
    Deno.chmodSync(`${this.dir}${below}`, 0o755);
    for (const { name, isDirectory } of Deno.readDirSync(`${this.dir}${below}`)) {
      if (isDirectory) this.openDirectories(`${below}/${name}`);
    }
  }

  /** Paths of all regular files, sorted. */
  files(below = ""): string[] {
    return [...Deno.readDirSync(`${this.dir}${below}`)].flatMap(({ name, isDirectory, isFile }) =>
      isDirectory ? this.files(`${below}/${name}`) : isFile ? [`${below}/${name}`] : []
    ).sort();
  }
}

/**
 * The deno binary of an architecture: the one that was named, for this machine's the one that runs now, or npm's, which checks its digest.
 */
async function runtime({ architecture, deno }: DebOptions, scratch: string): Promise<Uint8Array> {
  if (deno !== undefined) {
    checkRuntime("--deno", deno, architecture);
    return Deno.readFileSync(deno);
  }
  if (architecture === HOST_ARCHITECTURE) return Deno.readFileSync(Deno.execPath());
  const spec = `${RUNTIMES[architecture]}@${Deno.version.deno}`;
  try {
    const file = await output("npm", ["pack", "--loglevel=error", "--pack-destination", scratch, spec]);
    await output("tar", ["-xzf", `${scratch}/${file.split("\n").at(-1)}`, "-C", scratch]);
    return Deno.readFileSync(`${scratch}/package/deno`);
  } catch (e) {
    throw new NyxError(
      "unavailable",
      `Could not package for ${architecture}: npm did not give ${spec} (${
        e instanceof Error ? e.message.split("\n").find((line) => line.includes("notarget")) ?? e.message : e
      }); name a deno binary for it with --deno, or choose this machine's architecture with --arch ${HOST_ARCHITECTURE}`,
    );
  }
}

/** The unit that `task install` documents, for programs in /usr/bin. */
function unit(root: string): string {
  const text = Deno.readTextFileSync(`${root}/daemon/nyxd.service`);
  if (!text.includes("=/usr/local/bin/nyxd ")) {
    throw new NyxError("internal", "Could not package: nyxd.service starts another nyxd");
  }
  return text.replaceAll("/usr/local/bin/", "/usr/bin/");
}

function control(version: string, architecture: Architecture, installedKiB: number): string {
  return `Package: ${PACKAGE}
Version: ${version}
Architecture: ${architecture}
Maintainer: ${maintainer()}
Installed-Size: ${installedKiB}
Depends: crun, nftables, libnftables1, libseccomp2, libc6 (>= 2.27), libgcc-s1, mount, passwd, init-system-helpers (>= 1.54)
Recommends: catatonit | tini, libisal2, libzstd1, ca-certificates
Suggests: bash-completion, buildah, containernetworking-plugins
Conflicts: nyx
Section: admin
Priority: optional
Description: container engine for one host: daemon and command line
 nyxd runs OCI images from any registry: overlayfs, networks by netlink and
 nftables, crun, logs, restarts, health checks, compose files, and an HTTP API
 on a unix socket. nyx is its command line, with the options of docker.
 .
 Containers outlive the daemon: it can be killed or upgraded, they go on, and
 nothing they print is lost.
`;
}

const OVERRIDES = [
  // The runtime is its publisher's binary, as it is.
  "embedded-library",
  "hardening-no-relro",
  "spelling-error-in-binary",
  "binary-has-unneeded-section",
].map((tag) => `${PACKAGE}: ${tag} *usr/lib/nyx/deno*\n`).join("") +
  // nyxd runs under other inits, too; who has one starts it as any daemon.
  `${PACKAGE}: package-supports-alternative-init-but-no-init.d-script *nyxd.service*\n`;

/** Fills the tree but for the control files, and gives when its source last changed, in RFC 3339. */
async function fill(tree: Tree, options: DebOptions, scratch: string): Promise<string> {
  const { root, version = VERSION } = options;
  const bundles = options.bundles ?? await bundle({ root, outDir: `${scratch}/bundles`, version });
  for (const file of [...bundles.programs, ...bundles.workers]) {
    tree.file(`${LIB}/${file}`, Deno.readFileSync(`${bundles.dir}/${file}`));
  }
  tree.file(`${LIB}/deno`, await runtime(options, scratch), 0o755);
  const deno = `${LIB}/deno`;
  tree.file("/usr/bin/nyx", nyxLauncher(bundled(deno, LIB, "nyx")), 0o755);
  tree.file("/usr/bin/nyxd", nyxdLauncher(bundled(deno, LIB, "nyxd"), "/var/cache/nyx"), 0o755);
  tree.directory("/var/cache/nyx");
  tree.file("/usr/lib/systemd/system/nyxd.service", unit(root));
  tree.file("/usr/share/bash-completion/completions/nyx", COMPLETION_SCRIPTS["bash"] ?? "");
  tree.file("/usr/share/zsh/vendor-completions/_nyx", COMPLETION_SCRIPTS["zsh"] ?? "");
  tree.file("/usr/share/fish/vendor_completions.d/nyx.fish", COMPLETION_SCRIPTS["fish"] ?? "");
  const releases = parseChangelog(Deno.readTextFileSync(`${root}/docs/CHANGELOG.md`));
  const { buildDate } = bundles.build;
  // Outside a checkout that is its newest release.
  const changed = buildDate === "unknown" ? `${releases[0]?.date ?? "1970-01-01"}T00:00:00Z` : buildDate;
  const date = changed.slice(0, 10);
  for (const [file, page] of await manualPages({ version, date })) {
    const path = `/usr/share/man/man${file.at(-1)}/${file}`;
    if ("text" in page) tree.gzip(path, page.text);
    else tree.link(`${path}.gz`, `${page.linkTo}.gz`);
  }
  const changes = releases[0]?.version === version ? releases : [{ version, date, text: "- A build." }, ...releases];
  tree.gzip(`${DOC}/changelog`, debianChangelog(changes, PACKAGE, maintainer()));
  tree.file(`${DOC}/copyright`, COPYRIGHT);
  if (options.sbom !== undefined) tree.file(`${DOC}/sbom.cdx.json`, options.sbom);
  tree.file(`/usr/share/lintian/overrides/${PACKAGE}`, OVERRIDES);
  return changed;
}

/** Control files, which need to know all others. */
function fillControl(tree: Tree, options: DebOptions): void {
  const files = tree.files();
  const sums = files.map((path) =>
    `${createHash("md5").update(Deno.readFileSync(`${tree.dir}${path}`)).digest("hex")}  ${path.slice(1)}\n`
  );
  const kib = files.reduce((sum, path) => sum + Math.ceil(Deno.statSync(`${tree.dir}${path}`).size / 1024), 0);
  tree.file("/DEBIAN/control", control(options.version ?? VERSION, options.architecture, kib));
  tree.file("/DEBIAN/md5sums", sums.join(""));
  for (const [name, text] of [["postinst", POSTINST], ["prerm", PRERM], ["postrm", POSTRM]] as const) {
    tree.file(`/DEBIAN/${name}`, text, 0o755);
  }
}

/**
 * Makes the package.
 *
 * @returns its path
 * @throws NyxError when dpkg-deb is missing or fails, or the runtime of another architecture cannot be had
 */
export async function deb(options: DebOptions): Promise<string> {
  const { outDir, architecture, version = VERSION, compression = "xz" } = options;
  const scratch = Deno.makeTempDirSync({ prefix: "nyx-deb-" });
  try {
    const tree = new Tree(`${scratch}/root`);
    Deno.mkdirSync(tree.dir);
    const changed = await fill(tree, options, scratch);
    fillControl(tree, options);
    tree.openDirectories();
    Deno.mkdirSync(outDir, { recursive: true });
    const path = `${outDir}/${PACKAGE}_${version}_${architecture}.deb`;
    const epoch = String(Math.floor(Date.parse(changed) / 1000));
    await output("dpkg-deb", ["--root-owner-group", `-Z${compression}`, "--build", tree.dir, path], {
      // One thread: how xz cuts its blocks depends on their number.
      env: { SOURCE_DATE_EPOCH: epoch, DPKG_DEB_THREADS_MAX: "1", LC_ALL: "C.UTF-8" },
    });
    return path;
  } finally {
    Deno.removeSync(scratch, { recursive: true });
  }
}
