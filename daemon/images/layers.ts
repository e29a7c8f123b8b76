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
import { SHA256_DIGEST, type StorePaths } from "./layout.ts";
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
   * Reads the layers directory.
   *
   * @param trust also count layers that are not marked durable: the extract stage's `clean` has just removed those that a
   * power cut may have damaged
   * @returns whether `clean` has something to judge or to remove
   */
  async scan(trust: boolean): Promise<{ unclear: boolean }> {
    this.#layers.clear();
    const names: string[] = [];
    try {
      for await (const e of Deno.readDir(this.#paths.layersDir)) if (e.isDirectory) names.push(e.name);
    } catch (e) {
      if (!(e instanceof Deno.errors.NotFound)) throw e;
    }
    let unclear = false;
    for (const name of names) {
      const layer = await this.#read(name, trust);
      if (layer === undefined) unclear ||= name.startsWith(LAYER_TMP_PREFIX) || /^[0-9a-f]{32}$/.test(name);
      else this.#layers.set(layer.diffId, layer);
    }
    return { unclear };
  }

  async #read(name: string, trust: boolean): Promise<ExtractedLayer | undefined> {
    if (name.startsWith(LAYER_TMP_PREFIX)) return undefined;
    const dir = `${this.#paths.layersDir}/${name}`;
    const bytes = await readIfPresent(`${dir}/${LAYER_RECORD}`);
    const record = bytes === undefined ? undefined : tryParseLayerRecord(new TextDecoder().decode(bytes));
    if (record === undefined || !SHA256_DIGEST.test(record.diffId) || layerKey(record.diffId) !== name) {
      return undefined;
    }
    if (!trust && !await isPresent(`${dir}/${DURABLE_MARKER}`)) return undefined;
    const { diffId, tarSize, diskBytes, entries } = record;
    return { diffId, tarSize, diskBytes, entries };
  }

  /**
   * Uncommits a layer by a rename, then removes its tree. A crash in between leaves a directory that the extract stage's
   * `clean` removes.
   */
  async remove(diffId: string, rootfs: StageHost<RootfsStage>): Promise<void> {
    this.#layers.delete(diffId);
    const trash = `${this.#paths.layersDir}/${LAYER_TMP_PREFIX}${layerKey(diffId)}-${crypto.randomUUID().slice(0, 13)}`;
    try {
      await Deno.rename(layerDir(this.#paths.layersDir, diffId), trash);
    } catch (e) {
      if (e instanceof Deno.errors.NotFound) return;
      throw e;
    }
    await rootfs.call("removeTree", { path: trash });
  }
}
