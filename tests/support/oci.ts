/** OCI images for tests, built in memory and written as an OCI image layout (image-spec v1.1), and pushed with skopeo. */

import { createHash } from "node:crypto";
import { gzipSync, zstdCompressSync } from "node:zlib";
import {
  type Descriptor,
  type HistoryEntry,
  type ImageConfig,
  type ImageExecConfig,
  type ImageIndex,
  type ImageManifest,
  MEDIA_TYPES,
  type Platform,
} from "../../daemon/spec/image.ts";
import { tar, type TarEntry } from "./tar_writer.ts";

export { tar, type TarEntry } from "./tar_writer.ts";

/** What an image of a test is made of. */
export interface BuildImageOptions {
  /** Bottom first; each a whole tar or its entries. */
  layers: (Uint8Array | readonly TarEntry[])[];
  config?: ImageExecConfig;
  /** Of every layer. Default gzip. */
  compression?: "gzip" | "zstd" | "none";
  /** Docker schema 2 media types instead of OCI's. */
  docker?: boolean;
  /** Default linux/amd64. */
  platform?: Platform;
  /** RFC 3339. Default 2024-01-02T03:04:05Z. */
  created?: string;
  history?: HistoryEntry[];
  /** Laid over the finished config document, for odd or broken ones. */
  configPatch?: Record<string, unknown>;
  /** Laid over the finished manifest, for odd or broken ones. */
  manifestPatch?: Record<string, unknown>;
}

/** Where a layout is written. */
export interface LayoutOptions {
  /** Layout directory, made when missing and added to when it exists. Default: a new temp directory, which the caller removes. */
  dir?: string;
  /** Tag in index.json (org.opencontainers.image.ref.name). Default "latest". */
  tag?: string;
}

/** An image in a layout. */
export interface BuiltImage {
  /** Layout directory. */
  dir: string;
  tag: string;
  /** Descriptor of the manifest. */
  manifest: Descriptor;
  manifestDigest: string;
  manifestBytes: Uint8Array;
  /** Image id. */
  configDigest: string;
  configBytes: Uint8Array;
  config: ImageConfig;
  diffIds: string[];
  /** Descriptors of the layer blobs, bottom first. */
  layers: Descriptor[];
}

const encoder = new TextEncoder();

/** sha256 digest with its algorithm. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Path of a blob in a layout. */
export function blobPath(dir: string, digest: string): string {
  return `${dir}/blobs/${digest.replace(":", "/")}`;
}

function writeBlob(dir: string, mediaType: string, bytes: Uint8Array): Descriptor {
  const digest = digestOf(bytes);
  Deno.mkdirSync(`${dir}/blobs/sha256`, { recursive: true });
  Deno.writeFileSync(blobPath(dir, digest), bytes);
  return { mediaType, digest, size: bytes.byteLength };
}

function layoutDir(options: LayoutOptions): string {
  const dir = options.dir ?? Deno.makeTempDirSync({ prefix: "nyx-oci-" });
  Deno.mkdirSync(`${dir}/blobs/sha256`, { recursive: true });
  Deno.writeTextFileSync(`${dir}/oci-layout`, `{"imageLayoutVersion":"1.0.0"}`);
  return dir;
}

/** Adds a descriptor to index.json under a tag; an earlier holder of the tag is replaced. */
export function tagInLayout(dir: string, tag: string, descriptor: Descriptor): void {
  const path = `${dir}/index.json`;
  let index: ImageIndex = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [] };
  try {
    index = JSON.parse(Deno.readTextFileSync(path));
  } catch (e) {
    if (!(e instanceof Deno.errors.NotFound)) throw e;
  }
  const refName = "org.opencontainers.image.ref.name";
  const manifests = index.manifests.filter((m) => m.annotations?.[refName] !== tag);
  manifests.push({ ...descriptor, annotations: { ...descriptor.annotations, [refName]: tag } });
  Deno.writeTextFileSync(path, JSON.stringify({ ...index, manifests }));
}

function compress(layer: Uint8Array, compression: "gzip" | "zstd" | "none"): Uint8Array {
  if (compression === "none") return layer;
  return compression === "gzip" ? gzipSync(layer, { level: 6 }) : zstdCompressSync(layer);
}

