/** The network worker from init to shutdown: leases, conflicts, crashes, adoption, repair. */

import assert from "node:assert/strict";
import { NyxError } from "../../daemon/spec/errors.ts";
import type { NetworkDefinition, NetworkStage } from "../../workers/protocol.ts";
import { HOST_IP, inNetns, mustInNetns, type NetworkWorker, randomId, TestHosts } from "../support/net_hosts.ts";

const NET: NetworkDefinition = {
  name: "nyx",
  driver: "bridge",
  bridge: "nyxbr0",
  subnet: "10.88.0.0/16",
  gateway: "10.88.0.1",
};
const SMALL = { ...NET, subnet: "10.88.7.0/29", gateway: "10.88.7.1" };
const ON_NYX = [{ network: "nyx" }];

type Init = NetworkStage["ops"]["init"]["request"];

function init(hosts: TestHosts, worker: NetworkWorker, options: Partial<Init> = {}) {
  return worker.call("init", {
    baseDir: hosts.baseDir,
    networks: [NET],
    live: [],
    known: [],
    poolSize: 2,
    defaultPublishIp: "",
    ...options,
  });
}

function setup(worker: NetworkWorker, id: string, options: Partial<NetworkStage["ops"]["setup"]["request"]> = {}) {
  return worker.call("setup", {
    id,
    name: `c-${id.slice(0, 6)}`,
    mode: "bridge",
    attachments: ON_NYX,
    ports: [],
    sysctls: {},
    ...options,
  });
}

function reserve(
  worker: NetworkWorker,
  id: string,
  name: string,
  ports: {
    hostPort: number;
    containerPort: number;
    count?: number;
    hostIp?: string;
    protocol?: "tcp" | "udp" | "sctp";
  }[],
  ip?: string,
) {
  return worker.call("reserve", {
    id,
    name,
    attachments: [{ network: "nyx", ...(ip === undefined ? {} : { ip }) }],
    ports,
  });
}

/** Interfaces, pins and map elements of nyx on the host, leases on disk. */
function traces(hosts: TestHosts): { links: string[]; pins: string[]; elements: number; leases: string[] } {
  const links = mustInNetns(hosts.host, ["ip", "-br", "link"]).split("\n").map((l) => l.split(/[@ ]/)[0] ?? "")
    .filter((l) => l.startsWith("ny") && !l.startsWith("nyxbr"));
  const pins = [...Deno.readDirSync(`${hosts.baseDir}/run/netns`)].map((e) => e.name);
  const table = mustInNetns(hosts.host, ["nft", "list", "table", "inet", "nyx_nyxbr0"]);
  const elements = table.split("\n").filter((l) => / : 10\.88\./.test(l)).length;
  const path = `${hosts.baseDir}/network/leases.json`;
  const written = [...Deno.readDirSync(`${hosts.baseDir}/network`)].some((e) => e.name === "leases.json");
  const file = written ? JSON.parse(Deno.readTextFileSync(path)) : { containers: {} };
  return { links, pins, elements, leases: Object.keys(file.containers) };
}

function code(expected: string, pattern: RegExp) {
  return (e: unknown) => {
    assert.ok(e instanceof NyxError, String(e));
    assert.equal(e.code, expected, e.message);
    assert.match(e.message, pattern);
    return true;
  };
}

