/**
 * Soak: start and stop containers again and again while nyxd, its workers' monitors, crun and the containers themselves are killed at
 * random; at the end nothing may have grown: descriptors, memory, mounts, namespaces, leases, links, rules, cgroups, processes, files.
 * By hand, as root: `deno task soak [cycles] [seed]`, 1000 cycles unless said otherwise.
 */

import { type Nyxd, startNyxd } from "../support/daemon.ts";
import { seeded } from "../support/random_tree.ts";
import { names, untilTrue } from "../support/truth.ts";
import { startWorld } from "../support/world.ts";

const cycles = Number(Deno.args[0] ?? "1000");
const seed = Number(Deno.args[1] ?? Date.now() % 100_000);
/** Containers at a time. */
const AT_ONCE = 4;
/** Cycles before the first measurement: caches and pools fill, code is compiled. */
const WARM_UP = 50;

interface Levels {
  descriptors: number;
  threads: number;
  rssMiB: number;
  mounts: number;
  namespaces: number;
  leases: number;
  monitors: number;
  files: number;
}

function filesBelow(dir: string): number {
  return ["overlay", "bundles", "logs", "supervisor/containers", "run/exec", "run/crun", "run/console"]
    .reduce((n, sub) => n + names(`${dir}/${sub}`).length, 0);
}

function levels({ pid, baseDir }: Nyxd): Levels {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  const mounts = Deno.readTextFileSync("/proc/self/mountinfo").split("\n").filter((l) => l.includes(` ${baseDir}`));
  const leases = Object.keys(JSON.parse(Deno.readTextFileSync(`${baseDir}/network/leases.json`)).containers ?? {});
  return {
    descriptors: names(`/proc/${pid}/fd`).length,
    threads: names(`/proc/${pid}/task`).length,
    rssMiB: Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024),
    mounts: mounts.length,
    namespaces: names(`${baseDir}/run/netns`).length,
    leases: leases.length,
    monitors: names(`${baseDir}/run/monitor`).length,
    files: filesBelow(baseDir),
  };
}

const SCRIPTS = [
  "exit 3",
  "echo one; usleep 20000; echo two >&2",
  "trap 'exit 0' TERM; while :; do usleep 10000; done",
  "yes | head -n 20000",
  "sleep 100",
];

/** A process of the container or of its monitor, as `ps` of the host sees it. */
async function victim(nyxd: Nyxd, id: string, kind: string): Promise<number | undefined> {
  if (kind === "container") return (await nyxd.client.containers.inspect(id)).state.pid || undefined;
  for (const name of names("/proc").filter((n) => /^\d+$/.test(n))) {
    try {
      const own = Deno.readLinkSync(`/proc/${name}/cwd`) === `${nyxd.baseDir}/run/monitor/${id}`;
      const command = Deno.readTextFileSync(`/proc/${name}/comm`).trim();
      if (own && command === (kind === "crun" ? "crun" : "sh")) return Number(name);
    } catch {
      // It has ended.
    }
  }
  return undefined;
}

const next = seeded(seed);
const pick = <T>(list: readonly T[]): T => list[next(list.length)] as T;

/** One life of a container, with an accident in some. Errors of the accident's doing are no failures; what is left behind is. */
async function cycle(nyxd: Nyxd, image: string): Promise<void> {
  const { containers } = nyxd.client;
  const publish = next(100) < 30 ? [{ hostIp: "127.0.0.1", hostPort: 0, containerPort: 80 }] : [];
  const restart = next(100) < 20 ? { restart: { name: "on-failure" as const, maxRetries: 2 } } : {};
  const args = ["sh", "-c", pick(SCRIPTS)];
  const { id } = await containers.run({ image, args, publish, ...restart });
  const accident = next(100);
  if (accident < 30) {
    const pid = await victim(nyxd, id, pick(["container", "monitor", "crun"]));
    try {
      if (pid !== undefined) Deno.kill(pid, "SIGKILL");
    } catch {
      // It has ended.
    }
  } else if (accident < 50) await containers.exec(id, { argv: ["echo", "x"] }).then((s) => s.close(), () => {});
  await containers.stop(id, { timeoutS: next(100) < 50 ? 0 : 1 });
  if (next(100) < 20) await containers.start(id).then(() => containers.kill(id, "KILL")).catch(() => {});
  await containers.remove(id, { force: true });
}

console.log(`${cycles} cycles, seed ${seed}`);
const world = await startWorld({ logLevel: "error" });
let nyxd: Nyxd = world.nyxd;
let failed = 0;
let killed = 0;
const again = () => startNyxd({ baseDir: world.nyxd.baseDir, slot: world.nyxd.slot, logLevel: "error" });
try {
  let first: Levels | undefined;
  for (let done = 0; done < cycles;) {
    const results = await Promise.allSettled(Array.from({ length: AT_ONCE }, () => cycle(nyxd, world.image)));
    for (const r of results) {
      if (r.status === "fulfilled") continue;
      failed++;
      console.log(`a cycle failed: ${r.reason instanceof Error ? r.reason.message : r.reason}`);
    }
    done += AT_ONCE;
    if (next(100) < 3) {
      // In the middle of four starts.
      const cut = Promise.allSettled(Array.from({ length: AT_ONCE }, () => cycle(nyxd, world.image)));
      await new Promise((r) => setTimeout(r, next(300)));
      await nyxd.stop("SIGKILL");
      await cut;
      killed++;
      nyxd = await again();
      for (const c of await nyxd.client.containers.list({ all: true })) {
        await nyxd.client.containers.remove(c.id, { force: true });
      }
      first = undefined;
    }
    const left = done % 20 === 0 || done >= cycles ? await untilTrue(nyxd) : [];
    if (left.length > 0) throw new Error(`After ${done} cycles: ${left.join("; ")}`);
    if (first === undefined && done >= WARM_UP) first = levels(nyxd);
    if (done % 100 === 0) console.log(String(done).padStart(6), JSON.stringify(levels(nyxd)));
  }
  console.log("first ", JSON.stringify(first));
  console.log("last  ", JSON.stringify(levels(nyxd)));
  console.log(`${failed} cycles failed, nyxd was killed ${killed} times`);
} finally {
  if (nyxd !== world.nyxd) await nyxd[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
}
