/** The network worker changes networks of running containers, and starts beside what the host has meanwhile. */

import assert from "node:assert/strict";
import type { NetworkDefinition, NetworkStage } from "../../workers/protocol.ts";
import { inNetns, mustInNetns, type NetworkWorker, randomId, TestHosts } from "../support/net_hosts.ts";

const NYX: NetworkDefinition = {
  name: "nyx",
  driver: "bridge",
  bridge: "nyxbr0",
  subnet: "10.88.0.0/16",
  gateway: "10.88.0.1",
};
const BACK: NetworkDefinition = {
  name: "back",
  driver: "bridge",
  bridge: "nyx-back",
  subnet: "10.89.1.0/24",
  gateway: "10.89.1.1",
  ipRange: "10.89.1.128/30",
  subnet6: "fd00:1::/64",
  gateway6: "fd00:1::1",
};
const VAULT: NetworkDefinition = {
  ...NYX,
  name: "vault",
  bridge: "nyx-vault",
  subnet: "10.89.2.0/24",
  gateway: "10.89.2.1",
  internal: true,
};

type Attachments = NetworkStage["ops"]["change"]["request"]["attachments"];

async function start(hosts: TestHosts, networks = [NYX, BACK, VAULT], live: string[] = []): Promise<NetworkWorker> {
  const worker = hosts.startWorker();
  await worker.call("init", { baseDir: hosts.baseDir, networks, live, known: [], poolSize: 1, defaultPublishIp: "" });
  return worker;
}

function setup(
  worker: NetworkWorker,
  id: string,
  attachments: Attachments,
  ports = [{ hostPort: 8080, containerPort: 80 }],
) {
  return worker.call("setup", { id, name: "web", mode: "bridge", attachments, ports, sysctls: {} });
}

const routes = (netns: string) => mustInNetns(netns, ["sh", "-c", "ip -o route; ip -6 -o route show default"]);
const published = (hosts: TestHosts) =>
  mustInNetns(hosts.host, ["nft", "list", "map", "inet", "nyx_nyxbr0", "any4"]) +
  mustInNetns(hosts.host, ["nft", "list", "map", "inet", "nyx_nyxbr0", "any6"]);

Deno.test("change: links, default routes of both families and published ports go from one network to the other", async () => {
  await using hosts = new TestHosts();
  const worker = await start(hosts);
  const id = randomId();
  const ports = [{ hostPort: 8080, containerPort: 80 }];
  const { netnsPath } = await setup(worker, id, [{ network: "nyx" }]);
  const change = (attachments: Attachments) => worker.call("change", { id, name: "web", attachments, ports });

  const two = await change([{ network: "nyx" }, { network: "back" }]);
  assert.deepEqual(two.endpoints.map((e) => [e.network, e.interface]), [["nyx", "eth0"], ["back", "eth1"]]);
  assert.equal(two.gatewayNetwork, "nyx");
  assert.equal(two.endpoints[1]?.ip, "10.89.1.128", "a free address comes from the range");
  assert.match(routes(netnsPath), /default via 10\.88\.0\.1 dev eth0/);

  const moved = await change([{ network: "nyx" }, { network: "back", gatewayPriority: 1 }]);
  assert.equal(moved.gatewayNetwork, "back");
  assert.match(routes(netnsPath), /default via 10\.89\.1\.1 dev eth1[^]*default via fd00:1::1 dev eth1/);
  assert.match(published(hosts), /8080 : 10\.89\.1\.128 \. 80[^]*8080 : fd00:1::2 \. 80/);

  const one = await change([{ network: "nyx" }]);
  assert.deepEqual(one.endpoints.map((e) => e.interface), ["eth0"]);
  assert.equal(inNetns(netnsPath, ["ip", "link", "show", "eth1"]).code, 1);
  assert.match(routes(netnsPath), /default via 10\.88\.0\.1 dev eth0/);
  assert.doesNotMatch(routes(netnsPath), /fd00/);
  assert.match(published(hosts), /8080 : 10\.88\.\S+ \. 80/);
  assert.doesNotMatch(published(hosts), /fd00|10\.89/);

  const vault = await change([{ network: "vault" }]);
  assert.deepEqual([vault.gatewayNetwork, vault.ports], [undefined, []]);
  assert.doesNotMatch(routes(netnsPath), /default/);
  assert.doesNotMatch(published(hosts), /8080/);
  const none = await change([]);
  assert.deepEqual(none.endpoints, []);
  assert.deepEqual((await change([{ network: "nyx" }])).endpoints.map((e) => e.interface), ["eth0"]);

  await worker.call("teardown", { id });
  await worker.call("release", { id });
  assert.equal(Deno.readTextFileSync(`${hosts.baseDir}/network/leases.json`), '{"version":1,"containers":{}}\n');
});

