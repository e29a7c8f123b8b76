/**
 * A real Debian root of 15,000+ entries, made once by mmdebstrap from the mirrors that the machine is set up for, and cached. Needs
 * root and mmdebstrap; takes about a minute the first time.
 */

import { createHash } from "node:crypto";
import { AT_FDCWD, LOCK, O, OwnedFd } from "../../ffi/file.ts";
import { linuxFile } from "../../ffi/linux/file.ts";
import { splitTar } from "./split_tar.ts";
import { run } from "./random_tree.ts";

/** Where roots are kept between runs. */
export const CACHE_DIR = Deno.env.get("NYX_TEST_CACHE") ?? "/var/tmp/nyx-test-cache";

/** One compressed layer on disk. */
export interface CachedLayer {
  /** Path of the gzip file. */
  path: string;
  /** Digest of the gzip file, with algorithm. */
  digest: string;
  /** Bytes of the gzip file. */
  size: number;
  /** Digest of the tar within. */
  diffId: string;
}

/** A cached root. */
export interface DebianRoot {
  /** Uncompressed tar, as mmdebstrap wrote it. */
  tar: string;
  /** Members of the tar. */
  entries: number;
  /** The whole root as one gzip layer. */
  layer: CachedLayer;
}

const VERSION = 1;
/** What is installed on top of minbase, chosen for many small files, links and directories. */
const PACKAGES = ["python3", "perl", "git", "vim", "tzdata", "locales", "ca-certificates", "gcc", "manpages", "file"];

/** Codename of the Debian that this machine runs. */
export function release(): string {
  const codename = /^VERSION_CODENAME=(.*)$/m.exec(Deno.readTextFileSync("/etc/os-release"))?.[1];
  return codename ?? "stable";
}

/** The machine's own sources, so that its mirror and keys are used. */
export function sources(): string[] {
  for (const path of ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"]) {
    try {
      if (Deno.statSync(path).size > 0) return [path];
    } catch {
      // The other one, or mmdebstrap's default mirror.
    }
  }
  return [];
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  using file = await Deno.open(path);
  for await (const chunk of file.readable) hash.update(chunk);
  return `sha256:${hash.digest("hex")}`;
}

/** Compresses a tar beside itself and describes it. */
export async function gzipLayer(tar: string): Promise<CachedLayer> {
  const path = `${tar}.gz`;
  run("sh", ["-c", 'gzip -6 -n -c "$1" >"$2"', "sh", tar, path]);
  return { path, digest: await hashFile(path), size: Deno.statSync(path).size, diffId: await hashFile(tar) };
}

async function build(tar: string): Promise<DebianRoot> {
  const partial = `${tar}.partial.tar`;
  run("mmdebstrap", [
    "--quiet",
    "--variant=minbase",
    `--include=${PACKAGES.join(",")}`,
    release(),
    partial,
    ...sources(),
  ]);
  Deno.renameSync(partial, tar);
  const entries = new TextDecoder().decode(run("tar", ["-tf", tar])).split("\n").length - 1;
  return { tar, entries, layer: await gzipLayer(tar) };
}

/** Holds the cache for one process at a time and gives what a record says, or makes it. */
export async function cached<T>(name: string, valid: (value: T) => boolean, make: () => Promise<T>): Promise<T> {
  Deno.mkdirSync(CACHE_DIR, { recursive: true });
  const k = linuxFile();
  using lock = new OwnedFd(k, k.openat(AT_FDCWD, `${CACHE_DIR}/${name}.lock`, O.CREAT | O.RDWR | O.CLOEXEC, 0o600));
  k.flock(lock.fd, LOCK.EX);
  const record = `${CACHE_DIR}/${name}.json`;
  try {
    const value: T = JSON.parse(Deno.readTextFileSync(record));
    if (valid(value)) return value;
  } catch {
    // Not there yet, or only half.
  }
  const value = await make();
  Deno.writeTextFileSync(`${record}.tmp`, JSON.stringify(value));
  Deno.renameSync(`${record}.tmp`, record);
  return value;
}

function key(): string {
  const recipe = JSON.stringify({ VERSION, release: release(), PACKAGES });
  return createHash("sha256").update(recipe).digest("hex").slice(0, 12);
}

const whole = (layer: CachedLayer) => Deno.statSync(layer.path).size === layer.size;

/**
 * The cached root; made when it is missing. Several processes may ask at once.
 *
 * @throws Error when mmdebstrap is missing or fails, with its own words
 */
export async function debianRoot(): Promise<DebianRoot> {
  const valid = (root: DebianRoot) => Deno.statSync(root.tar).isFile && whole(root.layer);
  return await cached(`debian-${key()}`, valid, () => build(`${CACHE_DIR}/debian-${key()}.tar`));
}

/** The same root cut into `count` gzip layers, bottom first; cached too. */
export async function debianLayers(count: number): Promise<CachedLayer[]> {
  const root = await debianRoot();
  const name = `debian-${key()}-${count}`;
  return await cached(name, (layers: CachedLayer[]) => layers.length === count && layers.every(whole), async () => {
    const layers: CachedLayer[] = [];
    for (const [i, content] of splitTar(Deno.readFileSync(root.tar), count).entries()) {
      const path = `${CACHE_DIR}/${name}-${i}.tar`;
      Deno.writeFileSync(path, content);
      layers.push(await gzipLayer(path));
      Deno.removeSync(path);
    }
    return layers;
  });
}
