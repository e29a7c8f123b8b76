/**
 * Entry of the `extract` stage (D05): one worker for each core, each with any number of layers under way.
 *
 * Permissions: ffi for libc (and libisal, libzstd where installed); nothing else: files are reached through libc alone.
 */

import type { LayerRecord } from "../../daemon/spec/layer_store.ts";
import { layerKey } from "../../daemon/spec/layer_store.ts";
import { linuxFile } from "../../ffi/linux/file.ts";
import { linuxPriority } from "../../ffi/linux/priority.ts";
import { ByteReceiver } from "../channel.ts";
import type { ExtractedLayer, ExtractStage } from "../protocol.ts";
import { emitter, type OpContext, serve } from "../serve.ts";
import { DurabilityKeeper } from "./durability.ts";
import { extractLayer } from "./extract.ts";
import { pause } from "./pacer.ts";
import { fileChunks } from "./source.ts";
import { LayerStore } from "./store.ts";

/** Milliseconds between two progress messages of one layer. */
const PROGRESS_EVERY_MS = 100;

/**
 * Unpacking fills a core for seconds. The threads that answer people, names and containers' events go first: on a busy host
 * this halves the time they wait, and the pull is as fast.
 */
const NICE = 10;

linuxPriority().setNice(NICE);
const k = linuxFile();
const { log } = emitter<ExtractStage>();
const keeper = new DurabilityKeeper(k, (msg, fields) => log("warn", msg, fields));

type LayerRequest = ExtractStage["ops"]["layer"]["request"];

function result(r: LayerRecord): ExtractedLayer {
  const { diffId, tarSize, diskBytes, entries, opaqueRoot } = r;
  return { diffId, tarSize, diskBytes, entries, ...(opaqueRoot === true ? { opaqueRoot } : {}) };
}

function reporter(ctx: OpContext<{ current: number }>): (current: number) => void {
  let last = -Infinity;
  return (current) => {
    const now = performance.now();
    if (now - last < PROGRESS_EVERY_MS) return;
    last = now;
    ctx.progress({ current });
  };
}

async function layer(request: LayerRequest, ctx: OpContext<{ current: number }>): Promise<ExtractedLayer> {
  const { blob, diffId, source, limits } = request;
  const receiver = source.kind === "port" ? new ByteReceiver(source.port) : undefined;
  try {
    using store = new LayerStore(k, request.layersDir);
    const existing = store.find(diffId);
    if (existing !== undefined) return result(existing);
    using _busy = keeper.extracting(request.layersDir);
    const chunks = receiver ?? fileChunks(k, source.kind === "file" ? source.path : "");
    // A cancel must also reach an extraction that waits for bytes.
    ctx.signal.addEventListener("abort", () => receiver?.cancel(ctx.signal.reason), { once: true });
    const job = { blob, diffId, source: chunks, limits };
    const onFailure = (reason: unknown) => receiver?.cancel(reason);
    return result(await extractLayer(k, store, job, { signal: ctx.signal, onFailure, onProgress: reporter(ctx) }));
  } catch (e) {
    receiver?.cancel(e);
    throw e;
  } finally {
    receiver?.cancel();
  }
}

async function finish<T>(slices: Generator<void, T, void>): Promise<T> {
  for (let step = slices.next();; step = slices.next()) {
    if (step.done === true) return step.value;
    await pause();
  }
}

serve<ExtractStage>("extract", {
  layer,
  clean: async ({ layersDir }) => {
    using store = new LayerStore(k, layersDir);
    return await finish(store.clean());
  },
  sync: async ({ layersDir }) => {
    using store = new LayerStore(k, layersDir);
    const names = store.unsynced();
    await store.sync(names);
    return { synced: names.length };
  },
  remove: async ({ layersDir, diffId }) => {
    using store = new LayerStore(k, layersDir);
    return { removed: await finish(store.discard(layerKey(diffId))) };
  },
});
