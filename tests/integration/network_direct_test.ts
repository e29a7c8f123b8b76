/** Networks that share an interface of the host: containers are on the LAN itself, and the host cannot reach them there. */

import assert from "node:assert/strict";
import type { NetworkDefinition } from "../../workers/protocol.ts";
import { answer, hears, NET, place, startNetwork } from "../support/net_fixture.ts";
import { HOST_IP, inNetns, LAN_IP, mustInNetns, TestHosts } from "../support/net_hosts.ts";

const LAN: NetworkDefinition = {
  name: "lan",
  driver: "macvlan",
  bridge: "",
  parent: "up0",
  subnet: "192.168.77.0/24",
  gateway: LAN_IP,
  ipRange: "192.168.77.64/28",
  reserved: ["192.168.77.64", "192.168.77.66", HOST_IP],
  subnet6: "fd77::/64",
  gateway6: "fd77::2",
};
const PUBLISH = [{ hostPort: 8080, containerPort: 80 }];

Deno.test("macvlan: the LAN and other containers reach a container at its address, the host does not; nothing is published", async () => {
  await using hosts = new TestHosts();
  // Older kernels mistake it for the name of the container's interface.
  mustInNetns(hosts.host, ["ip", "link", "add", "eth0", "type", "bridge"]);
  const { worker, warnings } = await startNetwork(hosts, [NET, LAN]);
  assert.deepEqual(warnings, []);
  const before = mustInNetns(hosts.host, ["nft", "list", "table", "inet", "nyx_nyxbr0"]);
  const web = await place(worker, "web", PUBLISH, ["lan"]);
  const other = await place(worker, "other", [], [{ network: "lan", mac: "02:42:00:00:00:99" }]);
  assert.deepEqual([web.ip, other.ip], ["192.168.77.65", "192.168.77.67"], "reserved addresses were given out");
  assert.deepEqual([web.ports, web.endpoints[0]?.foreign, other.endpoints[0]?.mac], [[], true, "02:42:00:00:00:99"]);
  assert.equal(mustInNetns(hosts.host, ["nft", "list", "table", "inet", "nyx_nyxbr0"]), before);
  await answer(hosts, web.netnsPath, "web", ["80/tcp", "53/udp"], true);
  await answer(hosts, hosts.lan, "lan", ["80/tcp"], true);
  await Promise.all([
    hears(hosts.lan, "tcp", web.ip, 80, `web ${LAN_IP}`),
    hears(hosts.lan, "udp", web.ip, 53, `web ${LAN_IP}`),
    hears(hosts.lan, "tcp", web.ip6, 80, "web fd77::2"),
    hears(other.netnsPath, "tcp", web.ip, 80, `web ${other.ip}`),
    hears(other.netnsPath, "tcp", web.ip6, 80, `web ${other.ip6}`),
    hears(web.netnsPath, "tcp", LAN_IP, 80, `lan ${web.ip}`),
    hears(hosts.host, "tcp", web.ip, 80, "-"),
    hears(hosts.host, "tcp", "127.0.0.1", 8080, "-"),
    hears(web.netnsPath, "tcp", HOST_IP, 22, "-"),
  ]);
  assert.match(
    mustInNetns(web.netnsPath, ["sh", "-c", "ip route; ip -6 route"]),
    /default via 192\.168\.77\.2[^]*default via fd77::2/,
  );

  // The table masquerades nothing of the LAN's: a neighbour's address is kept on a port of the bridge network.
  const bridged = await place(worker, "bridged", PUBLISH);
  await answer(hosts, bridged.netnsPath, "bridged", ["80/tcp"]);
  await hears(hosts.lan, "tcp", HOST_IP, 8080, `bridged ${LAN_IP}`);

  await worker.kill();
  const again = await startNetwork(hosts, [NET, LAN], [web.id, other.id, bridged.id]);
  assert.deepEqual(again.warnings, []);
  await hears(hosts.lan, "tcp", web.ip, 80, `web ${LAN_IP}`);
  await again.worker.call("teardown", { id: web.id });
  await again.worker.call("release", { id: web.id });
  await hears(hosts.lan, "tcp", web.ip, 80, "-");
  for (const { id } of [other, bridged]) {
    await again.worker.call("teardown", { id });
    await again.worker.call("release", { id });
  }
  await again.worker.call("shutdown", { keepNetworks: false });
  assert.equal(inNetns(hosts.host, ["ip", "link", "show", "up0"]).code, 0, "the parent is not nyx's to remove");
});

Deno.test("macvlan: connected beside a bridge and disconnected while it runs; mode private keeps containers apart", async () => {
  await using hosts = new TestHosts();
  const shy = { ...LAN, mode: "private" };
  const { worker } = await startNetwork(hosts, [NET, shy]);
  const web = await place(worker, "web", PUBLISH);
  const other = await place(worker, "other", [], ["lan"]);
  await answer(hosts, web.netnsPath, "web", ["80/tcp"]);
  const change = (networks: string[]) =>
    worker.call("change", {
      id: web.id,
      name: "web",
      attachments: networks.map((network) => ({ network })),
      ports: PUBLISH,
    });
  const both = await change(["nyx", "lan"]);
  const ip = both.endpoints[1]?.ip ?? "";
  // IPv6 is the LAN's alone: its route leads there, and no port is published on it.
  assert.deepEqual([both.gatewayNetwork, both.gatewayNetwork6, both.ports.map((p) => p.hostIp)], ["nyx", "lan", [
    "0.0.0.0",
  ]]);
  await hears(hosts.lan, "tcp", ip, 80, `web ${LAN_IP}`);
  // A neighbour's answer would leave by the container's own way to the LAN, so published ports are for everybody else.
  await hears(hosts.host, "tcp", "127.0.0.1", 8080, "web 10.88.0.1");
  await hears(other.netnsPath, "tcp", ip, 80, "-", "a container of a private network");
  const alone = await change(["lan"]);
  assert.deepEqual([alone.gatewayNetwork, alone.ports], ["lan", []]);
  await hears(hosts.lan, "tcp", ip, 80, `web ${LAN_IP}`);
  await hears(hosts.lan, "tcp", HOST_IP, 8080, "-");
  await change(["nyx"]);
  await hears(hosts.lan, "tcp", ip, 80, "-");
  await hears(hosts.lan, "tcp", HOST_IP, 8080, `web ${LAN_IP}`);
});

