/**
 * nyx's resolver under dnsperf, on this machine. By hand, as root:
 *
 *     deno run -A tests/bench/dns.ts [seconds]
 *
 * Rows: local names as fast as they go; local names at 1,000 a second, idle and while an image is pulled and unpacked, each beside
 * a process that does nothing but echo, which shows what the machine's scheduler adds; how long names fail when nyxd is killed and
 * started again.
 */

import { startNyxd } from "../support/daemon.ts";
import { buildImage, pushLayout } from "../support/oci.ts";
import { startWorld, type World } from "../support/world.ts";
import { percentile } from "./measure.ts";

const seconds = Number(Deno.args[0] ?? "5");
const CONTAINERS = 20;
const LAYERS = 8;
const LAYER_BYTES = 24 * 1024 * 1024;
const RATE = 1000;

async function output(command: string, args: string[]): Promise<string> {
  const { stdout } = await new Deno.Command(command, { args, stdout: "piped", stderr: "null" }).output();
  return new TextDecoder().decode(stdout);
}

const ECHO_PORT = 5399;
const ECHO = `
const socket = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: ${ECHO_PORT} });
for await (const [bytes, from] of socket) {
  bytes[2] |= 0x80;
  socket.send(bytes.slice(), from);
}`;

/**
 * Latencies of answered questions, in ms. The client goes before everything else, so that it is not its own waiting for a CPU that is
 * measured.
 */
async function latencies(server: string, port: number, names: string, forSeconds: number): Promise<number[]> {
  const text = await output("nice", [
    ...[
      "-n",
      "-20",
      "dnsperf",
      "-s",
      server,
      "-p",
      String(port),
      "-d",
      names,
      "-l",
      String(forSeconds),
      "-Q",
      String(RATE),
      "-c",
      "4",
      "-v",
    ],
  ]);
  return [...text.matchAll(/^> NOERROR \S+ \S+ ([0-9.]+)$/gm)].map((m) => Number(m[1]) * 1000);
}

function report(row: string, values: number[]): void {
  const at = (q: number) => percentile(values, q).toFixed(3);
  console.log(`${row}: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, worst ${at(1)} ms of ${values.length}`);
}

async function bigImage(world: World): Promise<string> {
  const entries = (layer: number) =>
    Array.from({ length: 300 }, (_, i) => {
      const data = new Uint8Array(LAYER_BYTES / 300);
      for (let at = 0; at < data.length; at += 65536) {
        crypto.getRandomValues(data.subarray(at, Math.min(at + 32768, data.length)));
      }
      return { path: `layer${layer}/file${i}`, data };
    });
  const dir = `${world.dir}/big`;
  buildImage({ dir, tag: "latest", layers: Array.from({ length: LAYERS }, (_, n) => entries(n)) });
  const ref = `127.0.0.1:${world.registry.port}/big:latest`;
  await pushLayout(dir, "latest", ref);
  return ref;
}

/** Asks every 2 ms over a socket of its own; resolves with the longest time without an answer once `until` has resolved. */
async function longestGap(server: string, until: Promise<unknown>): Promise<number> {
  const socket = Deno.listenDatagram({ transport: "udp", hostname: "0.0.0.0", port: 0 });
  const question = Uint8Array.of(0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 99, 48, 0, 0, 1, 0, 1);
  let last = performance.now();
  let longest = 0;
  const receive = async () => {
    for await (const [bytes] of socket) {
      if (((bytes[3] ?? 1) & 15) !== 0) continue;
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }
  };
  void receive();
  const timer = setInterval(() => {
    void socket.send(question, { transport: "udp", hostname: server, port: 53 }).catch(() => {});
  }, 2);
  await until;
  await new Promise((r) => setTimeout(r, 200));
  clearInterval(timer);
  socket.close();
  return longest;
}

await using world = await startWorld({ args: ["--dns=embedded"], logLevel: "info" });
const { nyxd, image } = world;
const server = `${nyxd.prefix}.1`;
for (let i = 0; i < CONTAINERS; i++) {
  await nyxd.client.containers.run({ image, name: `c${i}`, args: ["sleep", "10000"] });
}
const names = `${world.dir}/names`;
Deno.writeTextFileSync(names, Array.from({ length: CONTAINERS }, (_, i) => `c${i} A\nc${i}.nyxd.local A\n`).join(""));

const flood = await output("dnsperf", ["-s", server, "-d", names, "-l", String(seconds), "-c", "8", "-q", "100"]);
const line = (what: string) => new RegExp(`${what}:\\s+(.*)`).exec(flood)?.[1] ?? "?";
console.log(`local names: ${Math.round(Number(line("Queries per second")))} q/s, lost ${line("Queries lost")}`);

Deno.writeTextFileSync(`${world.dir}/echo.ts`, ECHO);
const echo = new Deno.Command(Deno.execPath(), {
  args: ["run", "--quiet", "--no-config", "--unstable-net", "--allow-net", `${world.dir}/echo.ts`],
}).spawn();
const both = (forSeconds: number) =>
  Promise.all([latencies(server, 53, names, forSeconds), latencies("127.0.0.1", ECHO_PORT, names, forSeconds)]);
const [idle, idleEcho] = await both(seconds);
report(`at ${RATE} q/s, idle`, idle);
report("  the echo beside it", idleEcho);
const big = await bigImage(world);
const pulled = nyxd.client.images.pull({ ref: big });
const began = performance.now();
let pulling = true;
void pulled.then(() => {
  pulling = false;
  console.log(
    `pull of ${LAYERS} layers, ${LAYERS * LAYER_BYTES / 2 ** 20} MiB: ${Math.round(performance.now() - began)} ms`,
  );
});
const during: number[] = [];
const duringEcho: number[] = [];
while (pulling) {
  const [own, others] = await both(1);
  during.push(...own);
  duringEcho.push(...others);
}
report(`at ${RATE} q/s, during the pull`, during);
report("  the echo beside it", duringEcho);
echo.kill();
await echo.status;

const restarted = (async () => {
  await nyxd.stop("SIGKILL");
  const at = performance.now();
  const next = await startNyxd({ baseDir: nyxd.baseDir, slot: nyxd.slot });
  console.log(`killed and started again: the API answers after ${Math.round(performance.now() - at)} ms`);
  return next;
})();
console.log(`names did not resolve for ${Math.round(await longestGap(server, restarted))} ms`);
await (await restarted)[Symbol.asyncDispose]();
