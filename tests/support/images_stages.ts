/**
 * In-process doubles of the pull, extract and rootfs stages for tests of the image store: a registry is an OCI layout
 * directory, a layer is its tar beside a layer.json. They verify digests as the real ones do, and can be made to fail.
 */

import { createHash } from "node:crypto";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { NyxError } from "../../daemon/spec/errors.ts";
import { layerDir } from "../../daemon/spec/layer_store.ts";
import { parseReference } from "../../daemon/spec/reference.ts";
import { selectPlatform } from "../../daemon/spec/platform.ts";
import type { Descriptor, ImageIndex, ImageManifest } from "../../daemon/spec/image.ts";
import type { CallOptions } from "../../workers/host.ts";
import type { StageTypes } from "../../workers/envelope.ts";
import type { ExtractStage, PullStage, RootfsStage } from "../../workers/protocol.ts";
import { ByteReceiver, ByteSender } from "../../workers/channel.ts";
import type { StageHost } from "../../daemon/images/workers.ts";
import { blobPath } from "./oci.ts";

type Handlers<S extends StageTypes> = {
  [K in keyof S["ops"]]?: (
    request: S["ops"][K]["request"],
    options: CallOptions<S["ops"][K]["progress"]>,
  ) => Promise<S["ops"][K]["result"]>;
};

/** A stage host that answers from functions of this thread. */
export function stageDouble<S extends StageTypes>(handlers: Handlers<S>): StageHost<S> & { calls: string[] } {
  const calls: string[] = [];
  let pending = 0;
  return {
    calls,
    ready: Promise.resolve(),
    get pending() {
      return pending;
    },
    terminate: () => {},
    async call(op, request, options = {}) {
      calls.push(op);
      const handler = handlers[op];
      if (handler === undefined) throw new NyxError("unimplemented", `No double for ${op}`);
      pending++;
      try {
        options.signal?.throwIfAborted();
        return await handler(request, options);
      } finally {
        pending--;
      }
    },
  };
}

/** Things a test can do to the doubles. */
export interface StageFaults {
  /** Called before a blob is sent; may throw or wait. */
  beforeFetch?: (digest: string, signal: AbortSignal | undefined) => Promise<void>;
  /** Called before a layer is committed; may throw. */
  beforeCommit?: (diffId: string) => Promise<void>;
  /** Called before a tree is removed; may throw. */
  beforeRemove?: (path: string) => Promise<void>;
}

/** The doubles and what they counted. */
export interface StageDoubles {
  pull: StageHost<PullStage> & { calls: string[] };
  extract: StageHost<ExtractStage> & { calls: string[] };
  rootfs: StageHost<RootfsStage> & { calls: string[] };
  /** Blobs that were downloaded, in order. */
  downloads: string[];
  faults: StageFaults;
}

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

function inflate(bytes: Uint8Array): Uint8Array {
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return gunzipSync(bytes);
  if (bytes[0] === 0x28 && bytes[1] === 0xb5) return zstdDecompressSync(bytes);
  return bytes;
}

/** Bytes on disk of each path, as du counts them. */
export async function du(...paths: string[]): Promise<number[]> {
  const { stdout } = await new Deno.Command("du", { args: ["-s", "-B1", ...paths] }).output();
  return new TextDecoder().decode(stdout).trim().split("\n").map((l) => Number(l.split("\t")[0]));
}

/**
 * Doubles over a registry of layouts.
 *
 * @param imagesDir images/ of the store
 * @param layouts layout directory by canonical repository (`example.com/app`)
 */
