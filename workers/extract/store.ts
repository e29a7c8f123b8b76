/**
 * The layer store on disk: temporary directories, commit, durability, removal, cleaning. Layout: daemon/spec/layer_store.ts.
 *
 * Crash policy. A layer appears by one rename, so a crash of the daemon leaves a whole layer or none. A power cut can lose what the
 * page cache had not written, though; waiting for that at commit would bind a pull to the disk. So a layer is committed with the boot
 * id and without waiting; later, when nothing is being extracted, one syncfs covers all new layers, and each gets a marker. After a
 * reboot a layer without a marker is not trusted: `clean` removes it, and it is extracted again from its blob.
 */

import {
  DURABLE_MARKER,
  LAYER_RECORD,
  LAYER_TMP_PREFIX,
  layerKey,
  type LayerRecord,
} from "../../daemon/spec/layer_store.ts";
import { tryParseLayerRecord } from "../../daemon/spec/layer_store.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, type FileKernel, LOCK, O, OwnedFd, readToEnd, RENAME, writeAll } from "../../ffi/file.ts";
import { removeTreeSlices } from "../../ffi/remove_tree.ts";

const DIR_FLAGS = O.RDONLY | O.DIRECTORY | O.CLOEXEC;
const FILE_FLAGS = O.CREAT | O.EXCL | O.WRONLY | O.CLOEXEC;
const MAX_RECORD = 64 * 1024;

/** A layer under way: a locked temporary directory with its empty root. */
export interface TemporaryLayer extends Disposable {
  readonly name: string;
  /** The layer's root, open for reading. */
  readonly rootFd: number;
}

/** What cleaning found. */
export interface CleanResult {
  /** Temporary directories removed. */
  temporary: number;
  /** diffIDs of layers that a power cut may have damaged and that were removed. */
  lost: string[];
}

/** Options of a {@linkcode LayerStore}. */
export interface StoreOptions {
  /** Make the directory (0700) and its parents when it is missing. Default true. */
  create?: boolean;
}

/** One layers directory. */
export class LayerStore implements Disposable {
  readonly #dir: OwnedFd;

  /**
   * @param k kernel
   * @param layersDir absolute directory
   * @param options see {@linkcode StoreOptions}
   */
  constructor(private readonly k: FileKernel, readonly layersDir: string, options: StoreOptions = {}) {
    if (options.create !== false) makeDirectories(k, layersDir);
    this.#dir = new OwnedFd(k, k.openat(AT_FDCWD, layersDir, DIR_FLAGS));
  }

  /** Descriptor of the layers directory. */
  get fd(): number {
    return this.#dir.fd;
  }

  /** Closes the directory. */
  [Symbol.dispose](): void {
    this.#dir[Symbol.dispose]();
  }

  /** Record of a committed layer; undefined when there is none, another is in its place, or it may be half-written. */
  find(diffId: string): LayerRecord | undefined {
    const key = layerKey(diffId);
    const record = this.#record(key, diffId);
    if (record === undefined) return undefined;
    return record.bootId === this.#bootId() || this.#exists(`${key}/${DURABLE_MARKER}`) ? record : undefined;
  }

  /** Makes a temporary directory for a layer and locks it against {@linkcode clean}. */
  begin(diffId: string): TemporaryLayer {
    const name = `${LAYER_TMP_PREFIX}${layerKey(diffId)}-${crypto.randomUUID().slice(0, 13)}`;
    this.k.mkdirat(this.fd, name, 0o700);
    const lock = new OwnedFd(this.k, this.k.openat(this.fd, name, DIR_FLAGS));
    try {
      this.k.flock(lock.fd, LOCK.EX | LOCK.NB);
      this.k.mkdirat(lock.fd, "fs", 0o755);
      const root = new OwnedFd(this.k, this.k.openat(lock.fd, "fs", DIR_FLAGS));
      this.k.fchmod(root.fd, 0o755);
      const rootFd = root.fd;
      return {
        name,
        rootFd,
        [Symbol.dispose]: () => {
          root[Symbol.dispose]();
          lock[Symbol.dispose]();
        },
      };
    } catch (e) {
      lock[Symbol.dispose]();
      throw e;
    }
  }