async function settled(check: () => void): Promise<void> {
  for (let i = 0;; i++) {
    try {
      return check();
    } catch (e) {
      if (i === 40) throw e;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }
}

Deno.test("setup: 200 at once get 200 addresses, all of them on disk; teardown and release leave nothing", async () => {
  await using hosts = new TestHosts();
  const worker = hosts.startWorker();
  await init(hosts, worker);
  const ids = Array.from({ length: 200 }, randomId);
  const results = await Promise.all(
    ids.map((id, i) => setup(worker, id, { ports: [{ hostPort: 20000 + i, containerPort: 80 }] })),
  );
  const ips = new Set(results.map((r) => r.endpoints[0]?.ip));
  assert.equal(ips.size, 200);
  assert.ok(!ips.has("10.88.0.1"));
  const full = traces(hosts);
  assert.equal(full.links.length, 200);
  assert.equal(full.leases.length, 200);
  assert.equal(full.elements, 200);
  for (const i of [0, 99, 199]) {
    const inside = mustInNetns(results[i]?.netnsPath ?? "", ["ip", "-br", "-4", "addr", "show", "eth0"]);
    assert.match(inside, new RegExp(`${results[i]?.endpoints[0]?.ip}/16`));
  }
  await Promise.all(ids.map((id) => worker.call("teardown", { id })));
  await Promise.all(ids.map((id) => worker.call("release", { id })));
  await settled(() => assert.deepEqual(traces(hosts), { links: [], pins: [], elements: 0, leases: [] }));
});

Deno.test("setup is idempotent by id, keeps the address from reserve, and the same MAC goes with the same address", async () => {
  await using hosts = new TestHosts();
  const worker = hosts.startWorker();
  await init(hosts, worker);
  const id = randomId();
  await reserve(worker, id, "one", [{ hostPort: 0, containerPort: 80 }], "10.88.3.4");
  const [a, b] = await Promise.all([
    setup(worker, id, {
      attachments: [{ network: "nyx", ip: "10.88.3.4" }],
      ports: [{ hostPort: 0, containerPort: 80 }],
    }),
    setup(worker, id, {
      attachments: [{ network: "nyx", ip: "10.88.3.4" }],
      ports: [{ hostPort: 0, containerPort: 80 }],
    }),
  ]);
  assert.deepEqual(a, b);
  assert.equal(a.endpoints[0]?.ip, "10.88.3.4");
  assert.equal(a.endpoints[0]?.mac, "02:6e:0a:58:03:04");
  assert.ok((a.ports[0]?.hostPort ?? 0) >= 32768);
  // A restart: down and up at once, again and again, although the kernel takes the old interface away only later.
  for (let i = 0; i < 5; i++) {
    await worker.call("teardown", { id });
    assert.deepEqual(await setup(worker, id, { ports: [{ hostPort: 0, containerPort: 80 }] }), a);
  }
  await settled(() => assert.equal(traces(hosts).links.length, 1));
  const other = await setup(worker, randomId(), { attachments: [{ network: "nyx", mac: "02:00:00:00:00:09" }] });
  assert.equal(other.endpoints[0]?.mac, "02:00:00:00:00:09");
  assert.match(mustInNetns(other.netnsPath, ["ip", "link", "show", "eth0"]), /02:00:00:00:00:09/);
});

Deno.test("setup mode none gives loopback alone; net sysctls hold inside; bad ones are refused with nothing left", async () => {
  await using hosts = new TestHosts();
  const worker = hosts.startWorker();
  await init(hosts, worker);
  const none = await setup(worker, randomId(), {
    mode: "none",
    attachments: [],
    sysctls: { "net.core.somaxconn": "77" },
  });
  assert.deepEqual(none.endpoints, []);
  assert.match(mustInNetns(none.netnsPath, ["ip", "-br", "link"]), /^lo\s+UNKNOWN\s+\S+\s+<LOOPBACK,UP,LOWER_UP>\s*$/);
  assert.equal(mustInNetns(none.netnsPath, ["sysctl", "-n", "net.core.somaxconn"]).trim(), "77");
  assert.equal(mustInNetns(none.netnsPath, ["sysctl", "-n", "net.ipv4.ip_unprivileged_port_start"]).trim(), "0");
  const before = traces(hosts);
  const refused = randomId();
  await assert.rejects(
    setup(worker, refused, { sysctls: { "net.core.nonsense": "1" } }),
    code("invalid_argument", /net\.core\.nonsense/),
  );
  // The attacker writes a path for a sysctl name.
  await assert.rejects(
    setup(worker, refused, { sysctls: { "net./../kernel/core_pattern": "|/bin/sh" } }),
    code("invalid_argument", /sysctl/),
  );
  await assert.rejects(setup(worker, "../../etc/passwd"), code("invalid_argument", /container id/));
  await settled(() => assert.deepEqual(traces(hosts), before));
});

Deno.test("reserve names the holder of a port, of an address, and tells a program on the host", async () => {
  await using hosts = new TestHosts();
  const worker = hosts.startWorker();
  await init(hosts, worker);
  await reserve(worker, randomId(), "db", [{ hostPort: 5432, containerPort: 5432 }, {
    hostPort: 6000,
    containerPort: 6000,
    count: 10,
    protocol: "udp",
  }], "10.88.0.9");
  const id = randomId();
  await assert.rejects(
    reserve(worker, id, "db2", [{ hostPort: 5432, containerPort: 1 }]),
    code("already_exists", /container db has 0\.0\.0\.0:5432\/tcp/),
  );
  await assert.rejects(
    reserve(worker, id, "db2", [{ hostIp: "127.0.0.1", hostPort: 5432, containerPort: 1 }]),
    code("already_exists", /container db/),
  );
  await assert.rejects(
    reserve(worker, id, "db2", [{ hostPort: 6009, containerPort: 1, protocol: "udp" }]),
    code("already_exists", /6000-6009\/udp/),
  );
  await assert.rejects(reserve(worker, id, "db2", [], "10.88.0.9"), code("already_exists", /container db has it/));
  await assert.rejects(reserve(worker, id, "db2", [], "10.88.0.1"), code("already_exists", /the gateway has it/));
  await assert.rejects(reserve(worker, id, "db2", [], "10.89.0.1"), code("invalid_argument", /10\.88\.0\.0\/16/));
  await assert.rejects(reserve(worker, id, "db2", [], "10.88.255.255"), code("invalid_argument", /host address/));
  await assert.rejects(
    reserve(worker, id, "db2", [{ hostIp: "203.0.113.9", hostPort: 80, containerPort: 1 }]),
    code("failed_precondition", /no address of this host/),
  );
  await assert.rejects(
    reserve(worker, id, "db2", [{ hostIp: "localhost", hostPort: 80, containerPort: 1 }]),
    code("invalid_argument", /not a name/),
  );
  await assert.rejects(
    reserve(worker, id, "db2", [{ hostPort: 65530, containerPort: 1, count: 10 }]),
    code("invalid_argument", /65530-65539/),
  );
  await assert.rejects(
    reserve(worker, id, "db2", [{ hostPort: 80, containerPort: 0 }]),
    code("invalid_argument", /container port/),
  );
  await assert.rejects(
    worker.call("reserve", { id, name: "x", attachments: [{ network: "nope" }], ports: [] }),
    code("not_found", /nope/),
  );
  hosts.serve(hosts.host, ["socat", "TCP4-LISTEN:7000,fork", "SYSTEM:true"]);
  hosts.serve(hosts.host, ["socat", "UDP4-RECVFROM:7001,fork", "SYSTEM:true"]);
  await new Promise((resolve) => setTimeout(resolve, 200));
  await assert.rejects(
    reserve(worker, id, "db2", [{ hostPort: 7000, containerPort: 1 }]),
    code("already_exists", /a program on the host has port 7000/),
  );
  await assert.rejects(
    reserve(worker, id, "db2", [{ hostPort: 7000, containerPort: 1, count: 3, protocol: "udp" }]),
    code("already_exists", /has port 7001/),
  );
  const long = { containerPort: 1, count: 100 };
  for (const [port, protocol, taken] of [[6950, "tcp", 7000], [6950, "udp", 7001]] as const) {
    await assert.rejects(
      reserve(worker, id, "db2", [{ ...long, hostPort: port, protocol }]),
      code("already_exists", new RegExp(`a program on the host has port ${taken}`)),
    );
  }
  await reserve(worker, id, "db2", [{ ...long, hostPort: 6800 }]);
  // Other protocol, other address, other port: all free. Then the freed address and port are given again.
  const fine = await reserve(worker, id, "db2", [
    { hostPort: 5432, containerPort: 1, protocol: "udp" },
    { hostPort: 5433, containerPort: 1 },
    { hostIp: "127.0.0.1", hostPort: 8000, containerPort: 1 },
    { hostIp: HOST_IP, hostPort: 8000, containerPort: 1 },
    { hostPort: 0, containerPort: 1, count: 5, protocol: "sctp" },
  ]);
  assert.deepEqual(fine.ports.map((p) => p.hostPort).slice(0, 4), [5432, 5433, 8000, 8000]);
  await worker.call("release", { id });
  await worker.call("release", { id });
  await reserve(worker, randomId(), "db3", [{ hostPort: 5433, containerPort: 1 }]);
});

Deno.test("a full subnet says so, and an address that is given back is given again", async () => {
  await using hosts = new TestHosts();
  const worker = hosts.startWorker();
  await init(hosts, worker, { networks: [SMALL] });
  const ids = Array.from({ length: 5 }, randomId);
  for (const id of ids) await setup(worker, id);
  await assert.rejects(setup(worker, randomId()), code("resource_exhausted", /all 6 of 10\.88\.7\.0\/29 are taken/));
  const [first = ""] = ids;
  await worker.call("teardown", { id: first });
  await assert.rejects(setup(worker, randomId()), code("resource_exhausted", /taken/));
  await worker.call("release", { id: first });
  assert.equal((await setup(worker, randomId())).endpoints[0]?.ip, "10.88.7.2");
});

Deno.test("init refuses subnets that cannot be, and one that the host routes elsewhere", async () => {
  await using hosts = new TestHosts();
  const worker = hosts.startWorker();
  const bad: [Partial<NetworkDefinition>, string, RegExp][] = [
    [{ subnet: "10.88.0.0" }, "invalid_argument", /IPv4 block/],
    [{ subnet: "10.88.0.0/33" }, "invalid_argument", /IPv4 block/],
    [{ subnet: "10.88.0.5/16" }, "invalid_argument", /write 10\.88\.0\.0\/16/],
    [{ subnet: "10.88.0.0/30" }, "invalid_argument", /8 to 29/],
    [{ subnet: "127.0.0.0/16", gateway: "127.0.0.1" }, "invalid_argument", /127\.0\.0\.0\/8/],
    [{ subnet: "224.0.0.0/16", gateway: "224.0.0.1" }, "invalid_argument", /224\.0\.0\.0\/3/],
    [{ gateway: "10.88.0.0" }, "invalid_argument", /gateway/],
    [{ gateway: "10.89.0.1" }, "invalid_argument", /inside 10\.88/],
    [{ bridge: "nyx;reboot" }, "invalid_argument", /interface name/],
    [{ bridge: "abcdefghijklmnop" }, "invalid_argument", /15/],
    [{ mtu: 100 }, "invalid_argument", /576/],
    [{ subnet: "192.168.0.0/16", gateway: "192.168.0.1" }, "failed_precondition", /through up0/],
    [{ bridge: "up0" }, "failed_precondition", /kind "veth"/],
  ];
  for (const [change, errorCode, pattern] of bad) {
    await assert.rejects(init(hosts, worker, { networks: [{ ...NET, ...change }] }), code(errorCode, pattern));
  }
  assert.doesNotMatch(mustInNetns(hosts.host, ["ip", "-br", "link"]), /nyxbr0/);
  await init(hosts, worker);
});

Deno.test("after kill -9 a running container's network stays, and is adopted with its address and ports", async () => {
  await using hosts = new TestHosts();
  const first = hosts.startWorker();
  await init(hosts, first);
  const [id, stopped, gone] = [randomId(), randomId(), randomId()];
  const web = await setup(first, id, { name: "web", ports: [{ hostPort: 8080, containerPort: 80 }] });
  await setup(first, gone, { name: "gone", ports: [{ hostPort: 8082, containerPort: 80 }] });
  await reserve(first, stopped, "stopped", [{ hostPort: 8081, containerPort: 80 }]);
  hosts.serve(web.netnsPath, ["socat", "TCP4-LISTEN:80,fork,reuseaddr", "SYSTEM:echo alive"]);
  await first.kill();
  const answer = () =>
    inNetns(hosts.lan, ["socat", "-T1", "-", `TCP4:${HOST_IP}:8080,connect-timeout=1`]).stdout.trim();
  await settled(() => assert.equal(answer(), "alive", "while no daemon runs"));

  const second = hosts.startWorker();
  const { removed, warnings } = await init(hosts, second, { live: [id], known: [stopped] });
  assert.deepEqual([removed, warnings], [[gone], []]);
  await settled(() => assert.equal(answer(), "alive"));
  assert.deepEqual(await setup(second, id, { name: "web", ports: [{ hostPort: 8080, containerPort: 80 }] }), web);
  await assert.rejects(
    reserve(second, randomId(), "x", [{ hostPort: 8081, containerPort: 1 }]),
    code("already_exists", /stopped/),
  );
  await reserve(second, randomId(), "x", [{ hostPort: 8082, containerPort: 1 }]);
  assert.equal(traces(hosts).links.length, 1);

  await second.kill();
  Deno.writeTextFileSync(`${hosts.baseDir}/network/leases.json`, '{"version":1,"containers":{"');
  const third = hosts.startWorker();
  const lost = (await init(hosts, third, { live: [id] })).warnings;
  assert.equal(lost.length, 2, lost.join("\n"));
  assert.match(lost.join("\n"), /leases\.json\.damaged-\d+/);
  assert.match(lost.join("\n"), /published ports are unknown/);
  const others = await Promise.all(Array.from({ length: 5 }, () => setup(third, randomId())));
  assert.ok(!others.some((o) => o.endpoints[0]?.ip === web.endpoints[0]?.ip));
});

Deno.test("kill -9 in the middle of many set-ups: the next init removes every trace of them", async () => {
  await using hosts = new TestHosts();
  const left: number[] = [];
  for (const delay of [0, 10, 20, 30, 50]) {
    const worker = hosts.startWorker();
    await init(hosts, worker);
    const begun = Array.from(
      { length: 40 },
      (_, i) => setup(worker, randomId(), { ports: [{ hostPort: 9000 + i, containerPort: 80, protocol: "udp" }] }),
    );
    begun.forEach((b) => b.catch(() => {}));
    await new Promise((resolve) => setTimeout(resolve, delay));
    await worker.kill();
    left.push(traces(hosts).pins.length);
    const next = hosts.startWorker();
    await init(hosts, next);
    assert.deepEqual(traces(hosts), { links: [], pins: [], elements: 0, leases: [] }, `after ${delay} ms`);
    await next.kill();
  }
  assert.ok(left.some((n) => n > 0 && n < 40), `no kill struck in the middle: ${left}`);
});

/** Breaks everything of nyx's that a stranger can break on a host. */
const BREAK = "nft flush ruleset; ip link del nyxbr0; sysctl -qw net.ipv4.ip_forward=0";

Deno.test("init repairs what others broke while no daemon ran: a flushed ruleset, a deleted bridge, forwarding off", async () => {
  await using hosts = new TestHosts();
  const first = hosts.startWorker();
  await init(hosts, first);
  const id = randomId();
  const web = await setup(first, id, { ports: [{ hostPort: 8080, containerPort: 80 }] });
  hosts.serve(web.netnsPath, ["socat", "TCP4-LISTEN:80,fork,reuseaddr", "SYSTEM:echo alive"]);
  await first.kill();
  mustInNetns(hosts.host, ["sh", "-c", BREAK]);
  const second = hosts.startWorker();
  assert.deepEqual((await init(hosts, second, { live: [id] })).warnings, []);
  const answer = () =>
    inNetns(hosts.lan, ["socat", "-T1", "-", `TCP4:${HOST_IP}:8080,connect-timeout=1`]).stdout.trim();
  await settled(() => assert.equal(answer(), "alive"));
  // A table that vanishes while the worker runs comes back with the next published port, and teardown does not mind.
  mustInNetns(hosts.host, ["nft", "flush", "ruleset"]);
  const other = randomId();
  await setup(second, other, { ports: [{ hostPort: 8081, containerPort: 80 }] });
  assert.equal(traces(hosts).elements, 2);
  mustInNetns(hosts.host, ["nft", "flush", "ruleset"]);
  await second.call("teardown", { id: other });
  assert.equal(traces(hosts).elements, 1);
});

Deno.test("while the worker runs, each thing that others break is repaired within a second, with traffic running", async () => {
  await using hosts = new TestHosts();
  const worker = hosts.startWorker();
  await init(hosts, worker);
  const web = await setup(worker, randomId(), { ports: [{ hostPort: 8080, containerPort: 80 }] });
  hosts.serve(web.netnsPath, ["socat", "TCP4-LISTEN:80,fork,reuseaddr", "SYSTEM:echo alive"]);
  const alive = () =>
    inNetns(hosts.lan, ["socat", "-T0.1", "-", `TCP4:${HOST_IP}:8080,connect-timeout=0.1`]).stdout.trim();
  await settled(() => assert.equal(alive(), "alive"));
  const breakages = [
    "nft flush ruleset",
    "nft flush map inet nyx_nyxbr0 any4",
    "nft flush chain inet nyx_nyxbr0 publish",
    "nft delete table inet nyx_nyxbr0",
    "ip link del nyxbr0",
    "ip link set nyxbr0 down",
    "ip addr flush dev nyxbr0",
    "sysctl -qw net.ipv4.ip_forward=0",
    BREAK,
  ];
  /** Milliseconds from a breakage until the port answers again. */
  const repairMs = (breakage: string): number => {
    mustInNetns(hosts.host, ["sh", "-c", breakage]);
    const began = Date.now();
    while (alive() !== "alive" && Date.now() - began < 5000);
    return Date.now() - began;
  };
  for (const breakage of breakages) {
    // The better of two: a busy test machine may steal the time that is measured.
    const first = repairMs(breakage);
    if (first >= 1000) await new Promise((resolve) => setTimeout(resolve, 500));
    const best = first < 1000 ? first : repairMs(breakage);
    assert.ok(best < 1000, `${breakage}: ${first} and ${best} ms`);
    await new Promise((resolve) => setTimeout(resolve, 350));
    await settled(() => assert.equal(alive(), "alive", breakage));
  }
  const early = mustInNetns(hosts.host, ["nft", "list", "chain", "inet", "nyx_nyxbr0", "early"]);
  assert.match(early, /127\.0\.0\.0\/8 drop/);
  // What nyx itself deletes is not taken for somebody else's doing.
  const generation = () => mustInNetns(hosts.host, ["nft", "-a", "list", "tables"]);
  await new Promise((resolve) => setTimeout(resolve, 400));
  const before = generation();
  for (let i = 0; i < 5; i++) {
    const id = randomId();
    await setup(worker, id, { ports: [{ hostPort: 9000, containerPort: 80 }] });
    await worker.call("teardown", { id });
    await worker.call("release", { id });
  }
  await new Promise((resolve) => setTimeout(resolve, 400));
  assert.equal(generation(), before);
});

Deno.test("shutdown takes bridge, table and mount away after the last container, and leaves strangers alone", async () => {
  await using hosts = new TestHosts();
  mustInNetns(hosts.host, [
    "nft",
    "add table ip stranger; add chain ip stranger c { type filter hook forward priority 0; }",
  ]);
  const before = mustInNetns(hosts.host, ["nft", "list", "ruleset"]);
  const worker = hosts.startWorker();
  await init(hosts, worker);
  const id = randomId();
  await setup(worker, id, { ports: [{ hostPort: 8080, containerPort: 80 }] });
  await assert.rejects(worker.call("shutdown", { keepNetworks: false }), code("failed_precondition", /1 container/));
  await worker.call("teardown", { id });
  await worker.call("teardown", { id });
  await worker.call("release", { id });
  await worker.call("shutdown", { keepNetworks: false });
  assert.equal(mustInNetns(hosts.host, ["nft", "list", "ruleset"]), before);
  assert.doesNotMatch(mustInNetns(hosts.host, ["ip", "-br", "link"]), /^ny/m);
  assert.ok(!Deno.readTextFileSync("/proc/self/mountinfo").includes(hosts.baseDir));
  await worker.close();
});

Deno.test("two daemons with different bridges live on one host and end without touching each other", async () => {
  await using hosts = new TestHosts();
  const one = hosts.startWorker();
  await init(hosts, one);
  const baseDir = Deno.makeTempDirSync({ prefix: "nyx-network-two-" });
  try {
    const two = hosts.startWorker(baseDir);
    const request = { live: [], known: [], poolSize: 1, defaultPublishIp: "", baseDir };
    await setup(one, randomId());
    await assert.rejects(
      two.call("init", { ...request, networks: [NET] }),
      code("failed_precondition", /nyxd of .* has it, with 1 container/),
    );
    await two.call("init", {
      ...request,
      networks: [{ ...NET, bridge: "nyxbr9", subnet: "10.91.0.0/24", gateway: "10.91.0.1" }],
    });
    const id = randomId();
    await setup(two, id, { ports: [{ hostPort: 8080, containerPort: 80 }] });
    await two.call("teardown", { id });
    await two.call("shutdown", { keepNetworks: false });
    await two.close();
    assert.equal(traces(hosts).links.length, 1);
  } finally {
    Deno.removeSync(baseDir, { recursive: true });
  }
});

Deno.test("removeNetwork refuses while a container holds a lease, then takes the bridge away", async () => {
  await using hosts = new TestHosts();
  const worker = hosts.startWorker();
  await init(hosts, worker);
  const network = { ...NET, name: "extra", bridge: "nyxbr1", subnet: "10.92.0.0/24", gateway: "10.92.0.1" };
  await worker.call("ensureNetwork", { network });
  await worker.call("ensureNetwork", { network });
  await assert.rejects(
    worker.call("ensureNetwork", { network: { ...network, name: "third", bridge: "nyxbr2" } }),
    code("invalid_argument", /overlaps 10\.92/),
  );
  const id = randomId();
  const both = await setup(worker, id, { attachments: [{ network: "nyx" }, { network: "extra", gatewayPriority: 5 }] });
  assert.deepEqual(both.endpoints.map((e) => e.interface), ["eth0", "eth1"]);
  assert.match(mustInNetns(both.netnsPath, ["ip", "route"]), /default via 10\.92\.0\.1 dev eth1/);
  await worker.call("teardown", { id });
  await assert.rejects(
    worker.call("removeNetwork", { name: "extra" }),
    code("failed_precondition", /is attached to it/),
  );
  await worker.call("release", { id });
  await worker.call("removeNetwork", { name: "extra" });
  await worker.call("removeNetwork", { name: "extra" });
  assert.doesNotMatch(mustInNetns(hosts.host, ["ip", "-br", "link"]), /nyxbr1/);
});
