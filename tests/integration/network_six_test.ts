/** Networks with IPv6 alone: reached, isolated, published, changed and taken over as others are, without an IPv4 address anywhere. */

import assert from "node:assert/strict";
import { NyxError } from "../../daemon/spec/errors.ts";
import type { NetworkDefinition } from "../../workers/protocol.ts";
import { eventually } from "../support/eventually.ts";
import { answer, ask, hears, NET, place, startNetwork } from "../support/net_fixture.ts";
import { HOST_IP, inNetns, LAN_IP, mustInNetns, randomId, TestHosts } from "../support/net_hosts.ts";

const SIX: NetworkDefinition = {
  name: "six",
  driver: "bridge",
  bridge: "nyxbr6",
  subnet6: "fd00:6::/64",
  gateway6: "fd00:6::1",
};

/** Addresses in a namespace but for loopback and link-local ones, and default routes. */
function seen(netns: string): { addresses: string[]; routes: string[] } {
  const words = (argv: string[]) => mustInNetns(netns, argv).split("\n").map((l) => l.trim().split(/\s+/));
  const addresses = words(["ip", "-o", "addr", "show", "scope", "global"]).flatMap(([, name, , ip]) =>
    ip === undefined ? [] : [`${name} ${ip}`]
  );
  const routes = ["-4", "-6"].flatMap((family) => words(["ip", family, "route", "show", "default"]))
    .flatMap(([, , via, , dev]) => via === undefined ? [] : [`${dev} ${via}`]);
  return { addresses, routes };
}

Deno.test("a network with IPv6 alone: bridge and container have IPv6 only; ports, neighbours, the outside, isolation", async () => {
  await using hosts = new TestHosts();
  const other6 = { ...SIX, name: "other", bridge: "nyxbr7", subnet6: "fd00:7::/64", gateway6: "fd00:7::1" };
  const { worker, warnings } = await startNetwork(hosts, [NET, SIX, other6]);
  assert.deepEqual(warnings, []);
  const web = await place(worker, "web", [
    { hostPort: 8080, containerPort: 80 },
    { hostPort: 5353, containerPort: 53, protocol: "udp" },
    { hostPort: 7000, containerPort: 7000, count: 3 },
    { hostIp: "fd77::1", hostPort: 8082, containerPort: 80 },
    { hostPort: 0, containerPort: 80 },
  ], ["six"]);
  const peer = await place(worker, "peer", [], ["six"]);
  const far = await place(worker, "far", [], ["other"]);
  assert.deepEqual(seen(web.netnsPath), { addresses: ["eth0 fd00:6::2/64"], routes: ["eth0 fd00:6::1"] });
  assert.deepEqual(seen(hosts.host).addresses.filter((a) => a.includes("nyxbr6")), ["nyxbr6 fd00:6::1/64"]);
  const [endpoint] = web.endpoints;
  assert.deepEqual([endpoint?.ip, endpoint?.gateway, endpoint?.ip6, endpoint?.gateway6, web.gatewayNetwork], [
    undefined,
    undefined,
    "fd00:6::2",
    "fd00:6::1",
    "six",
  ]);
  assert.deepEqual([...new Set(web.ports.map((p) => p.hostIp))], ["::", "fd77::1"]);
  await answer(hosts, web.netnsPath, "web", ["80/tcp", "53/udp", "7002/tcp"], true);
  await answer(hosts, hosts.lan, "lan", ["80/tcp", "53/udp"], true);
  mustInNetns(hosts.lan, ["ip", "-6", "route", "add", "fd00:6::/64", "via", "fd77::1"]);
  const ephemeral = web.ports.find((p) => p.hostPort >= 32768)?.hostPort ?? 0;
  const rows: [string, string, "tcp" | "udp", string, number, string][] = [
    ["LAN, the client's address is kept", hosts.lan, "tcp", "fd77::1", 8080, "web fd77::2"],
    ["LAN, udp", hosts.lan, "udp", "fd77::1", 5353, "web fd77::2"],
    ["LAN, range", hosts.lan, "tcp", "fd77::1", 7002, "web fd77::2"],
    ["LAN, one address", hosts.lan, "tcp", "fd77::1", 8082, "web fd77::2"],
    ["LAN, ephemeral", hosts.lan, "tcp", "fd77::1", ephemeral, "web fd77::2"],
    ["LAN, IPv4 leads nowhere", hosts.lan, "tcp", HOST_IP, 8080, "-"],
    ["LAN, unpublished", hosts.lan, "tcp", "fd00:6::2", 80, "-"],
    ["host", hosts.host, "tcp", "fd77::1", 8080, "web fd77::1"],
    ["host, directly", hosts.host, "tcp", "fd00:6::2", 80, "web fd00:6::1"],
    ["itself", web.netnsPath, "tcp", "fd77::1", 8080, "web fd00:6::1"],
    ["another of the network", peer.netnsPath, "tcp", "fd00:6::2", 80, "web fd00:6::3"],
    ["another of the network, udp", peer.netnsPath, "udp", "fd00:6::2", 53, "web fd00:6::3"],
    ["another network", far.netnsPath, "tcp", "fd00:6::2", 80, "-"],
    ["another network, published", far.netnsPath, "tcp", "fd77::1", 8080, "web fd00:6::1"],
    ["outside, as the host", peer.netnsPath, "tcp", "fd77::2", 80, "lan fd77::1"],
    ["outside, as the host, udp", peer.netnsPath, "udp", "fd77::2", 53, "lan fd77::1"],
  ];
  const outcomes = await Promise.allSettled(
    rows.map(([what, from, protocol, address, port, expected]) =>
      hears(from, protocol, address, port, expected, `${what}: ${protocol} ${address}:${port}`)
    ),
  );
  assert.deepEqual(outcomes.flatMap((o) => o.status === "rejected" ? [(o.reason as Error).message] : []), []);
  for (const hostIp of ["127.0.0.1", "0.0.0.0"]) {
    await assert.rejects(
      place(worker, "no", [{ hostIp, hostPort: 8090, containerPort: 80 }], ["six"]),
      (e) => e instanceof NyxError && e.code === "invalid_argument" && /IPv6 alone; publish on an IPv6/.test(e.message),
      hostIp,
    );
  }
});

