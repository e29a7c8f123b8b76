/** Committed layers on disk, as the store knows them: which there are, how large, and their removal. */

import {
  DURABLE_MARKER,
  LAYER_RECORD,
  LAYER_TMP_PREFIX,
  layerDir,
  layerKey,
  tryParseLayerRecord,
} from "../spec/layer_store.ts";
import type { ExtractedLayer, RootfsStage } from "../../workers/protocol.ts";
import { isPresent, readIfPresent } from "./entries.ts";
import type { StorePaths } from "./layout.ts";
import type { StageHost } from "./workers.ts";

/** Set of committed layers. */
export class LayerSet {
  readonly #paths: StorePaths;
  readonly #layers = new Map<string, ExtractedLayer>();

  /** @param paths of the store */
  constructor(paths: StorePaths) {
    this.#paths = paths;
  }

  /** diffIDs of all committed layers. */
  get diffIds(): Iterable<string> {
    return this.#layers.keys();
  }

  /** Whether a layer is committed. */
  has(diffId: string): boolean {
    return this.#layers.has(diffId);
  }

  /** Facts of a committed layer. */
  get(diffId: string): ExtractedLayer | undefined {
    return this.#layers.get(diffId);
  }

  /** Takes note of a layer that the extract stage committed. */
  add(layer: ExtractedLayer): void {
    this.#layers.set(layer.diffId, layer);
  }

  /**
   * Reads the layers directory. A layer that was not made durable counts only while the kernel that wrote it runs.
   *
   * @param bootId of this kernel; without it layers that are not marked durable do not count
   * @returns directories that are no usable layer, for the garbage collector
   */
  async scan(bootId: string | undefined): Promise<string[]> {
    const stray: string[] = [];
    this.#layers.clear();
    const names: string[] = [];
    try {
      for await (const e of Deno.readDir(this.#paths.layersDir)) if (e.isDirectory) names.push(e.name);
    } catch (e) {
      if (!(e instanceof Deno.errors.NotFound)) throw e;
    }
    for (const name of names) {
      if (name.startsWith(LAYER_TMP_PREFIX)) continue;
      const dir = `${this.#paths.layersDir}/${name}`;
      const bytes = await readIfPresent(`${dir}/${LAYER_RECORD}`);
      const record = bytes === undefined ? undefined : tryParseLayerRecord(new TextDecoder().decode(bytes));
      const named = record !== undefined && /^sha256:[0-9a-f]{64}$/.test(record.diffId) &&
        layerKey(record.diffId) === name;
      const trusted = named && (record.bootId === bootId || await isPresent(`${dir}/${DURABLE_MARKER}`));
      if (!trusted) {
        stray.push(name);
        continue;
      }
      const { diffId, tarSize, diskBytes, entries } = record;
      this.#layers.set(diffId, { diffId, tarSize, diskBytes, entries });
    }
    return stray;
  }

  /**
   * Uncommits a layer by a rename, then removes its tree. A crash in between leaves a directory that the extract stage's
   * `clean` removes.
   */
  async remove(diffId: string, rootfs: StageHost<RootfsStage>): Promise<void> {
    this.#layers.delete(diffId);
    await this.removeDirectory(layerDir(this.#paths.layersDir, diffId).slice(this.#paths.layersDir.length + 1), rootfs);
  }

  /** Removes a directory of the layers directory by its name, as {@linkcode LayerSet.remove} does. */
  async removeDirectory(name: string, rootfs: StageHost<RootfsStage>): Promise<void> {
    const trash = `${this.#paths.layersDir}/${LAYER_TMP_PREFIX}${name}-${crypto.randomUUID().slice(0, 8)}`;
    try {
      await Deno.rename(`${this.#paths.layersDir}/${name}`, trash);
    } catch (e) {
      if (e instanceof Deno.errors.NotFound) return;
      throw e;
    }
    await rootfs.call("removeTree", { path: trash });
  }
}
