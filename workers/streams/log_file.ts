/**
 * The log of one container on disk: logs/<id>.log, and logs/<id>.log.<n> for rotated parts.
 *
 * `n` counts up for ever: a part keeps its name for life (plus `.gz` once compressed), so a rotation is one rename, a crash
 * in the middle of it loses nothing, and a reader that follows knows which part comes next. One writer a container.
 */

import { createGzip } from "node:zlib";
import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { AT_FDCWD, type FileKernel, O } from "../../ffi/file.ts";
import { isErrno } from "../../ffi/errno.ts";
import { removeFile } from "./monitor.ts";
import type { LogOptions } from "../../daemon/spec/container.ts";

/** Rotation as resolved against the daemon's defaults. Sizes in bytes, ages in milliseconds; 0 means no bound. */
export interface LogPolicy {
  driver: "json" | "none";
  maxSizeBytes: number;
  /** Files in all, the current one included; at least 1. */
  maxFile: number;
  maxAgeMs: number;
  compress: boolean;
  mode: "block" | "drop";
}

/** Built-in policy: 10 MiB x 5. */
export const DEFAULT_LOG_POLICY: LogPolicy = {
  driver: "json",
  maxSizeBytes: 10 * 1024 * 1024,
  maxFile: 5,
  maxAgeMs: 0,
  compress: false,
  mode: "block",
};

/** A container's options over the daemon's defaults. */
export function resolvePolicy(options: LogOptions, defaults: LogOptions): LogPolicy {
  return { ...DEFAULT_LOG_POLICY, ...defined(defaults), ...defined(options) };
}

function defined<T extends object>(o: T): Partial<T> {
  return Object.fromEntries(Object.entries(o).filter(([, v]) => v !== undefined)) as Partial<T>;
}

/** A rotated part. */
export interface LogPart {
  number: number;
  path: string;
  compressed: boolean;
}

/** Path of a container's current log. */
export function logPath(baseDir: string, id: string): string {
  return `${baseDir}/logs/${id}.log`;
}

/** Rotated parts of a log, oldest first. */
export function listParts(path: string): LogPart[] {
  const slash = path.lastIndexOf("/");
  const prefix = `${path.slice(slash + 1)}.`;
  const parts: LogPart[] = [];
  let entries: Iterable<Deno.DirEntry>;
  try {
    entries = Deno.readDirSync(path.slice(0, slash));
  } catch (e) {
    if (e instanceof Deno.errors.NotFound) return [];
    throw e;
  }
  for (const { name } of entries) {
    if (!name.startsWith(prefix)) continue;
    const m = /^(\d+)(\.gz)?$/.exec(name.slice(prefix.length));
    if (m === null) continue;
    parts.push({ number: Number(m[1]), path: path.slice(0, slash + 1) + name, compressed: m[2] !== undefined });
  }
  parts.sort((a, b) => a.number - b.number || Number(a.compressed) - Number(b.compressed));
  // Between finishing the .gz and unlinking its source both are there: one is enough.
  return parts.filter((p, i) => p.number !== parts[i - 1]?.number);
}

/** Removes a container's log and all its parts. */
export function removeLog(kernel: FileKernel, path: string): void {
  for (const part of listParts(path)) removeFile(kernel, part.path);
  removeFile(kernel, path);
}

/** Removals that may be under way at once; a disk that is slower than its writer holds that up. */
const MAX_REMOVALS = 4;

/** Writer of one log. Appends are synchronous; compression, and the removal of old parts, happen in the background. */
export class LogFile {
  readonly path: string;
  readonly #kernel: FileKernel;
  readonly #policy: LogPolicy;
  readonly #onError: (e: unknown) => void;
  #fd: number;
  #size: number;
  #openedMs: number;
  /** Number the current file will get when it is rotated; undefined until it was needed. */
  #number: number | undefined;
  #compressing: Promise<void> = Promise.resolve();
  /** Removals of old parts that are under way off this thread. */
  readonly #removing = new Set<Promise<void>>();
  #listeners = new Set<() => void>();

