/** Entry directories on disk: written so that a crash leaves the old state or the new one, and read with repair. */

import { digestOf } from "../spec/digest_verifier.ts";
import { NyxError } from "../spec/errors.ts";
import { type Descriptor, MEDIA_TYPES } from "../spec/image.ts";
import { syncDirectory, writeFileAtomic } from "../persist/atomic.ts";
import { pairLayers, parseConfig, parseJsonObject, parseManifest } from "./documents.ts";
import { ENTRY_FILES, SHA256_DIGEST, type StorePaths } from "./layout.ts";
import type { ImageRecord, RefSource } from "./records.ts";

/** Content of ref.json. */
export interface EntryMeta {
  v: 1;
  manifestDigest: string;
  manifestMediaType: string;
  indexDigest?: string;
  indexMediaType?: string;
  /** RFC 3339. */
  addedAt: string;
  source: RefSource;
  /** Repository of an untagged image. */
  repository?: string;
  /** Blobs kept in place of the manifest's own, by diffID. */
  stored?: Record<string, Descriptor>;
}

/** An entry: exact documents and what else is known. */
export interface Entry {
  manifestBytes: Uint8Array;
  configBytes: Uint8Array;
  meta: EntryMeta;
}

/** The record that an entry's documents make; throws data_loss when they do not fit together. */
export function recordOf(entry: Entry): ImageRecord {
  const { manifestBytes, configBytes, meta } = entry;
  const what = `image manifest ${meta.manifestDigest}`;
  const manifest = parseManifest(manifestBytes, what);
  const imageId = digestOf(configBytes);
  if (manifest.config.digest !== imageId) {
    throw new NyxError("data_loss", `Refused ${what}: its config has digest ${imageId}, not ${manifest.config.digest}`);
  }
  const config = parseConfig(configBytes, `image config ${imageId}`);
  return {
    manifestDigest: meta.manifestDigest,
    manifestMediaType: meta.manifestMediaType,
    manifestSize: manifestBytes.byteLength,
    imageId,
    configSize: configBytes.byteLength,
    config,
    layers: pairLayers(manifest, config, what).map((l) => ({ ...l, stored: meta.stored?.[l.diffId] ?? l.blob })),
  };
}

/** Makes a directory and its missing parents durable. */
export async function ensureDirectory(path: string): Promise<void> {
  const missing: string[] = [];
  for (let at = path; at !== ""; at = at.slice(0, at.lastIndexOf("/"))) {
    try {
      await Deno.mkdir(at, { mode: 0o700 });
      await syncDirectory(at.slice(0, at.lastIndexOf("/")) || "/");
      break;
    } catch (e) {
      if (e instanceof Deno.errors.AlreadyExists) break;
      if (!(e instanceof Deno.errors.NotFound)) throw e;
      missing.push(at);
    }
  }
  for (const dir of missing.reverse()) {
    await Deno.mkdir(dir, { mode: 0o700 }).catch((e) => {
      if (!(e instanceof Deno.errors.AlreadyExists)) throw e;
    });
    await syncDirectory(dir.slice(0, dir.lastIndexOf("/")) || "/");
  }
}

/** File contents, or undefined when it is missing. */
export async function readIfPresent(path: string): Promise<Uint8Array | undefined> {
  try {
    return await Deno.readFile(path);
  } catch (e) {
    if (e instanceof Deno.errors.NotFound) return undefined;
    throw e;
  }
}

/** Whether a file is there. */
export async function isPresent(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (e) {
    if (e instanceof Deno.errors.NotFound) return false;
    throw e;
  }
}

/** Removes a file or an empty directory; missing, or not empty, is no error. */
export async function removeQuietly(path: string): Promise<boolean> {
  try {
    await Deno.remove(path);
    return true;
  } catch (e) {
    if (e instanceof Deno.errors.NotFound) return false;
    // ENOTEMPTY has no class of its own.
    if (e instanceof Error && /os error 39|not empty/i.test(e.message)) return false;
    throw e;
  }
}

/** Writes a blob of a document. Present ones are kept: their name is their content. */
export async function writeDocumentBlob(paths: StorePaths, bytes: Uint8Array): Promise<string> {
  const digest = digestOf(bytes);
  const path = paths.blob(digest);
  if (!await isPresent(path)) await writeFileAtomic(path, bytes);
  return digest;
}

/**
 * Writes an entry; an earlier one in the directory is replaced when manifest.json is renamed into place.
 *
 * @param options `durable` false leaves out every fsync, for entries that a power cut may take
 */