Deno.test("change: what fails leaves the container as it was; a network full, an address taken, an unknown network", async () => {
  await using hosts = new TestHosts();
  const worker = await start(hosts);
  const id = randomId();
  const { netnsPath, endpoints } = await setup(worker, id, [{ network: "nyx" }]);
  const others = [randomId(), randomId(), randomId(), randomId()];
  for (const other of others) await setup(worker, other, [{ network: "back" }], []);
  const state = async () => {
    // Waits until the leases are on disk.
    await worker.call("release", { id: randomId() });
    const { containers } = JSON.parse(Deno.readTextFileSync(`${hosts.baseDir}/network/leases.json`));
    return [routes(netnsPath), published(hosts), Object.entries(containers).sort()];
  };
  const before = await state();
  const refused: [Attachments, string][] = [
    [[{ network: "nyx" }, { network: "back" }], "resource_exhausted"],
    [[{ network: "nyx" }, { network: "back", ip: "10.89.1.129" }], "already_exists"],
    [[{ network: "nyx" }, { network: "nope" }], "not_found"],
    [[{ network: "nyx" }, { network: "bridge" }], "invalid_argument"],
  ];
  for (const [attachments, code] of refused) {
    await assert.rejects(worker.call("change", { id, name: "web", attachments, ports: [] }), { code });
    assert.deepEqual(await state(), before);
  }
  // An interface of the wanted name that somebody made inside, on no bridge of nyx: a step in the kernel fails half way.
  mustInNetns(netnsPath, ["ip", "link", "add", "eth1", "type", "bridge"]);
  const asked = [{ network: "vault" }, { network: "back", ip: "10.89.1.50" }];
  await assert.rejects(
    worker.call("change", { id, name: "web", attachments: [{ network: "nyx" }, ...asked], ports: [] }),
  );
  mustInNetns(netnsPath, ["ip", "link", "del", "eth1"]);
  assert.deepEqual(await state(), before);
  assert.match(mustInNetns(netnsPath, ["ip", "-o", "-4", "addr"]), new RegExp(`eth0.*${endpoints[0]?.ip}`));
  await assert.rejects(worker.call("change", { id: randomId(), name: "gone", attachments: [], ports: [] }), {
    code: "failed_precondition",
  });
});

Deno.test("change survives kill -9 of the worker: interfaces keep their numbers", async () => {
  await using hosts = new TestHosts();
  const worker = await start(hosts);
  const id = randomId();
  const { netnsPath } = await setup(worker, id, [{ network: "nyx" }, { network: "back" }]);
  await worker.call("change", { id, name: "web", attachments: [{ network: "back" }], ports: [] });
  const before = mustInNetns(netnsPath, ["ip", "-o", "addr"]);
  await worker.kill();
  const next = await start(hosts, [NYX, BACK, VAULT], [id]);
  assert.equal(mustInNetns(netnsPath, ["ip", "-o", "addr"]), before);
  const { endpoints } = await next.call("change", {
    id,
    name: "web",
    attachments: [{ network: "back" }, { network: "vault" }],
    ports: [],
  });
  assert.deepEqual(endpoints.map((e) => [e.network, e.interface]), [["back", "eth1"], ["vault", "eth0"]]);
});