  /**
   * Opens or makes the file. A last line that a crash tore is closed off with a line feed, so that it spoils nothing after it.
   *
   * @param kernel file calls
   * @param path current file
   * @param policy rotation
   * @param onError told of failures in the background
   * @param undoTo length to cut the file back to first: an append that was not confirmed
   */
  constructor(
    kernel: FileKernel,
    path: string,
    policy: LogPolicy,
    onError: (e: unknown) => void,
    undoTo: number | undefined,
  ) {
    this.#kernel = kernel;
    this.path = path;
    this.#policy = policy;
    this.#onError = onError;
    this.#fd = this.#open();
    const { size, mtime } = kernel.fstat(this.#fd);
    this.#size = size;
    this.#openedMs = size > 0 ? Number(mtime.sec) * 1000 : Date.now();
    if (undoTo !== undefined && undoTo < this.#size) this.#truncate(undoTo);
    this.#closeTornLine();
  }

  /** Bytes in the current file. */
  get size(): number {
    return this.#size;
  }

  /** Bytes that still fit before a rotation is due; Infinity without a bound. */
  get room(): number {
    const { maxSizeBytes } = this.#policy;
    if (maxSizeBytes <= 0) return Infinity;
    return this.#size < maxSizeBytes ? maxSizeBytes - this.#size : maxSizeBytes;
  }

  /** No more will be written. */
  get closed(): boolean {
    return this.#fd < 0;
  }

  /** Number of the current file; grows by one with each rotation. */
  get number(): number {
    this.#number ??= (listParts(this.path).at(-1)?.number ?? 0) + 1;
    return this.#number;
  }

  /** Calls back after each append and rotation, until the returned function is called. */
  listen(onChange: () => void): () => void {
    this.#listeners.add(onChange);
    return () => this.#listeners.delete(onChange);
  }

  /** Rotates when `incoming` more bytes would exceed the size bound, or the file is older than the age bound. */
  rotateIfDue(incoming: number): void {
    const { maxSizeBytes, maxAgeMs } = this.#policy;
    const full = maxSizeBytes > 0 && this.#size > 0 && this.#size + incoming > maxSizeBytes;
    const now = Date.now();
    // A clock that was set back must not make the file young for years.
    if (now < this.#openedMs) this.#openedMs = now;
    const old = maxAgeMs > 0 && this.#size > 0 && now - this.#openedMs > maxAgeMs;
    if (full || old) this.rotate();
  }

  /**
   * Appends whole records at the end.
   *
   * @throws SyscallError ENOSPC, EDQUOT, EIO…; the file is then as long as before
   */
  append(bytes: Uint8Array<ArrayBuffer>): void {
    let done = 0;
    try {
      while (done < bytes.byteLength) {
        done += this.#kernel.pwrite(this.#fd, done === 0 ? bytes : bytes.subarray(done), this.#size + done);
      }
    } catch (e) {
      if (done > 0) this.#kernel.ftruncate(this.#fd, this.#size);
      throw e;
    }
    this.#size += bytes.byteLength;
    for (const notify of this.#listeners) notify();
  }

  /** Makes the current file a numbered part and begins a new one. */
  rotate(): void {
    const number = this.number;
    const part = `${this.path}.${number}`;
    if (this.#policy.maxFile <= 1) {
      removeFile(this.#kernel, this.path);
    } else {
      this.#kernel.renameat2(AT_FDCWD, this.path, AT_FDCWD, part, 0);
    }
    const before = this.#fd;
    this.#fd = this.#open();
    this.#kernel.close(before);
    this.#size = 0;
    this.#openedMs = Date.now();
    this.#number = number + 1;
    this.#expire();
    if (this.#policy.compress && this.#policy.maxFile > 1) {
      this.#compressing = this.#compressing.then(() => compress(part)).catch(this.#onError);
    }
    for (const notify of this.#listeners) notify();
  }

  /** Closes the file; resolves when what goes on in the background has finished too. Listeners are told. */
  async close(): Promise<void> {
    if (this.#fd < 0) return;
    this.#kernel.close(this.#fd);
    this.#fd = -1;
    for (const notify of this.#listeners) notify();
    this.#listeners.clear();
    await this.settled();
  }

  /** Resolves when no part is being removed. */
  async removed(): Promise<void> {
    await Promise.all(this.#removing);
  }

  /** Resolves when no part is being compressed or removed. */
  async settled(): Promise<void> {
    await Promise.all([this.#compressing, ...this.#removing]);
  }

  #open(): number {
    return this.#kernel.openat(AT_FDCWD, this.path, O.CREAT | O.RDWR | O.NOFOLLOW | O.CLOEXEC, 0o600);
  }

  #truncate(size: number): void {
    this.#kernel.ftruncate(this.#fd, size);
    this.#size = size;
  }

  #closeTornLine(): void {
    if (this.#size === 0) return;
    const last = new Uint8Array(1);
    this.#kernel.pread(this.#fd, last, this.#size - 1);
    if (last[0] === 0x0a) return;
    last[0] = 0x0a;
    this.#size += this.#kernel.pwrite(this.#fd, last, this.#size);
  }

  /** Removes parts beyond the file count or the age bound. */
  #expire(): void {
    const parts = listParts(this.path);
    const { maxFile, maxAgeMs } = this.#policy;
    const excess = parts.length - (maxFile - 1);
    parts.forEach((part, i) => {
      const old = maxAgeMs > 0 && Date.now() - modifiedMs(part.path) > maxAgeMs;
      if (i < excess || old) this.#remove(part.path);
    });
  }

  /** The kernel takes some 10 ms to free a part of 64 MiB: too long for everybody else's output. */
  #remove(path: string): void {
    if (this.#removing.size >= MAX_REMOVALS) {
      removeFile(this.#kernel, path);
      return;
    }
    const removal = removePart(path).catch(this.#onError).finally(() => this.#removing.delete(removal));
    this.#removing.add(removal);
  }
}

async function removePart(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (e) {
    if (!(e instanceof Deno.errors.NotFound)) throw e;
  }
}

function modifiedMs(path: string): number {
  try {
    return Deno.statSync(path).mtime?.getTime() ?? Date.now();
  } catch (e) {
    if (e instanceof Deno.errors.NotFound) return Date.now();
    throw e;
  }
}

/** Replaces a part by its gzip; the part may expire meanwhile. */
async function compress(part: string): Promise<void> {
  const tmp = `${part}.gz.tmp`;
  try {
    await pipeline(createReadStream(part), createGzip({ level: 1 }), createWriteStream(tmp, { mode: 0o600 }));
    try {
      Deno.statSync(part);
    } catch {
      Deno.removeSync(tmp);
      return;
    }
    Deno.renameSync(tmp, `${part}.gz`);
    Deno.removeSync(part);
  } catch (e) {
    try {
      Deno.removeSync(tmp);
    } catch {
      // It was never made.
    }
    if ((e as { code?: string } | null)?.code !== "ENOENT" && !isErrno(e, "ENOENT")) throw e;
  }
}