Deno.test("one network with IPv4 and one with IPv6 alone: each has its default route and its ports; change, crash and lost leases keep them", async () => {
  await using hosts = new TestHosts();
  const networks = [NET, SIX];
  let { worker } = await startNetwork(hosts, networks);
  const ports = [{ hostPort: 8080, containerPort: 80 }];
  const web = await place(worker, "web", ports, ["nyx", "six"]);
  const both = {
    addresses: ["eth0 10.88.0.2/16", "eth1 fd00:6::2/64"],
    routes: ["eth0 10.88.0.1", "eth1 fd00:6::1"],
  };
  assert.deepEqual(seen(web.netnsPath), both);
  assert.deepEqual([web.gatewayNetwork, web.gatewayNetwork6], ["nyx", "six"]);
  await answer(hosts, web.netnsPath, "web", ["80/tcp"], true);
  const reached = async (four: boolean, six: boolean, what: string) => {
    await hears(hosts.lan, "tcp", HOST_IP, 8080, four ? "web 192.168.77.2" : "-", `${what}: IPv4`);
    await hears(hosts.lan, "tcp", "fd77::1", 8080, six ? "web fd77::2" : "-", `${what}: IPv6`);
  };
  await reached(true, true, "fresh");
  const change = (...names: string[]) =>
    worker.call("change", { id: web.id, name: "web", attachments: names.map((network) => ({ network })), ports });
  await change("nyx");
  assert.deepEqual(seen(web.netnsPath), { addresses: both.addresses.slice(0, 1), routes: both.routes.slice(0, 1) });
  await reached(true, false, "without IPv6");
  await change("six");
  assert.deepEqual(seen(web.netnsPath).addresses.map((a) => a.split(" ")[1]), ["fd00:6::3/64"]);
  assert.equal(inNetns(web.netnsPath, ["ping", "-c1", "-W1", "-q", "fd77::2"]).code, 0);
  await reached(false, true, "without IPv4");
  const after = await change("six", "nyx");
  assert.deepEqual([after.gatewayNetwork, after.gatewayNetwork6], ["nyx", "six"]);
  await reached(true, true, "both again");
  // A port of IPv4 cannot go over to a container that has none; those of IPv6 can.
  const next = await place(worker, "next", [], ["six"]);
  await answer(hosts, next.netnsPath, "next", ["80/tcp"], true);
  const move = (...chosen: typeof after.ports) =>
    worker.call("movePorts", { from: web.id, to: next.id, ports: chosen });
  await assert.rejects(move(...after.ports), /0\.0\.0\.0:8080\/tcp: no network of next has IPv4/);
  await reached(true, true, "nothing moved");
  await move(...after.ports.filter((p) => p.hostIp === "::"));
  await hears(hosts.lan, "tcp", "fd77::1", 8080, "next fd77::2");
  await hears(hosts.lan, "tcp", HOST_IP, 8080, "web 192.168.77.2");
  await worker.call("teardown", { id: next.id });
  await worker.call("release", { id: next.id });
  await change("six", "nyx");
  await reached(true, true, "back");
  const settled = seen(web.netnsPath);
  for (const lose of [false, true]) {
    await worker.kill();
    if (lose) Deno.removeSync(`${hosts.baseDir}/network/leases.json`);
    const started = await startNetwork(hosts, networks, [web.id]);
    worker = started.worker;
    assert.equal(started.warnings.length, lose ? 1 : 0, started.warnings.join());
    assert.deepEqual(seen(web.netnsPath), settled);
    if (!lose) await reached(true, true, "taken over");
    // The lease is known: nobody else gets the address.
    const taken = { id: randomId(), name: "thief", attachments: [{ network: "six", ip6: "fd00:6::3" }], ports: [] };
    await assert.rejects(worker.call("reserve", taken), /has it/);
  }
});