export async function writeEntry(dir: string, entry: Entry, options: { durable?: boolean } = {}): Promise<void> {
  const { durable = true } = options;
  if (durable) await ensureDirectory(dir);
  else await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
  // config.json can be had again from its blob, so the one fsync of the directory that matters is the last.
  await writeFileAtomic(`${dir}/config.json`, entry.configBytes, { durable: false });
  await writeFileAtomic(`${dir}/ref.json`, JSON.stringify(entry.meta), { durable });
  await writeFileAtomic(`${dir}/manifest.json`, entry.manifestBytes, { durable });
}

/**
 * Removes an entry: manifest.json first, durably, so that what it needs may be deleted afterwards; then the rest, and the
 * directories that are empty now, up to `root`. Missing is no error.
 */
export async function removeEntry(dir: string, root: string): Promise<void> {
  if (await removeQuietly(`${dir}/manifest.json`)) await syncDirectory(dir);
  await removeQuietly(`${dir}/ref.json`);
  await removeQuietly(`${dir}/config.json`);
  for (let at = dir; at.length > root.length; at = at.slice(0, at.lastIndexOf("/"))) {
    if (!await removeQuietly(at)) break;
  }
}

function parseMeta(bytes: Uint8Array | undefined): EntryMeta | undefined {
  if (bytes === undefined) return undefined;
  try {
    const doc = parseJsonObject(bytes, "ref.json") as Partial<EntryMeta>;
    const digests = [doc.manifestDigest, doc.indexDigest ?? doc.manifestDigest];
    const whole = doc.v === 1 && typeof doc.addedAt === "string" && typeof doc.manifestMediaType === "string" &&
      digests.every((d) => typeof d === "string" && SHA256_DIGEST.test(d));
    const stored = Object.entries(doc.stored ?? {});
    if (!whole || !stored.every(([k, v]) => SHA256_DIGEST.test(k) && SHA256_DIGEST.test(v.digest))) return undefined;
    return doc as EntryMeta;
  } catch {
    return undefined;
  }
}

/** The manifest's bytes: the file's, unless only ref.json's digest is backed by a blob (the file has rotted or is missing). */
async function soundManifest(paths: StorePaths, bytes: Uint8Array, meta: EntryMeta | undefined): Promise<Uint8Array> {
  const digest = digestOf(bytes);
  if (meta === undefined || meta.manifestDigest === digest || await isPresent(paths.blob(digest))) return bytes;
  const blob = await readIfPresent(paths.blob(meta.manifestDigest));
  return blob !== undefined && digestOf(blob) === meta.manifestDigest ? blob : bytes;
}

/**
 * Reads an entry. A rotten manifest.json or config.json is taken from its blob, a stale ref.json (a crash between the files)
 * is made anew, and missing document blobs are written back.
 *
 * @returns undefined when there is no manifest.json, so no entry
 * @throws NyxError data_loss when it cannot be repaired
 */
export async function readEntry(paths: StorePaths, dir: string): Promise<Entry | undefined> {
  const file = await readIfPresent(`${dir}/manifest.json`);
  if (file === undefined) return undefined;
  const known = parseMeta(await readIfPresent(`${dir}/ref.json`));
  const manifestBytes = await soundManifest(paths, file, known);
  const manifestDigest = digestOf(manifestBytes);
  const manifest = parseManifest(manifestBytes, `${dir}/manifest.json`);
  let configBytes = await readIfPresent(`${dir}/config.json`);
  if (configBytes === undefined || digestOf(configBytes) !== manifest.config.digest) {
    configBytes = await readIfPresent(paths.blob(manifest.config.digest));
    if (configBytes === undefined || digestOf(configBytes) !== manifest.config.digest) {
      throw new NyxError("data_loss", `Could not read ${dir}: config ${manifest.config.digest} is missing or corrupt`);
    }
  }
  const meta = known?.manifestDigest === manifestDigest ? known : {
    v: 1 as const,
    manifestDigest,
    manifestMediaType: manifest.mediaType ?? MEDIA_TYPES.ociManifest,
    addedAt: new Date().toISOString(),
    source: "tag" as const,
  };
  await Promise.all([writeDocumentBlob(paths, manifestBytes), writeDocumentBlob(paths, configBytes)]);
  return { manifestBytes, configBytes, meta };
}

/** Whether a directory's file is a leftover of an interrupted atomic write of an entry file. */
export function isEntryLeftover(name: string): boolean {
  return ENTRY_FILES.some((f) => name.startsWith(`${f}.`)) && /\.[0-9a-f]{8}\.tmp$/.test(name);
}
