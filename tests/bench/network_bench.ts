/**
 * Set-up and teardown of one container's network: nyx's backend against a script of `ip` and `nft` that makes the same things,
 * alternating on one host of its own; then what a range of 1,000 ports costs in memory, and 200 set-ups at once. Run by hand as root:
 * `deno run -A tests/bench/network_bench.ts [rounds]`. On a machine that others use, `best` tells more than p50.
 */

import { CLONE_NEWNET } from "../../ffi/namespace.ts";
import { linuxNamespace } from "../../ffi/linux/namespace.ts";
import { linuxSocket } from "../../ffi/linux/socket.ts";
import { openNft } from "../../ffi/nftables/libnftables.ts";
import { setup, takeDown } from "../../workers/network/container.ts";
import { open, shutdown } from "../../workers/network/lifecycle.ts";
import { release, reserve } from "../../workers/network/reservation.ts";
import type { PortMapping } from "../../daemon/spec/container.ts";
import { randomId } from "../support/net_hosts.ts";

const rounds = Number(Deno.args[0] ?? 40);
const times = new Map<string, number[]>();

async function timed(label: string, run: () => unknown): Promise<void> {
  const began = performance.now();
  await run();
  const list = times.get(label) ?? [];
  list.push(performance.now() - began);
  times.set(label, list);
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function sh(script: string): void {
  const { success, stderr } = new Deno.Command("sh", { args: ["-ec", script] }).outputSync();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

function scriptUp(i: number): string {
  return `ip netns add nyxb${i}
ip -batch - <<X
link add nyxb${i} type veth peer name eth0 netns nyxb${i}
link set nyxb${i} master nyxbr0 up
X
ip -n nyxb${i} -batch - <<X
link set lo up
link set eth0 up
addr add 10.88.200.${i + 2}/16 dev eth0
route add default via 10.88.0.1
X
nft add element inet nyx_nyxbr0 any4 "{ tcp . ${30000 + i} : 10.88.200.${i + 2} . 80 }"`;
}

function scriptDown(i: number): string {
  return `nft delete element inet nyx_nyxbr0 any4 "{ tcp . ${30000 + i} }"; ip netns del nyxb${i}`;
}

const ns = linuxNamespace();
const { fd } = ns.withNewNetns(() => {});
ns.setns(fd, CLONE_NEWNET);
const baseDir = Deno.makeTempDirSync({ prefix: "nyx-network-bench-" });
const { session: s } = await open(
  { kernel: { ns: linuxNamespace(), socket: linuxSocket() }, openNft, log: () => {} },
  {
    baseDir,
    networks: [{ name: "nyx", driver: "bridge", bridge: "nyxbr0", subnet: "10.88.0.0/16", gateway: "10.88.0.1" }],
    live: [],
    known: [],
    poolSize: 8,
    defaultPublishIp: "",
  },
);

const cases: [string, PortMapping[]][] = [
  ["no port", []],
  ["1 tcp port", [{ hostPort: 20000, containerPort: 80 }]],
  ["1 udp port", [{ hostPort: 20000, containerPort: 80, protocol: "udp" }]],
  ["1000 udp ports", [{ hostPort: 20000, containerPort: 20000, count: 1000, protocol: "udp" }]],
];
for (let i = 0; i < rounds; i++) {
  for (const [label, ports] of cases) {
    await pause(10);
    const id = randomId();
    const request = { id, name: "c", attachments: [{ network: "nyx" }], ports };
    await timed(`${label}: reserve, on disk`, async () => {
      reserve(s, request);
      await s.leases.commit();
    });
    await timed(`${label}: setup`, () => setup(s, { ...request, mode: "bridge", sysctls: {} }));
    await pause(3);
    await timed(`${label}: teardown`, () => takeDown(s, id).finish("take down"));
    release(s, id);
    await s.leases.commit();
    await s.flows.idle();
  }
  await pause(10);
  await timed("ip -batch and nft: setup, 1 tcp port", () => sh(scriptUp(i)));
  await timed("ip -batch and nft: teardown", () => sh(scriptDown(i)));
}
for (const [label, list] of times) {
  list.sort((a, b) => a - b);
  const at = (q: number) => (list[Math.min(list.length - 1, Math.floor(list.length * q))] ?? 0).toFixed(2).padStart(7);
  console.log(`${label.padEnd(40)} best ${at(0)} ms  p50 ${at(0.5)} ms  p99 ${at(0.99)} ms`);
}

/** Memory of the kernel that is nobody's process, and of this process, MiB. */
function memory(): { kernel: number; own: number } {
  const info = Deno.readTextFileSync("/proc/meminfo");
  const of = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+)`, "m").exec(info)?.[1] ?? 0) / 1024;
  return { kernel: of("Slab") + of("VmallocUsed") + of("Percpu"), own: Deno.memoryUsage().rss / 2 ** 20 };
}

const RANGES = 20;
const before = memory();
const ids = Array.from({ length: RANGES }, randomId);
for (const [i, id] of ids.entries()) {
  const port: PortMapping = {
    hostPort: 20000 + 1000 * i,
    containerPort: 20000 + 1000 * i,
    count: 1000,
    protocol: "udp",
  };
  await setup(s, { id, name: `r${i}`, mode: "bridge", attachments: [], ports: [port], sysctls: {} });
}
const after = memory();
const each = (key: "kernel" | "own") => ((after[key] - before[key]) / RANGES * 1024).toFixed(0);
console.log(
  `1000 udp ports and their container: kernel ${each("kernel")} KiB, nyxd ${each("own")} KiB (mean of ${RANGES})`,
);
for (const id of ids) {
  takeDown(s, id).finish("take down");
  release(s, id);
}

const many = Array.from({ length: 200 }, randomId);
const began = performance.now();
const placed = await Promise.all(
  many.map((id, i) =>
    setup(s, {
      id,
      name: `m${i}`,
      mode: "bridge",
      attachments: [],
      ports: [{ hostPort: 0, containerPort: 80 }],
      sysctls: {},
    })
  ),
);
const ms = performance.now() - began;
const addresses = new Set(placed.map((p) => p.endpoints[0]?.ip));
console.log(`200 at once, each with a port, on disk: ${ms.toFixed(0)} ms, ${addresses.size} addresses`);
for (const id of many) {
  takeDown(s, id).finish("take down");
  release(s, id);
}
await shutdown(s, false);
Deno.removeSync(baseDir, { recursive: true });
