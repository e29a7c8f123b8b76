/**
 * What a flood of output does to others: the latency of API calls for another container while one container writes as fast as
 * it is read, beside the same CPU time burnt without any output. The difference is nyx's; the rest is the scheduler's.
 * By hand, as root: `deno run -A tests/bench/flood.ts [seconds]`.
 */

import { startNyxd } from "../support/daemon.ts";
import { busyboxImage, pushLayout } from "../support/oci.ts";
import { startRegistry } from "../support/registry.ts";
import { percentile } from "./measure.ts";

const seconds = Number(Deno.args[0] ?? "5");
const LOADS: Record<string, string | undefined> = {
  "nothing": undefined,
  "two busy loops, no output": "yes >/dev/null & yes >/dev/null",
  "a flood of output": "yes 0123456789012345678901234567890123456789",
};

const dir = Deno.makeTempDirSync({ prefix: "nyx-flood-" });
try {
  await using registry = await startRegistry();
  const image = `127.0.0.1:${registry.port}/busybox:latest`;
  busyboxImage({ dir });
  await pushLayout(dir, "latest", image);
  await using nyxd = await startNyxd({ logLevel: "warn" });
  const { containers, images, system } = nyxd.client;
  await images.pull({ ref: image });
  const { id } = await containers.run({ image, args: ["sleep", "1000"] });
  for (const [name, command] of Object.entries(LOADS)) {
    const log = { maxSizeBytes: 64 * 1024 * 1024, maxFile: 2 };
    const noise = command === undefined ? undefined : await containers.run({ image, args: ["sh", "-c", command], log });
    const calls: number[] = [];
    for (const until = performance.now() + seconds * 1000; performance.now() < until;) {
      const began = performance.now();
      await containers.inspect(id);
      calls.push(performance.now() - began);
      await new Promise((r) => setTimeout(r, 10));
    }
    const kills: number[] = [];
    for (let i = 0; i < 200; i++) {
      const began = performance.now();
      // CONT does nothing to a process that runs; it goes through the streams worker, which the flood keeps busy.
      await containers.kill(id, "CONT");
      kills.push(performance.now() - began);
      await new Promise((r) => setTimeout(r, 10));
    }
    if (noise !== undefined) await containers.remove(noise.id, { force: true });
    const text = (a: number[]) => `p50 ${percentile(a, 0.5).toFixed(1)}, p99 ${percentile(a, 0.99).toFixed(1)} ms`;
    console.log(`${name.padEnd(28)} inspect ${text(calls)} · signal ${text(kills)}`);
  }
  console.log("event loop delay of the main thread:", JSON.stringify((await system.info()).eventLoopDelayMs));
} finally {
  Deno.removeSync(dir, { recursive: true });
}
