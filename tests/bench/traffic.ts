/**
 * Traffic through a published port, and from container to container: nyx against docker and podman, in alternation, in one run. By hand,
 * as root:
 *
 *     deno run -A tests/bench/traffic.ts [rounds] [seconds]
 *
 * The program runs itself again in mount, network and pid namespaces of its own, with a second network namespace for a neighbour on the
 * LAN. In each container the same iperf3 and the same HTTP server of this machine serve, so that what differs is the way there.
 */

import { startWorld } from "../support/world.ts";
import { inOwnNamespaces } from "./isolate.ts";
import { judge, print } from "./measure.ts";
import { installed, type Peer, sh, startDocker, startPodman } from "./peers.ts";

const rounds = Number(Deno.args[0] ?? "5");
const seconds = Number(Deno.args[1] ?? "2");
/** A neighbour of the host: the namespace lan. */
const PREPARE = `
mount -t tmpfs tmpfs /run/netns 2>/dev/null || { mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns; }
ip netns add lan
ip link add up0 type veth peer name eth0 netns lan
ip addr add 192.168.77.1/24 dev up0; ip link set up0 up
ip -n lan addr add 192.168.77.2/24 dev eth0; ip -n lan link set eth0 up; ip -n lan link set lo up`;
const HOST = "192.168.77.1";
const HTTP_PORT = 80;
const IPERF_PORT = 5201;

const SERVER =
  `Deno.serve({ port: ${HTTP_PORT}, hostname: "0.0.0.0", onListen: () => {} }, () => new Response("hello"))`;

/** Two containers of one engine: one that serves, one that asks. */
interface Pair {
  /** Arguments of nsenter that lead into the one that asks. */
  inside: string[];
  /** Address of the one that serves. */
  ip: string;
  /** Its ports on the host. */
  published: { http: number; iperf: number };
}

const servers: Deno.ChildProcess[] = [];

function serve(pid: number): void {
  for (const argv of [["iperf3", "-s"], [Deno.execPath(), "eval", "--no-config", SERVER]]) {
    servers.push(
      new Deno.Command("nsenter", {
        args: ["-t", String(pid), "-n", "--", ...argv],
        stdin: "null",
        stdout: "null",
        stderr: "null",
      }).spawn(),
    );
  }
}

async function pairOf(peer: Peer, image: string, first: number): Promise<Pair> {
  const published = { http: first, iperf: first + 1 };
  const ports = ["-p", `${published.http}:${HTTP_PORT}`, "-p", `${published.iperf}:${IPERF_PORT}`];
  const insecure = peer.name === "podman" ? ["--tls-verify=false"] : [];
  await peer.run("pull", "-q", ...insecure, image);
  await peer.run("run", "-d", "--name", "serves", ...ports, image, "sleep", "10000");
  await peer.run("run", "-d", "--name", "asks", image, "sleep", "10000");
  const of = async (name: string, field: string) => (await peer.run("inspect", "-f", field, name)).trim();
  serve(Number(await of("serves", "{{.State.Pid}}")));
  return {
    inside: ["-t", await of("asks", "{{.State.Pid}}"), "-n"],
    ip: await of("serves", "{{.NetworkSettings.IPAddress}}"),
    published,
  };
}

async function enter(where: string[], argv: string[]): Promise<string> {
  return await sh("nsenter", [...where, "--", ...argv]);
}

function fail(): never {
  throw new Error("There is nothing to measure");
}

/** Seconds that a gigabit takes: less is better, as in every other row. */
async function iperf(where: string[], host: string, port: number): Promise<number> {
  const text = await enter(where, ["iperf3", "-J", "-t", String(seconds), "-c", host, "-p", String(port)]);
  return 1e9 / (JSON.parse(text).end.sum_received.bits_per_second as number);
}

/** Milliseconds a request takes among 32 connections, and the 99th percentile. */
async function wrk(where: string[], host: string, port: number): Promise<{ each: number; p99: number }> {
  const text = await enter(where, ["wrk", "-t1", "-c32", `-d${seconds}s`, "--latency", `http://${host}:${port}/`]);
  const rate = Number(/Requests\/sec:\s+([0-9.]+)/.exec(text)?.[1] ?? "NaN");
  const [, value, unit] = /99%\s+([0-9.]+)(us|ms|s)/.exec(text) ?? [];
  return { each: 1000 / rate, p99: Number(value) * ({ us: 0.001, ms: 1, s: 1000 }[unit ?? ""] ?? NaN) };
}