Deno.test("macvlan and ipvlan: parents and modes that cannot be are refused with the fix, and nothing is left", async () => {
  await using hosts = new TestHosts();
  const { worker } = await startNetwork(hosts, [NET]);
  const refused = async (change: Partial<NetworkDefinition>, code: string, message: RegExp) =>
    await assert.rejects(worker.call("ensureNetwork", { network: { ...LAN, ...change } }), { code, message });
  await refused({ parent: "eth7" }, "failed_precondition", /eth7 is no interface of this host; see "ip link"/);
  await refused({ parent: "lo" }, "failed_precondition", /is the loopback/);
  await refused({ parent: "../x" }, "invalid_argument", /an interface name/);
  await refused({ mode: "l2" }, "invalid_argument", /use bridge, private, vepa, passthru/);
  await refused(
    { reserved: ["10.0.0.1"] },
    "invalid_argument",
    /must be an address in 192\.168\.77\.0\/24 or fd77::\/64/,
  );
  const { subnet6: _, gateway6: __, ipRange: ___, reserved: ____, ...rest } = LAN;
  // The kernel would put the first one's containers into mode l3, too.
  const shared = { ...rest, driver: "ipvlan" as const };
  await worker.call("ensureNetwork", {
    network: { ...shared, name: "flat", subnet: "10.8.0.0/24", gateway: "10.8.0.1" },
  });
  const layer3 = { ...shared, name: "layer3", mode: "l3", subnet: "10.9.0.0/24", gateway: "10.9.0.1" };
  await assert.rejects(worker.call("ensureNetwork", { network: layer3 }), {
    code: "invalid_argument",
    message: /network flat shares it as ipvlan in mode l2; use that too/,
  });
  await worker.call("removeNetwork", { name: "flat" });
  await worker.call("ensureNetwork", { network: LAN });
  const twin = { name: "twin", driver: "ipvlan" as const, subnet: "10.7.0.0/24", gateway: "10.7.0.1" };
  await assert.rejects(worker.call("ensureNetwork", { network: { ...rest, ...twin } }), {
    code: "invalid_argument",
    message: /network lan shares it as macvlan/,
  });
  mustInNetns(hosts.host, ["ip", "link", "set", "up0", "down"]);
  await assert.rejects(place(worker, "web", [], ["lan"]), {
    code: "failed_precondition",
    message: /ip link set up0 up/,
  });
  mustInNetns(hosts.host, ["ip", "link", "set", "up0", "up"]);
  await place(worker, "web", [], [{ network: "lan", ip: "192.168.77.90" }]);
  await assert.rejects(place(worker, "two", [], [{ network: "lan", ip: "192.168.77.66" }]), {
    code: "already_exists",
    message: /somebody outside nyx \(--aux-address\) has it/,
  });
  await worker.call("removeNetwork", { name: "twin" });
});

Deno.test("ipvlan: containers share the hardware address of the parent, in layer 2 and 3", async () => {
  await using hosts = new TestHosts();
  const { worker } = await startNetwork(hosts, [NET]);
  if (inNetns(hosts.host, ["ip", "link", "add", "probe0", "link", "up0", "type", "ipvlan"]).code !== 0) {
    await worker.call("ensureNetwork", { network: { ...LAN, driver: "ipvlan" } });
    await assert.rejects(place(worker, "web", [], ["lan"]), { message: /this kernel has no ipvlan/ });
    console.log("ipvlan: this kernel has none; its refusal alone was tried");
    return;
  }
  mustInNetns(hosts.host, ["ip", "link", "del", "probe0"]);
  const mac = /link\/ether (\S+)/.exec(mustInNetns(hosts.host, ["ip", "link", "show", "up0"]))?.[1];
  for (const mode of ["l2", "l3"]) {
    await worker.call("ensureNetwork", { network: { ...LAN, driver: "ipvlan", mode } });
    const web = await place(worker, "web", [], ["lan"]);
    const other = await place(worker, "other", [], ["lan"]);
    assert.equal(web.endpoints[0]?.mac, mac);
    await answer(hosts, web.netnsPath, "web", ["80/tcp"]);
    await hears(other.netnsPath, "tcp", web.ip, 80, `web ${other.ip}`, mode);
    if (mode === "l2") await hears(hosts.lan, "tcp", web.ip, 80, `web ${LAN_IP}`);
    await hears(hosts.host, "tcp", web.ip, 80, "-", mode);
    await assert.rejects(place(worker, "own", [], [{ network: "lan", mac: "02:42:00:00:00:99" }]), {
      message: /share their parent's/,
    });
    for (const { id } of [web, other]) {
      await worker.call("teardown", { id });
      await worker.call("release", { id });
    }
    await worker.call("removeNetwork", { name: "lan" });
  }
});
