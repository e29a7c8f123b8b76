/** Published ports in the kernel while containers run: opened, closed, moved to another container, held, and counted. */

import assert from "node:assert/strict";
import type { PortMapping } from "../../daemon/spec/container.ts";
import { answer, DUAL, hears, NET, place, type Placed, startNetwork } from "../support/net_fixture.ts";
import { HOST_IP, inNetns, inNetnsAsync, mustInNetns, type NetworkWorker, TestHosts } from "../support/net_hosts.ts";

const change = (worker: NetworkWorker, { id }: Placed, ports: PortMapping[]) =>
  worker.call("change", { id, name: "c", attachments: [{ network: "nyx" }], ports });

/** A client on the LAN with one connection: each line sent comes back. */
class Talker implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<string>;

  constructor(netns: string, target: string) {
    this.#child = new Deno.Command("nsenter", {
      args: [`--net=${netns}`, "--", "socat", "-", target],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#reader = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  async say(text: string, patienceMs = 5000): Promise<string> {
    await this.#writer.write(new TextEncoder().encode(`${text}\n`));
    const late = Promise.withResolvers<{ value: string }>();
    const timer = setTimeout(() => late.resolve({ value: "silence" }), patienceMs);
    const { value = "end" } = await Promise.race([this.#reader.read(), late.promise]);
    clearTimeout(timer);
    return value.trim();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#child.status;
    await this.#reader.cancel();
    await this.#writer.abort().catch(() => {});
  }
}

/** What a client hears that speaks once, from a port that an earlier one may have had: for the kernel the same flow. */
async function sayOnce(hosts: TestHosts, target: string): Promise<string> {
  const { stdout } = await inNetnsAsync(hosts.lan, ["socat", "-T0.5", "-t0.5", "-", target], "x\n");
  return stdout.trim() || "-";
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (let i = 0; !await holds(); i++) {
    if (i === 40) throw new Error(`${what} did not come about`);
    await new Promise((r) => setTimeout(r, 50));
  }
}

/** Echoes lines with a tag in front, for as long as a client likes. */
const TAGGED = 'SYSTEM:while read x; do echo "TAG $x"; done';

async function echo(hosts: TestHosts, { netnsPath }: Placed, tag: string): Promise<void> {
  const program = TAGGED.replace("TAG", tag);
  hosts.serve(netnsPath, ["socat", "TCP6-LISTEN:90,fork,reuseaddr", program]);
  hosts.serve(netnsPath, ["socat", "UDP4-LISTEN:91,fork,reuseaddr", program]);
  await until(
    "the servers",
    () => Promise.resolve(/:90 [^]*:91 |:91 [^]*:90 /.test(inNetns(netnsPath, ["ss", "-Hlntu"]).stdout)),
  );
}

Deno.test("movePorts: new connections of both families reach the second container, open ones and their count stay with the first", async () => {
  await using hosts = new TestHosts();
  const { worker } = await startNetwork(hosts, [DUAL]);
  const ports: PortMapping[] = [
    { hostPort: 8090, containerPort: 90 },
    { hostPort: 8091, containerPort: 91, protocol: "udp" },
    { hostPort: 7000, containerPort: 7000, count: 20 },
  ];
  const old = await place(worker, "old", ports);
  const next = await place(worker, "next", [{ hostIp: "127.0.0.1", hostPort: 9000, containerPort: 80 }]);
  await echo(hosts, old, "old");
  await echo(hosts, next, "next");
  await answer(hosts, old.netnsPath, "old", ["7003/tcp"]);
  await answer(hosts, next.netnsPath, "next", ["7003/tcp"]);
  const open = (c: Placed) => worker.call("openConnections", { id: c.id });
  assert.deepEqual(await open(old), { tcp: 0, udp: 0 });
  await using four = new Talker(hosts.lan, `TCP4:${HOST_IP}:8090`);
  await using six = new Talker(hosts.lan, "TCP6:[fd77::1]:8090");
  const bound = `UDP4:${HOST_IP}:8091,sourceport=40001`;
  const udp = new Talker(hosts.lan, bound);
  for (const talker of [four, six, udp]) assert.equal(await talker.say("a"), "old a");
  assert.deepEqual(await open(old), { tcp: 2, udp: 1 });
  await hears(hosts.lan, "tcp", HOST_IP, 7003, "old 192.168.77.2");

  const move = { from: old.id, to: next.id };
  const moved = await worker.call("movePorts", { ...move, ports: old.ports });
  assert.deepEqual([moved.from, moved.to.length], [[], 1 + old.ports.length]);
  for (const talker of [four, six, udp]) assert.equal(await talker.say("b"), "old b", "an open connection was cut");
  await using four2 = new Talker(hosts.lan, `TCP4:${HOST_IP}:8090`);
  await using six2 = new Talker(hosts.lan, "TCP6:[fd77::1]:8090");
  await using udp2 = new Talker(hosts.lan, `UDP4:${HOST_IP}:8091`);
  for (const talker of [four2, six2, udp2]) assert.equal(await talker.say("c"), "next c");
  await hears(hosts.lan, "tcp", HOST_IP, 7003, "next 192.168.77.2");
  assert.deepEqual(
    [await open(old), await open(next)],
    [{ tcp: 2, udp: 1 }, { tcp: 2, udp: 1 }],
  );
  await four[Symbol.asyncDispose]();
  await six[Symbol.asyncDispose]();
  await until("draining", async () => (await open(old)).tcp === 0);

  // The first one goes: who still sends to it by UDP is served by the second.
  await worker.call("teardown", { id: old.id });
  await worker.call("release", { id: old.id });
  assert.deepEqual(await open(old), { tcp: 0, udp: 0 });
  await udp[Symbol.asyncDispose]();
  await until("the flow of the gone container to be forgotten", async () => await sayOnce(hosts, bound) === "next x");
  await worker.kill();
  const again = await startNetwork(hosts, [DUAL], [next.id]);
  await using four3 = new Talker(hosts.lan, `TCP4:${HOST_IP}:8090`);
  assert.equal(await four3.say("e"), "next e", "it was not on disk");
  assert.deepEqual(again.warnings, []);
});

Deno.test("movePorts: what cannot be moved leaves both containers as they were", async () => {
  await using hosts = new TestHosts();
  const closed = {
    ...NET,
    name: "closed",
    bridge: "nyxbr1",
    subnet: "10.90.0.0/24",
    gateway: "10.90.0.1",
    internal: true,
  };
  const four = { ...NET, name: "four", bridge: "nyxbr2", subnet: "10.91.0.0/24", gateway: "10.91.0.1" };
  const { worker } = await startNetwork(hosts, [DUAL, closed, four]);
  const web = await place(worker, "web", [{ hostPort: 8080, containerPort: 80 }]);
  const inner = await place(worker, "inner", [], ["closed"]);
  const v4only = await place(worker, "v4only", [], ["four"]);
  const idle = await place(worker, "idle");
  await worker.call("teardown", { id: idle.id });
  const state = () =>
    mustInNetns(hosts.host, ["nft", "list", "table", "inet", "nyx_nyxbr0"]) +
    Deno.readTextFileSync(`${hosts.baseDir}/network/leases.json`);
  const before = state();
  const move = (to: string, ports = web.ports, from = web.id) => worker.call("movePorts", { from, to, ports });
  await assert.rejects(move(inner.id), { code: "failed_precondition", message: /inner has no network with a way out/ });
  await assert.rejects(move(idle.id), { code: "failed_precondition", message: /idle/ });
  await assert.rejects(move(v4only.id), { code: "failed_precondition", message: /no network of v4only has IPv6/ });
  await assert.rejects(move(web.id), { code: "invalid_argument" });
  await assert.rejects(
    move(v4only.id, [{ hostIp: "0.0.0.0", hostPort: 1, containerPort: 80, count: 1, protocol: "tcp" }]),
    {
      code: "not_found",
      message: /0\.0\.0\.0:1\/tcp: web does not publish it/,
    },
  );
  assert.equal(state(), before);
});

Deno.test("change of ports: those that stay are never closed; UDP flows to a closed one end; a moved holder is refused by name", async () => {
  await using hosts = new TestHosts();
  const { worker } = await startNetwork(hosts);
  const keep: PortMapping = { hostPort: 8090, containerPort: 90 };
  const web = await place(worker, "web", [keep]);
  await echo(hosts, web, "web");
  let asking = true;
  const heard = new Set<string>();
  const asker = (async () => {
    while (asking) {
      await using one = new Talker(hosts.lan, `TCP4:${HOST_IP}:8090`);
      heard.add(await one.say("x"));
    }
  })();
  const udp: PortMapping = { hostPort: 8091, containerPort: 91, protocol: "udp" };
  const range: PortMapping = { hostPort: 7000, containerPort: 7000, count: 50 };
  for (let i = 0; i < 20; i++) {
    await change(worker, web, [keep, udp, range]);
    await change(worker, web, [range, keep]);
    await change(worker, web, [keep]);
  }
  asking = false;
  await asker;
  assert.deepEqual([...heard], ["web x"]);
  await change(worker, web, [keep, udp]);
  const bound = `UDP4:${HOST_IP}:8091,sourceport=40002`;
  assert.equal(await sayOnce(hosts, bound), "web x");
  await change(worker, web, [keep]);
  await until("the flow to a closed port to end", async () => await sayOnce(hosts, bound) === "-");

  const other = await place(worker, "other");
  await assert.rejects(change(worker, other, [keep]), {
    code: "already_exists",
    message: /container c has 0\.0\.0\.0:8090/,
  });
  await change(worker, web, [{ ...keep, hostIp: "127.0.0.1" }]);
  await hears(hosts.lan, "tcp", HOST_IP, 8090, "-");
  await change(worker, web, [keep, { hostPort: 8092, containerPort: 90 }]);
  mustInNetns(hosts.host, ["sh", "-c", "! socat -u TCP4-LISTEN:8092,reuseaddr /dev/null"]);
});

Deno.test("published ports are held while the container runs, over crashes: short ranges, not long ones, not the DNS port", async () => {
  await using hosts = new TestHosts();
  const first = await startNetwork(hosts);
  const ports: PortMapping[] = [
    { hostPort: 8090, containerPort: 90 },
    { hostIp: HOST_IP, hostPort: 8091, containerPort: 91, protocol: "udp" },
    { hostPort: 7000, containerPort: 7000, count: 16 },
    { hostPort: 9000, containerPort: 9000, count: 17 },
    { hostPort: 53, containerPort: 53 },
  ];
  const web = await place(first.worker, "web", ports);
  const binds = (what: string) => {
    const patience = what.startsWith("TCP") ? `${what},accept-timeout=0.05` : what;
    const { stderr } = inNetns(hosts.host, ["socat", "-T0.05", "-u", patience, "/dev/null"]);
    return !stderr.includes("Address already in use");
  };
  const free = () => ({
    tcp: binds("TCP4-LISTEN:8090"),
    reuse: binds("TCP4-LISTEN:8090,bind=127.0.0.1,reuseaddr"),
    udp: binds(`UDP4-RECV:8091,bind=${HOST_IP}`),
    range: binds("TCP4-LISTEN:7015"),
    long: binds("TCP4-LISTEN:9003"),
    dns: binds(`TCP4-LISTEN:53,bind=${HOST_IP}`),
  });
  const held = { tcp: false, reuse: false, udp: false, range: false, long: true, dns: true };
  assert.deepEqual(free(), held);
  await first.worker.kill();
  assert.deepEqual(free().tcp, true, "nobody holds while the daemon is down");
  const foreign = hosts.serve(hosts.host, ["socat", "TCP4-LISTEN:8090,fork,reuseaddr", "SYSTEM:echo foreign"]);
  await until(
    "the program of the host",
    () => Promise.resolve(inNetns(hosts.host, ["ss", "-Hlnt"]).stdout.includes(":8090")),
  );
  const again = await startNetwork(hosts, [NET], [web.id]);
  assert.match(
    again.warnings.join("\n"),
    /^Port 8090 of 0\.0\.0\.0 is published, so a program on the host that has it as well gets/,
  );
  Deno.kill(-foreign.pid, "SIGKILL");
  await foreign.status;
  await again.worker.call("teardown", { id: web.id });
  assert.deepEqual(Object.values(free()), Array(6).fill(true), "a stopped container holds nothing");
});
