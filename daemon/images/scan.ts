/** Reads the whole store at start: the index is made of what is on disk and of nothing else. */

import { formatReference, tryParseReference } from "../spec/reference.ts";
import { toErrorData } from "../spec/errors.ts";
import { type Entry, isEntryLeftover, readEntry, recordOf, removeEntry, removeQuietly } from "./entries.ts";
import { decodeRefDir, ENTRY_FILES, type StorePaths } from "./layout.ts";
import { ImageIndex, type ImageRecord } from "./records.ts";

/** Where the scan reports what it had to move or drop. */
export interface ScanLog {
  warn(msg: string, fields?: Record<string, unknown>): void;
}

/** A pull that was begun and not finished. */
export interface PendingPull {
  record: ImageRecord;
  /** Milliseconds since the epoch. */
  begunAt: number;
}

/** What the disk says. */
export interface ScanResult {
  index: ImageIndex;
  /** By manifest digest. */
  pending: Map<string, PendingPull>;
  /** Size in bytes by digest. */
  blobs: Map<string, number>;
}

async function listDir(path: string): Promise<Deno.DirEntry[]> {
  const out: Deno.DirEntry[] = [];
  try {
    for await (const e of Deno.readDir(path)) out.push(e);
  } catch (e) {
    if (!(e instanceof Deno.errors.NotFound)) throw e;
  }
  return out;
}

/** Moves an entry's files aside; directories below it, which are other entries, stay. */
async function quarantine(paths: StorePaths, dir: string, log: ScanLog, why: unknown): Promise<void> {
  const name = `${new Date().toISOString().replaceAll(":", "")}-${crypto.randomUUID().slice(0, 8)}`;
  const target = `${paths.quarantineDir}/${name}`;
  await Deno.mkdir(target, { recursive: true, mode: 0o700 });
  await Deno.writeTextFile(`${target}/origin.json`, JSON.stringify({ dir, error: toErrorData(why) }));
  for (const file of ENTRY_FILES) {
    await Deno.rename(`${dir}/${file}`, `${target}/${file}`).catch((e) => {
      if (!(e instanceof Deno.errors.NotFound)) throw e;
    });
  }
  log.warn("An image entry could not be read and was moved aside", { dir, quarantine: target, error: why });
}

/** One reader for all three kinds of entry: reads, or quarantines, or clears leftovers. */
async function readOrQuarantine(
  paths: StorePaths,
  dir: string,
  root: string,
  log: ScanLog,
): Promise<{ entry: Entry; record: ImageRecord } | undefined> {
  try {
    const entry = await readEntry(paths, dir);
    if (entry !== undefined) return { entry, record: recordOf(entry) };
    await removeEntry(dir, root);
  } catch (e) {
    await quarantine(paths, dir, log, e);
  }
  return undefined;
}

/** Walks images/images; each directory with entry files is one reference. */
async function scanRefs(paths: StorePaths, index: ImageIndex, log: ScanLog, relative = ""): Promise<void> {
  const dir = relative === "" ? paths.refsDir : `${paths.refsDir}/${relative}`;
  const children = await listDir(dir);
  for (const child of children) {
    if (child.isFile && isEntryLeftover(child.name)) await removeQuietly(`${dir}/${child.name}`);
  }
  if (children.some((c) => c.isFile && (ENTRY_FILES as readonly string[]).includes(c.name))) {
    await scanRef(paths, index, log, relative);
  }
  for (const child of children) {
    if (child.isDirectory) {
      await scanRefs(paths, index, log, relative === "" ? child.name : `${relative}/${child.name}`);
    }
  }
}

async function scanRef(paths: StorePaths, index: ImageIndex, log: ScanLog, relative: string): Promise<void> {
  const dir = `${paths.refsDir}/${relative}`;
  const parts = decodeRefDir(relative);
  const text = parts === undefined
    ? relative
    : `${parts.domain}/${parts.path}${parts.digest === undefined ? `:${parts.tag}` : `@${parts.digest}`}`;
  const reference = tryParseReference(text);
  if (reference === undefined || formatReference(reference) !== text) {
    return await quarantine(paths, dir, log, new Error(`${relative} names no image reference`));
  }
  const read = await readOrQuarantine(paths, dir, paths.refsDir, log);
  if (read === undefined) return;
  const { meta } = read.entry;
  index.addImage(read.record);
  index.setRef({
    reference,
    manifestDigest: meta.manifestDigest,
    ...(meta.indexDigest === undefined ? {} : { indexDigest: meta.indexDigest }),
    ...(meta.indexMediaType === undefined ? {} : { indexMediaType: meta.indexMediaType }),
    addedAt: meta.addedAt,
    source: meta.source,
  });
}

async function scanUntagged(paths: StorePaths, index: ImageIndex, log: ScanLog): Promise<void> {
  for (const child of await listDir(paths.untaggedDir)) {
    const dir = `${paths.untaggedDir}/${child.name}`;
    const read = await readOrQuarantine(paths, dir, paths.untaggedDir, log);
    if (read === undefined) continue;
    const { meta } = read.entry;
    // A crash after a tag was written leaves its former untagged entry behind.
    if (index.refsOfManifest(meta.manifestDigest).length > 0) {
      await removeEntry(dir, paths.untaggedDir);
      continue;
    }
    index.addImage(read.record);
    index.untagged.set(meta.manifestDigest, {
      manifestDigest: meta.manifestDigest,
      ...(meta.repository === undefined ? {} : { repository: meta.repository }),
      ...(meta.indexDigest === undefined ? {} : { indexDigest: meta.indexDigest }),
      addedAt: meta.addedAt,
    });
  }
}

async function scanPending(paths: StorePaths, log: ScanLog): Promise<Map<string, PendingPull>> {
  const pending = new Map<string, PendingPull>();
  for (const child of await listDir(paths.pendingDir)) {
    const dir = `${paths.pendingDir}/${child.name}`;
    try {
      const entry = await readEntry(paths, dir);
      if (entry === undefined) {
        await Deno.remove(dir, { recursive: true });
        continue;
      }
      pending.set(entry.meta.manifestDigest, { record: recordOf(entry), begunAt: Date.parse(entry.meta.addedAt) });
    } catch (e) {
      log.warn("The record of an unfinished pull could not be read and was dropped", { dir, error: e });
      await Deno.remove(dir, { recursive: true });
    }
  }
  return pending;
}

async function scanBlobs(paths: StorePaths): Promise<Map<string, number>> {
  const blobs = new Map<string, number>();
  const names = (await listDir(paths.blobsDir)).filter((e) => e.isFile);
  for (let at = 0; at < names.length; at += 64) {
    await Promise.all(
      names.slice(at, at + 64).map(async ({ name }) => {
        if (/^[0-9a-f]{64}$/.test(name)) {
          blobs.set(`sha256:${name}`, (await Deno.stat(`${paths.blobsDir}/${name}`)).size);
        } else if (name.endsWith(".tmp")) await removeQuietly(`${paths.blobsDir}/${name}`);
      }),
    );
  }
  return blobs;
}

/** Reads the store. Nothing that a user has made is deleted: what cannot be read goes to images/quarantine. */
export async function scanStore(paths: StorePaths, log: ScanLog): Promise<ScanResult> {
  const index = new ImageIndex();
  await scanRefs(paths, index, log);
  await scanUntagged(paths, index, log);
  const pending = await scanPending(paths, log);
  return { index, pending, blobs: await scanBlobs(paths) };
}
