/**
 * Extraction against `tar -xzf` and umoci, by hand: `deno run -A tests/bench/extract.ts [rounds] [dir]`. The ways alternate, so that the
 * machine's moods hit all alike; ratios are of medians. Default directory /dev/shm, where no disk decides. Budgets: issue 2 and
 * docs: at most 0.45 x tar with ISA-L, 0.6 x with node:zlib, both digests included.
 */

import { linuxFile } from "../../ffi/linux/file.ts";
import { extractLayer } from "../../workers/extract/extract.ts";
import type { DecompressorOptions } from "../../workers/extract/decompress.ts";
import { fileChunks } from "../../workers/extract/source.ts";
import { LayerStore } from "../../workers/extract/store.ts";
import type { ExtractStage } from "../../workers/protocol.ts";
import { WorkerHost } from "../../workers/host.ts";
import { type CachedLayer, debianRoot } from "../support/debian_root.ts";
import { WIDE_LIMITS } from "../support/layer_fixture.ts";
import { run } from "../support/random_tree.ts";

const rounds = Number(Deno.args[0] ?? 5);
const dir = Deno.args[1] ?? "/dev/shm";
const k = linuxFile();

/** A way to unpack a layer into an empty directory. */
type Way = (work: string, layer: CachedLayer) => Promise<void> | void;

function descriptor(layer: CachedLayer) {
  return { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: layer.digest, size: layer.size };
}

async function direct(work: string, layer: CachedLayer, options: DecompressorOptions): Promise<void> {
  using store = new LayerStore(k, `${work}/layers`);
  const source = fileChunks(k, layer.path);
  await extractLayer(k, store, { blob: descriptor(layer), diffId: layer.diffId, source, limits: WIDE_LIMITS }, options);
}

const host = new WorkerHost<ExtractStage>({
  name: "extract",
  start: () => new Worker(new URL("../../workers/extract/main.ts", import.meta.url), { type: "module" }),
});

const ways: Record<string, Way> = {
  "tar -xzf": (work, layer) => void run("tar", ["-C", work, "--numeric-owner", "-xzf", layer.path]),
  "extract, best library": (work, layer) => direct(work, layer, {}),
  "extract, node:zlib": (work, layer) => direct(work, layer, { library: "node" }),
  "extract worker": async (work, layer) => {
    const source = { kind: "file" as const, path: layer.path };
    const { diffId } = layer;
    const request = { layersDir: `${work}/layers`, blob: descriptor(layer), diffId, source, limits: WIDE_LIMITS };
    await host.call("layer", request);
  },
};

async function measure(way: Way, layer: CachedLayer): Promise<number> {
  const work = Deno.makeTempDirSync({ dir, prefix: "nyx-bench-extract-" });
  try {
    const since = performance.now();
    await way(work, layer);
    return performance.now() - since;
  } finally {
    run("rm", ["-rf", work]);
  }
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

/** Runs all rounds and prints one row a way. */
async function main(): Promise<void> {
  const { layer, entries } = await debianRoot();
  await host.ready;
  const times: Record<string, number[]> = {};
  for (let round = 0; round < rounds; round++) {
    for (const [name, way] of Object.entries(ways)) (times[name] ??= []).push(await measure(way, layer));
  }
  const base = median(times["tar -xzf"] ?? []);
  console.log(`${entries} entries, ${(layer.size / 1e6).toFixed(0)} MB gzip, ${rounds} rounds in ${dir}`);
  for (const [name, all] of Object.entries(times)) {
    const ms = median(all);
    console.log(
      `${name.padEnd(24)} ${ms.toFixed(0).padStart(6)} ms  ${(ms / base).toFixed(2)} x tar  min ${
        Math.min(...all).toFixed(0)
      }`,
    );
  }
  host.terminate();
}

await main();