async function measure(pairs: Record<string, Pair>): Promise<void> {
  const lan = ["--net=/run/netns/lan"];
  const rows: Record<string, Record<string, number[]>> = {};
  const add = (row: string, name: string, value: number) => ((rows[row] ??= {})[name] ??= []).push(value);
  for (let round = -1; round < rounds; round++) {
    // Another one first each time, so that none has the better place.
    const turn = Object.entries(pairs);
    for (const [name, pair] of turn.map((_, i) => turn[(i + round + turn.length) % turn.length] ?? turn[0] ?? fail())) {
      const results = {
        "published port: s per Gbit": await iperf(lan, HOST, pair.published.iperf),
        "container to container: s per Gbit": await iperf(pair.inside, pair.ip, IPERF_PORT),
      };
      const outside = await wrk(lan, HOST, pair.published.http);
      const between = await wrk(pair.inside, pair.ip, HTTP_PORT);
      if (round < 0) continue;
      for (const [row, value] of Object.entries(results)) add(row, name, value);
      add("published port: ms per request, 32 connections", name, outside.each);
      add("published port: p99 ms", name, outside.p99);
      add("container to container: ms per request, 32 connections", name, between.each);
      add("container to container: p99 ms", name, between.p99);
    }
  }
  const against = Object.keys(pairs).filter((n) => n !== "nyx");
  for (const [row, results] of Object.entries(rows)) {
    print(judge(row, results, { of: "nyx", against, atMost: 1.1 }));
    // On a machine that others use the best round tells more than the middle one.
    const best = Object.fromEntries(Object.entries(results).map(([k, v]) => [k, [Math.min(...v)]]));
    print(judge(`${row}, best round`, best, { of: "nyx", against, atMost: 1.1 }));
  }
}

/** A peer that does not start here is left out, and said so. */
async function tried(what: string, start: () => Promise<Pair | undefined>): Promise<Record<string, Pair>> {
  try {
    const pair = await start();
    return pair === undefined ? {} : { [what]: pair };
  } catch (e) {
    console.log(`${what} is left out: ${(e as Error).message.split("\n").slice(0, 3).join(" ")}`);
    return {};
  }
}

async function main(): Promise<void> {
  if (!await installed("iperf3")) throw new Error("Debian's iperf3 is missing");
  await using world = await startWorld({ logLevel: "error" });
  const dir = Deno.makeTempDirSync({ prefix: "nyx-bench-" });
  const peers: (Peer | undefined)[] = [];
  try {
    const { containers } = world.nyxd.client;
    const publish = [{ hostPort: 8001, containerPort: HTTP_PORT }, { hostPort: 8002, containerPort: IPERF_PORT }];
    const args = ["sleep", "10000"];
    await containers.run({ image: world.image, name: "serves", publish, args });
    await containers.run({ image: world.image, name: "asks", args });
    const [serves, asks] = [await containers.inspect("serves"), await containers.inspect("asks")];
    serve(serves.state.pid);
    const own: Pair = {
      inside: ["-t", String(asks.state.pid), "-n"],
      ip: serves.network.endpoints[0]?.ip ?? "",
      published: { http: 8001, iperf: 8002 },
    };
    const docker = await tried("docker", async () => {
      const peer = await startDocker(dir, { firewall: true });
      peers.push(peer);
      return peer && await pairOf(peer, world.image, 8011);
    });
    const podman = await tried("podman", async () => {
      const peer = await startPodman(dir);
      peers.push(peer);
      return peer && await pairOf(peer, world.image, 8021);
    });
    await new Promise((r) => setTimeout(r, 1000));
    await measure({ nyx: own, ...docker, ...podman });
  } finally {
    for (const server of servers) {
      server.kill("SIGKILL");
      await server.status;
    }
    for (const peer of peers) await peer?.[Symbol.asyncDispose]();
    const { containers } = world.nyxd.client;
    for (const name of ["serves", "asks"]) await containers.remove(name, { force: true }).catch(() => {});
    // With the v2 hierarchy out of the way, crun makes plain files where it was.
    await sh("rm", ["-rf", `/sys/fs/cgroup/unified/nyx-t${world.nyxd.slot}`]);
    Deno.removeSync(dir, { recursive: true });
  }
}

await inOwnNamespaces(import.meta.filename ?? "", PREPARE);
await main();