Deno.test("a bridge with IPv6 alone that is deleted under a container is made again, and gone after the shutdown", async () => {
  await using hosts = new TestHosts();
  const { worker } = await startNetwork(hosts, [NET, SIX]);
  const web = await place(worker, "web", [{ hostPort: 8080, containerPort: 80 }], ["six"]);
  await answer(hosts, web.netnsPath, "web", ["80/tcp"], true);
  mustInNetns(hosts.host, ["ip", "link", "del", "nyxbr6"]);
  mustInNetns(hosts.host, ["nft", "flush", "ruleset"]);
  const open = async () => await ask(hosts.lan, "tcp", "fd77::1", 8080) === "web fd77::2";
  await eventually("an open port", open, 10_000);
  await worker.call("teardown", { id: web.id });
  await worker.call("release", { id: web.id });
  await worker.call("removeNetwork", { name: "six" });
  assert.notEqual(inNetns(hosts.host, ["ip", "link", "show", "nyxbr6"]).code, 0);
  await worker.call("shutdown", { keepNetworks: false });
});

Deno.test("macvlan with IPv6 alone: the LAN reaches the container, two networks on one parent have different MACs", async () => {
  await using hosts = new TestHosts();
  const lan = (name: string, subnet6: string, gateway6: string): NetworkDefinition => ({
    name,
    driver: "macvlan",
    bridge: "",
    parent: "up0",
    subnet6,
    gateway6,
  });
  const { subnet6: _, gateway6: __, ...four } = lan("lan4", "", "");
  const lan4 = { ...four, subnet: "192.168.77.0/24", gateway: LAN_IP, ipRange: "192.168.77.64/28" };
  const networks = [NET, SIX, lan("lan", "fd77::/64", "fd77::2"), lan("lan2", "fd78::/64", "fd78::1"), lan4];
  const { worker } = await startNetwork(hosts, networks);
  const web = await place(worker, "web", [], [{ network: "lan", ip6: "fd77::9" }]);
  const two = await place(worker, "two", [], [{ network: "lan2", ip6: "fd78::9" }]);
  assert.deepEqual(seen(web.netnsPath), { addresses: ["eth0 fd77::9/64"], routes: ["eth0 fd77::2"] });
  assert.notEqual(web.endpoints[0]?.mac, two.endpoints[0]?.mac);
  await answer(hosts, web.netnsPath, "web", ["80/tcp"], true);
  await hears(hosts.lan, "tcp", "fd77::9", 80, "web fd77::2");
  // With IPv4 on the LAN and IPv6 behind a bridge, ports are published where there is something to publish: on IPv6.
  const mixed = await place(worker, "mixed", [{ hostPort: 8080, containerPort: 80 }], ["lan4", "six"]);
  assert.deepEqual([mixed.ports.map((p) => p.hostIp), mixed.gatewayNetwork, mixed.gatewayNetwork6], [
    ["::"],
    "lan4",
    "six",
  ]);
  await answer(hosts, mixed.netnsPath, "mixed", ["80/tcp"], true);
  await hears(hosts.lan, "tcp", mixed.ip, 80, `mixed ${LAN_IP}`);
  await hears(hosts.lan, "tcp", "fd77::1", 8080, "mixed fd77::2");
});