function layerMediaType(compression: "gzip" | "zstd" | "none", docker: boolean): string {
  if (compression === "zstd") return MEDIA_TYPES.ociLayerZstd;
  if (compression === "none") return docker ? MEDIA_TYPES.dockerLayer : MEDIA_TYPES.ociLayer;
  return docker ? MEDIA_TYPES.dockerLayerGzip : MEDIA_TYPES.ociLayerGzip;
}

function writeImage(dir: string, options: BuildImageOptions): Omit<BuiltImage, "tag"> {
  const { compression = "gzip", docker = false, platform = { os: "linux", architecture: "amd64" } } = options;
  const created = options.created ?? "2024-01-02T03:04:05Z";
  const tars = options.layers.map((l) => l instanceof Uint8Array ? l : tar(l));
  const diffIds = tars.map(digestOf);
  const layers = tars.map((t) => writeBlob(dir, layerMediaType(compression, docker), compress(t, compression)));
  const config: ImageConfig = {
    created,
    ...platform,
    config: options.config ?? {},
    rootfs: { type: "layers", diff_ids: diffIds },
    history: options.history ?? tars.map((_, i) => ({ created, created_by: `test layer ${i}` })),
    ...options.configPatch,
  };
  const configBytes = encoder.encode(JSON.stringify(config));
  const configType = docker ? MEDIA_TYPES.dockerConfig : MEDIA_TYPES.ociConfig;
  const manifest: ImageManifest = {
    schemaVersion: 2,
    mediaType: docker ? MEDIA_TYPES.dockerManifest : MEDIA_TYPES.ociManifest,
    config: writeBlob(dir, configType, configBytes),
    layers,
    ...options.manifestPatch,
  };
  const manifestBytes = encoder.encode(JSON.stringify(manifest));
  const descriptor = writeBlob(dir, manifest.mediaType ?? MEDIA_TYPES.ociManifest, manifestBytes);
  return {
    dir,
    manifest: { ...descriptor, platform },
    manifestDigest: descriptor.digest,
    manifestBytes,
    configDigest: manifest.config.digest,
    configBytes,
    config,
    diffIds,
    layers,
  };
}

/** Writes one image as an OCI layout. */
export function buildImage(options: BuildImageOptions & LayoutOptions): BuiltImage {
  const dir = layoutDir(options);
  const tag = options.tag ?? "latest";
  const built = writeImage(dir, options);
  tagInLayout(dir, tag, built.manifest);
  return { ...built, tag };
}

/** A multi-platform index in a layout. */
export interface BuiltIndex {
  dir: string;
  tag: string;
  indexDigest: string;
  images: BuiltImage[];
}

/** Writes several images and an image index (or, with `docker`, a manifest list) over them under one tag. */
export function buildIndex(
  images: readonly BuildImageOptions[],
  options: LayoutOptions & { docker?: boolean } = {},
): BuiltIndex {
  const dir = layoutDir(options);
  const tag = options.tag ?? "latest";
  const built = images.map((image) => ({ ...writeImage(dir, image), tag }));
  const mediaType = options.docker ? MEDIA_TYPES.dockerList : MEDIA_TYPES.ociIndex;
  const index: ImageIndex = { schemaVersion: 2, mediaType, manifests: built.map((b) => b.manifest) };
  const descriptor = writeBlob(dir, mediaType, encoder.encode(JSON.stringify(index)));
  tagInLayout(dir, tag, descriptor);
  return { dir, tag, indexDigest: descriptor.digest, images: built };
}

/** How {@linkcode pushLayout} copies. */
export interface PushOptions {
  /** Every image of a multi-platform index. */
  all?: boolean;
  /** Convert the manifest: oci, v2s2. Default: unchanged, digests kept. */
  format?: "oci" | "v2s2";
  /** user:password. */
  credentials?: string;
}

