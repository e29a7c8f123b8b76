/**
 * What health checks cost: CPU time of nyxd with 50 containers that it asks over http once a second, beside the same containers
 * without checks. By hand, as root: `deno run -A tests/bench/health.ts [containers] [seconds]`.
 */

import { startNyxd } from "../support/daemon.ts";
import { busyboxImage, pushLayout } from "../support/oci.ts";
import { startRegistry } from "../support/registry.ts";
import { cpuSeconds } from "./measure.ts";

const containers = Number(Deno.args[0] ?? "50");
const seconds = Number(Deno.args[1] ?? "20");
const SERVER = ["sh", "-c", "echo ok > /tmp/ok; exec httpd -f -p 127.0.0.1:80 -h /tmp"];

const dir = Deno.makeTempDirSync({ prefix: "nyx-health-" });
try {
  await using registry = await startRegistry();
  const image = `127.0.0.1:${registry.port}/busybox:latest`;
  busyboxImage({ dir });
  await pushLayout(dir, "latest", image);
  await using nyxd = await startNyxd({ logLevel: "warn" });
  const { client } = nyxd;
  await client.images.pull({ ref: image });
  const share = async () => {
    const before = cpuSeconds(nyxd.pid);
    await new Promise((r) => setTimeout(r, seconds * 1000));
    return (cpuSeconds(nyxd.pid) - before) / seconds * 100;
  };
  const measure = async (name: string, healthcheck: { type: "http"; url: string; intervalMs: number } | undefined) => {
    const check = healthcheck === undefined ? {} : { healthcheck };
    const ids: string[] = [];
    for (let i = 0; i < containers; i++) {
      ids.push((await client.containers.run({ image, args: SERVER, ...check })).id);
    }
    if (healthcheck !== undefined) await Promise.all(ids.map((id) => client.containers.wait(id, "healthy")));
    else await new Promise((r) => setTimeout(r, 2000));
    console.log(`${containers} containers, ${name.padEnd(16)} nyxd: ${(await share()).toFixed(2)} % of a core`);
    await Promise.all(ids.map((id) => client.containers.remove(id, { force: true })));
  };
  console.log(`no container             nyxd: ${(await share()).toFixed(2)} % of a core`);
  await measure("no checks", undefined);
  await measure("http each second", { type: "http", url: "http://127.0.0.1/ok", intervalMs: 1000 });
} finally {
  Deno.removeSync(dir, { recursive: true });
}