Deno.test("init: a network that a route of the host now overlaps is reported and can be made later; stray bridges go", async () => {
  await using hosts = new TestHosts();
  const first = await start(hosts);
  await first.kill();
  for (const bridge of [BACK.bridge, VAULT.bridge]) mustInNetns(hosts.host, ["ip", "link", "del", bridge]);
  mustInNetns(hosts.host, [
    "sh",
    "-c",
    `ip link add vpn type bridge; ip link set vpn up; ip route add 10.89.1.0/24 dev vpn
    ip link add nyx-stray type bridge; ip link set nyx-stray alias "nyxd ${hosts.baseDir}"
    ip link add nyx-half type bridge; ip link add nyx-other type bridge`,
  ]);
  // The first worker was killed between a bridge and the alias that says whose it is. nyx-other is somebody else's.
  Deno.writeTextFileSync(`${hosts.baseDir}/network/making-nyx-half`, "");
  const worker = hosts.startWorker();
  const { failed, warnings } = await worker.call("init", {
    baseDir: hosts.baseDir,
    networks: [NYX, BACK],
    live: [],
    known: [],
    poolSize: 1,
    defaultPublishIp: "",
  });
  assert.deepEqual(failed.map((f) => f.name), ["back"]);
  assert.ok(warnings.some((w) => /subnet 10\.89\.1\.0\/24 overlaps/.test(w)), warnings.join());
  const links = mustInNetns(hosts.host, ["ip", "-o", "link"]);
  assert.doesNotMatch(links, /nyx-stray|nyx-back|nyx-half/);
  assert.match(links, /nyx-other/);
  assert.deepEqual([...Deno.readDirSync(`${hosts.baseDir}/network`)].filter((e) => e.name.startsWith("making-")), []);
  await assert.rejects(worker.call("ensureNetwork", { network: BACK }), { code: "failed_precondition" });
  mustInNetns(hosts.host, ["ip", "link", "del", "vpn"]);
  await worker.call("ensureNetwork", { network: BACK });
  const { endpoints } = await setup(worker, randomId(), [{ network: "back" }], []);
  assert.equal(endpoints[0]?.ip, "10.89.1.128");
});

Deno.test("facts: what the kernel has of a port, and of a container whose link was pulled", async () => {
  await using hosts = new TestHosts();
  const worker = await start(hosts);
  const id = randomId();
  await setup(worker, id, [{ network: "nyx" }], [
    { hostPort: 8080, containerPort: 80 },
    { hostPort: 7000, containerPort: 7000, count: 10 },
  ] as { hostPort: number; containerPort: number }[]);
  const facts = (hostPort: number) => worker.call("facts", { id, hostPort, containerPort: 80, protocol: "tcp" });
  const found = await facts(8080);
  assert.deepEqual(found.elements.map((e) => e.replace(/10\.88\.\d+\.\d+/, "IP")), ["tcp . 8080 : IP . 80"]);
  assert.equal((await facts(7003)).elements.length, 1, "an interval is found by a port within");
  assert.deepEqual((await facts(7010)).elements, []);
  assert.deepEqual([found.table, found.forwarding.v4, found.container?.listeners], [true, true, []]);
  assert.deepEqual(found.container?.links.map((l) => [l.up, l.attached, l.bridgeUp]), [[true, true, true]]);
  mustInNetns(hosts.host, [
    "sh",
    "-c",
    "ip link set $(ip -o link show master nyxbr0 | cut -d: -f2 | cut -d@ -f1) nomaster",
  ]);
  assert.deepEqual((await facts(8080)).container?.links.map((l) => l.attached), [false]);
});