export function stageDoubles(imagesDir: string, layouts: Map<string, string>): StageDoubles {
  const downloads: string[] = [];
  const faults: StageFaults = {};
  const layoutOf = (ref: string) => {
    const { domain, path } = parseReference(ref);
    const dir = layouts.get(`${domain}/${path}`);
    if (dir === undefined) throw new NyxError("not_found", `No repository ${domain}/${path}`, { op: "pull.resolve" });
    return dir;
  };
  const pull = stageDouble<PullStage>({
    resolve: (request) => Promise.resolve(resolve(layoutOf(request.ref), request)),
    fetchBlob: async ({ ref, descriptor, port }, { signal, onProgress }) => {
      const sender = port === undefined ? undefined : new ByteSender(port);
      try {
        await faults.beforeFetch?.(descriptor.digest, signal);
        signal?.throwIfAborted();
        const bytes = await Deno.readFile(blobPath(layoutOf(ref), descriptor.digest));
        downloads.push(descriptor.digest);
        onProgress?.({ current: bytes.byteLength, size: descriptor.size });
        await sender?.send(bytes.slice());
        if (sha256(bytes) !== descriptor.digest) {
          throw new NyxError("data_loss", `Blob ${descriptor.digest} is corrupt`, { op: "pull.fetchBlob" });
        }
        await Deno.mkdir(`${imagesDir}/blobs/sha256`, { recursive: true });
        await Deno.writeFile(blobPath(imagesDir, descriptor.digest), bytes);
        sender?.end();
        return { digest: descriptor.digest, size: bytes.byteLength, downloaded: bytes.byteLength };
      } catch (e) {
        sender?.fail(e);
        throw e;
      }
    },
  });
  const extract = stageDouble<ExtractStage>({
    layer: async ({ layersDir, blob, diffId, source }, { signal }) => {
      const parts: Uint8Array[] = [];
      if (source.kind === "file") parts.push(await Deno.readFile(source.path));
      else for await (const chunk of new ByteReceiver(source.port)) parts.push(chunk);
      const bytes = new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer());
      if (sha256(bytes) !== blob.digest) throw new NyxError("data_loss", "blob differs", { op: "extract.layer" });
      const tar = inflate(bytes);
      if (sha256(tar) !== diffId) throw new NyxError("data_loss", "diffID differs", { op: "extract.layer" });
      await faults.beforeCommit?.(diffId);
      signal?.throwIfAborted();
      return await commitLayer(layersDir, diffId, tar);
    },
    clean: async ({ layersDir }) => {
      let temporary = 0;
      for await (const { name } of Deno.readDir(layersDir)) {
        if (!name.startsWith(".tmp-")) continue;
        await Deno.remove(`${layersDir}/${name}`, { recursive: true });
        temporary++;
      }
      return { temporary, lost: [] };
    },
    sync: () => Promise.resolve({ synced: 0 }),
  });
  const rootfs = stageDouble<RootfsStage>({
    removeTree: async ({ path }) => {
      await faults.beforeRemove?.(path);
      await Deno.remove(path, { recursive: true });
      return { removed: true };
    },
    usage: async ({ paths }) => ({ bytes: await du(...paths) }),
  });
  return { pull, extract, rootfs, downloads, faults };
}

async function commitLayer(layersDir: string, diffId: string, tar: Uint8Array) {
  const dir = layerDir(layersDir, diffId);
  const tmp = `${layersDir}/.tmp-${crypto.randomUUID()}`;
  await Deno.mkdir(`${tmp}/fs`, { recursive: true });
  await Deno.writeFile(`${tmp}/fs/content`, tar);
  const layer = { diffId, tarSize: tar.byteLength, diskBytes: 0, entries: 1 };
  const record = { version: 1, ...layer, bootId: "test" };
  await Deno.writeTextFile(`${tmp}/durable`, "");
  await Deno.writeTextFile(`${tmp}/layer.json`, JSON.stringify(record));
  layer.diskBytes = (await du(tmp))[0] ?? 0;
  await Deno.writeTextFile(`${tmp}/layer.json`, JSON.stringify({ ...record, diskBytes: layer.diskBytes }));
  await Deno.rename(tmp, dir);
  return layer;
}

function resolve(dir: string, request: PullStage["ops"]["resolve"]["request"]): PullStage["ops"]["resolve"]["result"] {
  const { tag, digest } = parseReference(request.ref);
  const index: ImageIndex = JSON.parse(Deno.readTextFileSync(`${dir}/index.json`));
  let root: Descriptor | undefined = index.manifests.find((m) =>
    digest === undefined ? m.annotations?.["org.opencontainers.image.ref.name"] === tag : m.digest === digest
  );
  if (root === undefined) throw new NyxError("not_found", `No tag ${tag}`, { op: "pull.resolve" });
  let indexed = {};
  if (/index|list/.test(root.mediaType)) {
    const indexBytes = Deno.readFileSync(blobPath(dir, root.digest));
    indexed = { indexDigest: root.digest, indexBytes, indexMediaType: root.mediaType };
    root = selectPlatform(request.platform, (JSON.parse(new TextDecoder().decode(indexBytes)) as ImageIndex).manifests);
    if (root === undefined) throw new NyxError("not_found", "No such platform", { op: "pull.resolve" });
  }
  const manifestBytes = Deno.readFileSync(blobPath(dir, root.digest));
  const manifest: ImageManifest = JSON.parse(new TextDecoder().decode(manifestBytes));
  return {
    ...indexed,
    manifestDigest: root.digest,
    manifestMediaType: root.mediaType,
    manifestBytes,
    configBytes: Deno.readFileSync(blobPath(dir, manifest.config.digest)),
  };
}