  /**
   * Makes a complete temporary layer the layer of its diffID. When another extraction was faster, its layer stays and this one is left
   * for the caller to remove. A damaged layer in its place is replaced.
   *
   * @returns the record in force
   * @throws NyxError data_loss when another diffID has the same key
   */
  commit(temporary: TemporaryLayer, record: Omit<LayerRecord, "bootId">): LayerRecord {
    const full: LayerRecord = { ...record, bootId: this.#bootId() };
    using fd = new OwnedFd(this.k, this.k.openat(this.fd, `${temporary.name}/${LAYER_RECORD}`, FILE_FLAGS, 0o600));
    writeAll(this.k, fd.fd, new TextEncoder().encode(`${JSON.stringify(full)}\n`));
    const key = layerKey(record.diffId);
    try {
      this.k.renameat2(this.fd, temporary.name, this.fd, key, RENAME.NOREPLACE);
    } catch (e) {
      if (!isErrno(e, "EEXIST", "ENOTEMPTY")) throw e;
      const other = this.find(record.diffId);
      if (other !== undefined) return other;
      this.#refuseCollision(key, record.diffId);
      // What stands there is damaged: it gives way.
      for (const _ of this.discard(key));
      this.k.renameat2(this.fd, temporary.name, this.fd, key, RENAME.NOREPLACE);
    }
    return full;
  }

  /** Removes a directory of the store, first renamed so that no half-removed layer is ever seen; in slices. */
  *discard(name: string): Generator<void, boolean, void> {
    const hidden = name.startsWith(LAYER_TMP_PREFIX)
      ? name
      : `${LAYER_TMP_PREFIX}${name}-${crypto.randomUUID().slice(0, 13)}`;
    if (hidden !== name) {
      try {
        this.k.renameat2(this.fd, name, this.fd, hidden, RENAME.NOREPLACE);
      } catch (e) {
        if (isErrno(e, "ENOENT")) return false;
        throw e;
      }
    }
    return yield* removeTreeSlices(this.k, this.fd, hidden);
  }

  /** Removes what earlier extractions left, and layers that did not become durable before the kernel went down; in slices. */
  *clean(): Generator<void, CleanResult, void> {
    const bootId = this.#bootId();
    const result: CleanResult = { temporary: 0, lost: [] };
    for (const name of this.#names()) {
      if (name.startsWith(LAYER_TMP_PREFIX)) {
        if (this.#isBusy(name)) continue;
        yield* this.discard(name);
        result.temporary++;
      } else if (/^[0-9a-f]{32}$/.test(name) && !this.#exists(`${name}/${DURABLE_MARKER}`)) {
        const record = this.#record(name);
        if (record !== undefined && record.bootId === bootId) continue;
        yield* this.discard(name);
        if (record !== undefined) result.lost.push(record.diffId);
      }
    }
    return result;
  }

  /** Directory names of committed layers that have no durability marker. */
  unsynced(): string[] {
    return this.#names().filter((n) => /^[0-9a-f]{32}$/.test(n) && !this.#exists(`${n}/${DURABLE_MARKER}`));
  }

  /** Waits for the disk, then marks the given layers durable; those removed meanwhile are passed over. */
  async sync(names: string[]): Promise<void> {
    if (names.length === 0) return;
    await this.k.syncfsAsync(this.fd);
    for (const name of names) {
      try {
        this.k.close(this.k.openat(this.fd, `${name}/${DURABLE_MARKER}`, O.CREAT | O.WRONLY | O.CLOEXEC, 0o600));
      } catch (e) {
        if (!isErrno(e, "ENOENT")) throw e;
      }
    }
  }

  #refuseCollision(key: string, diffId: string): void {
    const held = this.#record(key);
    if (held === undefined || held.diffId === diffId) return;
    throw new NyxError("data_loss", `Could not store layer ${diffId}: ${held.diffId} has the same key ${key}`, {
      context: { diffId, held: held.diffId },
    });
  }

  #names(): string[] {
    using list = new OwnedFd(this.k, this.k.openat(this.fd, ".", DIR_FLAGS));
    return this.k.readDirectory(list.fd).map((e) => e.name);
  }

  #exists(path: string): boolean {
    try {
      this.k.statx(this.fd, path, 0);
      return true;
    } catch (e) {
      if (isErrno(e, "ENOENT")) return false;
      throw e;
    }
  }

  #isBusy(name: string): boolean {
    try {
      using fd = new OwnedFd(this.k, this.k.openat(this.fd, name, DIR_FLAGS));
      this.k.flock(fd.fd, LOCK.EX | LOCK.NB);
      return false;
    } catch (e) {
      return isErrno(e, "EAGAIN");
    }
  }

  #record(key: string, diffId?: string): LayerRecord | undefined {
    const text = this.#tryRead(`${key}/${LAYER_RECORD}`);
    return text === undefined ? undefined : tryParseLayerRecord(text, diffId);
  }

  #tryRead(path: string): string | undefined {
    try {
      using fd = new OwnedFd(this.k, this.k.openat(this.fd, path, O.RDONLY | O.NOFOLLOW | O.CLOEXEC));
      return new TextDecoder().decode(readToEnd(this.k, fd.fd, MAX_RECORD));
    } catch (e) {
      if (isErrno(e, "ENOENT")) return undefined;
      throw e;
    }
  }

  #bootId(): string {
    return this.#tryRead("/proc/sys/kernel/random/boot_id")?.trim() ?? "";
  }
}

function makeDirectories(k: FileKernel, path: string): void {
  try {
    k.mkdirat(AT_FDCWD, path, 0o700);
  } catch (e) {
    if (isErrno(e, "EEXIST")) return;
    const slash = path.lastIndexOf("/");
    if (!isErrno(e, "ENOENT") || slash <= 0) throw e;
    makeDirectories(k, path.slice(0, slash));
    makeDirectories(k, path);
  }
}
