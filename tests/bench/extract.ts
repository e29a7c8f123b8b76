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

/** What the others are measured against. */
const BASE = "tar -xzf";

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
  [BASE]: (work, layer) => void run("tar", ["-C", work, "--numeric-owner", "-xzf", layer.path]),
  "extract, best library": (work, layer) => direct(work, layer, {}),
  "extract, node:zlib": (work, layer) => direct(work, layer, { library: "node" }),
  "extract worker": async (work, layer) => {
    const source = { kind: "file" as const, path: layer.path };
    const { diffId } = layer;
    const request = { layersDir: `${work}/layers`, blob: descriptor(layer), diffId, source, limits: WIDE_LIMITS };
    await host.call("layer", request);
  },
};

/** Wall time and processor time (this process and its children) of one run, in milliseconds. */
interface Cost {
  wall: number;
  cpu: number;
}

/** utime, stime, cutime and cstime of this process, in milliseconds (proc_pid_stat(5); 100 ticks a second). */
function cpuMs(): number {
  const stat = Deno.readTextFileSync("/proc/self/stat");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * 10, 0);
}

async function measure(way: Way, layer: CachedLayer): Promise<Cost> {
  const work = Deno.makeTempDirSync({ dir, prefix: "nyx-bench-extract-" });
  try {
    const [since, cpu] = [performance.now(), cpuMs()];
    await way(work, layer);
    return { wall: performance.now() - since, cpu: cpuMs() - cpu };
  } finally {
    run("rm", ["-rf", work]);
  }
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

/** Runs all rounds and prints one row a way. */
async function main(): Promise<void> {
  const { layer, entries } = await debianRoot();
  await host.ready;
  const costs: Record<string, Cost[]> = {};
  for (let round = 0; round < rounds; round++) {
    for (const [name, way] of Object.entries(ways)) (costs[name] ??= []).push(await measure(way, layer));
  }
  const walls = (name: string) => (costs[name] ?? []).map((c) => c.wall);
  const cpus = (name: string) => (costs[name] ?? []).map((c) => c.cpu);
  const ratio = (of: number, to: number) => (of / to).toFixed(2);
  const [base, least, cpuBase] = [median(walls(BASE)), Math.min(...walls(BASE)), median(cpus(BASE))];
  console.log(`${entries} entries, ${(layer.size / 1e6).toFixed(0)} MB gzip, ${rounds} rounds in ${dir}`);
  console.log("                          median ms  x tar   min ms  x tar   cpu ms  x tar");
  for (const name of Object.keys(costs)) {
    const [ms, min, cpu] = [median(walls(name)), Math.min(...walls(name)), median(cpus(name))];
    const columns = [[ms, base], [min, least], [cpu, cpuBase]] as const;
    console.log(name.padEnd(26) + columns.map(([v, b]) => `${v.toFixed(0).padStart(8)}  ${ratio(v, b)}  `).join(""));
  }
  host.terminate();
}

await main();
