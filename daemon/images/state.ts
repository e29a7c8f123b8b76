/** What the parts of the image store share: index, sets of blobs and layers, locks, roots in memory, and workers. */

import type { ExtractLimits, ExtractStage, PullStage, RootfsStage } from "../../workers/protocol.ts";
import type { EventRecord } from "../spec/api.ts";
import { nowRfc3339 } from "../spec/time.ts";
import { KeyedLock } from "./flights.ts";
import { LayerSet } from "./layers.ts";
import { StorePaths } from "./layout.ts";
import { ImageIndex, type ImageRecord } from "./records.ts";
import type { PendingPull } from "./scan.ts";
import type { StageHost, WorkerPool } from "./workers.ts";

/** The part of the daemon's log that the store writes. */
export interface StoreLog {
  debug(msg: string, fields?: Record<string, unknown>): void;
  info(msg: string, fields?: Record<string, unknown>): void;
  warn(msg: string, fields?: Record<string, unknown>): void;
  error(msg: string, fields?: Record<string, unknown>): void;
}

/** Stage workers of the store. */
export interface StoreWorkers {
  pull: WorkerPool<PullStage>;
  extract: WorkerPool<ExtractStage>;
  rootfs: StageHost<RootfsStage>;
}

/** Bounds of the store. */
export interface StoreLimits extends ExtractLimits {
  /** Downloads at once. */
  downloads: number;
  /** Bytes of an archive that is loaded. */
  archiveBytes: number;
  /** Entries of an archive that is loaded. */
  archiveEntries: number;
  /** Age after which what an unfinished pull left is given up, milliseconds. */
  pendingMs: number;
}

/** Bounds that hold unless others are given. */
export const DEFAULT_LIMITS: StoreLimits = {
  maxEntries: 2_000_000,
  maxBytes: 64 * 1024 ** 3,
  maxRatio: 1000,
  minFreeBytes: 256 * 1024 ** 2,
  downloads: 12,
  archiveBytes: 128 * 1024 ** 3,
  archiveEntries: 100_000,
  pendingMs: 7 * 24 * 3600 * 1000,
};

/** What the rest of the daemon tells the store. */
export interface StoreCallbacks {
  /** Containers that were made from an image id: names for people. */
  usedBy: (imageId: string) => string[];
  /** diffIDs that containers have mounted or will mount; never deleted, whatever the index says. */
  usedLayers?: () => Iterable<string>;
  /** Takes an event for GET /v1/events. */
  emit: (event: EventRecord) => void;
}

/** Shared state. Everything in it changes synchronously; what goes to disk first is said where it does. */
export class StoreState {
  readonly paths: StorePaths;
  index = new ImageIndex();
  /** Unfinished pulls on disk, by manifest digest. */
  pending = new Map<string, PendingPull>();
  /** Blobs on disk: bytes by digest. */
  blobs = new Map<string, number>();
  readonly layers: LayerSet;
  /** Keys `index`, `layer:<diffID>`, `blob:<digest>`; taken in this order. */
  readonly locks = new KeyedLock();
  readonly #active = new Map<string, { record: ImageRecord; users: number }>();
  readonly #pins = new Map<string, number>();

  /**
   * @param baseDir the daemon's base directory
   * @param workers stages
   * @param limits bounds
   * @param callbacks what the rest of the daemon knows
   * @param log where to report
   */
  constructor(
    baseDir: string,
    readonly workers: StoreWorkers,
    readonly limits: StoreLimits,
    readonly callbacks: StoreCallbacks,
    readonly log: StoreLog,
  ) {
    this.paths = new StorePaths(baseDir);
    this.layers = new LayerSet(this.paths);
  }

  /** Runs a change of the index alone: changes never interleave. */
  mutate<T>(work: () => Promise<T>): Promise<T> {
    return this.locks.run("index", work);
  }

  /** Keeps all that an image needs until disposed: it is being pulled, loaded, completed or saved. */
  activate(record: ImageRecord): Disposable {
    const active = this.#active.get(record.manifestDigest) ?? { record, users: 0 };
    this.#active.set(record.manifestDigest, active);
    active.users++;
    return once(() => {
      if (--active.users === 0) this.#active.delete(record.manifestDigest);
    });
  }

  /** Keeps an image id from being removed until disposed. */
  pin(imageId: string): Disposable {
    this.#pins.set(imageId, (this.#pins.get(imageId) ?? 0) + 1);
    return once(() => {
      const left = (this.#pins.get(imageId) ?? 1) - 1;
      if (left === 0) this.#pins.delete(imageId);
      else this.#pins.set(imageId, left);
    });
  }

  /** Whether a container is being made from an image right now. */
  isPinned(imageId: string): boolean {
    return this.#pins.has(imageId);
  }

  /** Whether an image is being pulled, loaded, completed or saved right now. */
  isActive(manifestDigest: string): boolean {
    return this.#active.has(manifestDigest);
  }

  /** Roots beside the index: active work, unfinished pulls, containers. */
  extraRoots(options: { pending: boolean } = { pending: true }): { images: ImageRecord[]; layers: Iterable<string> } {
    const images = [...this.#active.values()].map((a) => a.record);
    if (options.pending) images.push(...[...this.pending.values()].map((p) => p.record));
    return { images, layers: this.callbacks.usedLayers?.() ?? [] };
  }

  /** Whether every layer of an image is unpacked. */
  isComplete(record: ImageRecord): boolean {
    return record.layers.every((l) => this.layers.has(l.diffId));
  }

  /** Tells the daemon what happened to an image. */
  announce(action: string, id: string, attributes: Record<string, string> = {}): void {
    this.callbacks.emit({ time: nowRfc3339(), type: "image", action, id, attributes });
  }
}

function once(undo: () => void): Disposable {
  let done = false;
  return {
    [Symbol.dispose]: () => {
      if (done) return;
      done = true;
      undo();
    },
  };
}