/** Runs skopeo and fails with its standard error. */
export async function skopeo(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("skopeo", { args, stdout: "piped", stderr: "piped" })
    .output();
  if (!success) throw new Error(`skopeo ${args.join(" ")} failed: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

function findTag(dir: string, tag: string): Descriptor {
  const index: ImageIndex = JSON.parse(Deno.readTextFileSync(`${dir}/index.json`));
  const found = index.manifests.find((m) => m.annotations?.["org.opencontainers.image.ref.name"] === tag);
  if (found === undefined) throw new Error(`No tag ${tag} in layout ${dir}`);
  return found;
}

/** Shows a Docker image of a layout as skopeo's `dir:` transport, because its `oci:` one refuses Docker media types. */
function asDirTransport(dir: string, root: Descriptor): string {
  const out = Deno.makeTempDirSync({ prefix: "nyx-oci-dir-" });
  Deno.writeTextFileSync(`${out}/version`, "Directory Transport Version: 1.1\n");
  for (const blob of Deno.readDirSync(`${dir}/blobs/sha256`)) {
    Deno.linkSync(`${dir}/blobs/sha256/${blob.name}`, `${out}/${blob.name}`);
  }
  const hex = (digest: string) => digest.slice("sha256:".length);
  Deno.linkSync(blobPath(dir, root.digest), `${out}/manifest.json`);
  if (root.mediaType === MEDIA_TYPES.dockerList) {
    const list: ImageIndex = JSON.parse(Deno.readTextFileSync(`${out}/manifest.json`));
    for (const m of list.manifests) Deno.linkSync(blobPath(dir, m.digest), `${out}/${hex(m.digest)}.manifest.json`);
  }
  return out;
}

/**
 * Pushes a tag of a layout to a registry over plain http; all platforms with `all`, else skopeo picks the host's.
 *
 * @param destination such as `127.0.0.1:5000/repo:tag`
 */
export async function pushLayout(
  dir: string,
  tag: string,
  destination: string,
  options: PushOptions = {},
): Promise<void> {
  const args = ["copy", "--insecure-policy", "--dest-tls-verify=false"];
  if (options.all) args.push("--all");
  if (options.format) args.push("--format", options.format);
  else args.push("--preserve-digests");
  if (options.credentials) args.push("--dest-creds", options.credentials);
  const root = findTag(dir, tag);
  const docker = root.mediaType === MEDIA_TYPES.dockerManifest || root.mediaType === MEDIA_TYPES.dockerList;
  if (!docker) return void await skopeo(...args, `oci:${dir}:${tag}`, `docker://${destination}`);
  const view = asDirTransport(dir, root);
  try {
    await skopeo(...args, `dir:${view}`, `docker://${destination}`);
  } finally {
    Deno.removeSync(view, { recursive: true });
  }
}

/** Layer of Debian's static busybox; all applets are linked in /bin, so that PATH finds them. */
export function busyboxLayer(): TarEntry[] {
  const list = new Deno.Command("/bin/busybox", { args: ["--list"] }).outputSync();
  const applets = new TextDecoder().decode(list.stdout).trim().split("\n").filter((a) => a !== "busybox");
  const dirs = ["bin", "dev", "etc", "home", "proc", "run", "sys", "usr", "var", "var/tmp"];
  return [
    ...dirs.map((path): TarEntry => ({ path: `${path}/`, mode: path === "var/tmp" ? 0o1777 : 0o755 })),
    { path: "tmp/", mode: 0o1777 },
    { path: "root/", mode: 0o700 },
    {
      path: "etc/passwd",
      data: "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n" +
        "app:x:1000:1000:app:/home:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n",
    },
    { path: "etc/group", data: "root:x:0:\ndaemon:x:1:\nwheel:x:10:app\napp:x:1000:\nnogroup:x:65534:\n" },
    { path: "etc/shadow", data: "root:*:::::::\n", mode: 0o640 },
    { path: "bin/busybox", data: Deno.readFileSync("/bin/busybox"), mode: 0o755 },
    ...applets.map((a): TarEntry => ({ path: `bin/${a}`, type: "symlink", link: "busybox" })),
  ];
}

/** A small usable image: Debian's static busybox with its applets. */
export function busyboxImage(options: Partial<BuildImageOptions> & LayoutOptions = {}): BuiltImage {
  return buildImage({
    layers: [busyboxLayer()],
    ...options,
    config: {
      Cmd: ["sh"],
      Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
      ...options.config,
    },
  });
}
