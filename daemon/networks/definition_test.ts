import assert from "node:assert/strict";
import { definitionOf, dnsOf, needsBlock, newNetwork, withBlock } from "./definition.ts";
import { familyOf, firstHost, overlap, poolBlocks, randomUla } from "./cidr.ts";

const IDENTITY = { id: "ab".repeat(32), created: "2026-01-01T00:00:00Z" };

Deno.test("newNetwork: defaults, one subnet for each family, options by Docker's names", () => {
  const plain = withBlock(newNetwork({ name: "a" }, IDENTITY), "10.89.3.0/24");
  assert.deepEqual(definitionOf(plain), {
    name: "a",
    driver: "bridge",
    bridge: "nyx-abababababa",
    subnet: "10.89.3.0/24",
    gateway: "10.89.3.1",
    internal: false,
  });
  const full = newNetwork({
    name: "b",
    driver: "bridge",
    internal: true,
    subnets: [{ subnet: "fd00:7::/64", gateway: "fd00:7::9" }, { subnet: "10.1.0.0/16", ipRange: "10.1.5.0/24" }],
    options: { "com.docker.network.driver.mtu": "1400", "com.docker.network.bridge.name": "br7" },
  }, IDENTITY);
  assert.deepEqual(definitionOf(full), {
    name: "b",
    driver: "bridge",
    bridge: "br7",
    subnet: "10.1.0.0/16",
    gateway: "10.1.0.1",
    ipRange: "10.1.5.0/24",
    subnet6: "fd00:7::/64",
    gateway6: "fd00:7::9",
    internal: true,
    mtu: 1400,
  });
});

Deno.test("newNetwork: what cannot be honoured is refused with the reason", () => {
  const cases: [Parameters<typeof newNetwork>[0], RegExp][] = [
    [{ name: "bridge" }, /has a meaning of its own/],
    [{ name: "../x" }, /beginning with a letter/],
    [{ name: "ab".repeat(32) }, /reads as an id/],
    [{ name: "a", driver: "overlay" }, /runs on one/],
    [{ name: "a", driver: "weave" }, /there are bridge, macvlan, ipvlan/],
    [{ name: "a", driver: "macvlan" }, /name the interface of the host/],
    [{ name: "a", driver: "macvlan", options: { parent: "eth0" } }, /name the subnet of the network/],
    [{ name: "a", driver: "ipvlan", options: { macvlan_mode: "vepa" } }, /the ipvlan driver knows .*ipvlan_mode/],
    [
      {
        name: "a",
        driver: "ipvlan",
        internal: true,
        options: { parent: "eth0" },
        subnets: [{ subnet: "10.0.0.0/24" }],
      },
      /leads to the network of its parent/,
    ],
    [
      { name: "a", driver: "macvlan", options: { parent: "e", "com.docker.network.bridge.name": "b" } },
      /a macvlan network has no bridge/,
    ],
    [{ name: "a", options: { parent: "eth0" } }, /the bridge driver knows/],
    [{ name: "a", options: { mtu: "12" } }, /number of bytes/],
    [{ name: "a", options: { "com.docker.network.bridge.enable_icc": "false" } }, /always does this/],
    [{ name: "a", subnets: [{ gateway: "10.0.0.1" }] }, /give --subnet with it/],
    [{ name: "a", subnets: [{ subnet: "10.0.0.0/16" }, { subnet: "10.1.0.0/16" }] }, /has 10\.0\.0\.0\/16 already/],
    [{ name: "a", subnets: [{ subnet: "10.0.0.0/99" }] }, /write a block/],
    [{ name: "a", ipv6: false, subnets: [{ subnet: "fd00::/64" }] }, /is IPv6/],
    [{ name: "a", ipv4: false, ipv6: true, subnets: [{ subnet: "10.0.0.0/16" }] }, /is IPv4/],
    [{ name: "a", ipv4: false }, /no addresses at all; give it IPv6 \(--ipv6/],
    [{ name: "a", ipv4: false, ipv6: false }, /no addresses at all/],
    [{ name: "a", driver: "macvlan", options: { parent: "e" }, subnets: [{ subnet: "fd00::/64" }] }, /name the subnet/],
    [{ name: "a", driver: "macvlan", options: { parent: "e" }, ipv4: false, ipv6: true }, /name the subnet/],
  ];
  for (const [request, message] of cases) assert.throws(() => newNetwork(request, IDENTITY), message);
});

Deno.test("newNetwork: IPv6 alone, with a subnet of its own or a random one, needs no block and has no IPv4 anywhere", () => {
  const request = { name: "six", ipv4: false, ipv6: true, options: { "com.docker.network.bridge.name": "br6" } };
  const random = newNetwork(request, IDENTITY);
  assert.ok(!needsBlock(random, request) && needsBlock(random, {}));
  assert.match(random.subnets.map((s) => s.subnet).join(), /^fd[0-9a-f:]+::\/64$/);
  const given = newNetwork({ ...request, subnets: [{ subnet: "fd00:7::/64", ipRange: "fd00:7::100/120" }] }, IDENTITY);
  const expected = { name: "six", subnet6: "fd00:7::/64", gateway6: "fd00:7::1", internal: false };
  assert.deepEqual(definitionOf(given), { ...expected, driver: "bridge", bridge: "br6", ipRange6: "fd00:7::100/120" });
  assert.deepEqual(dnsOf(given), expected);
  const lan = newNetwork({
    name: "lan",
    driver: "macvlan",
    ipv4: false,
    subnets: [{ subnet: "fd00:8::/64", gateway: "fd00:8::fe" }],
    options: { parent: "eth0" },
  }, IDENTITY);
  assert.deepEqual([lan.subnets.length, lan.parent], [1, "eth0"]);
});

Deno.test("blocks: the first host, overlaps, and a pool that never repeats itself", () => {
  assert.equal(firstHost("10.89.0.0/24"), "10.89.0.1");
  assert.equal(firstHost("fd12:3456::/64"), "fd12:3456::1");
  assert.equal(firstHost("10.89.0.0"), undefined);
  assert.ok(overlap("10.88.0.0/16", "10.88.7.0/24") && overlap("10.88.7.0/24", "10.88.0.0/16"));
  assert.ok(!overlap("10.88.0.0/16", "10.89.0.0/24") && !overlap("10.88.0.0/16", "fd00::/8"));
  const pool = [...poolBlocks()];
  assert.equal(new Set(pool).size, pool.length);
  assert.ok(pool.every((block) => familyOf(block) === 4 && !overlap(block, "10.88.0.0/16")));
  for (let i = 0; i < 50; i++) assert.match(randomUla(), /^fd[0-9a-f]{2}:[0-9a-f:]+::\/64$/);
});

Deno.test("newNetwork: with CNI there are ptp and macvlan too, each with what it needs and without what it cannot have", () => {
  const make = (request: Record<string, unknown>) => newNetwork({ name: "lan", ...request }, IDENTITY, "cni");
  const subnets = [{ subnet: "192.168.7.0/24" }];
  const lan = make({ driver: "macvlan", subnets, options: { parent: "eth0" } });
  assert.deepEqual([lan.driver, lan.parent, lan.bridge], ["macvlan", "eth0", ""]);
  assert.deepEqual([make({ driver: "ptp" }).bridge, make({}).driver], ["", "bridge"]);
  for (
    const [request, message] of [
      [{ driver: "macvlan", subnets }, /parent.*-o parent=eth0/],
      [{ driver: "macvlan", options: { parent: "eth0" } }, /subnet.*that the interface is on/],
      [{ driver: "ptp", internal: true }, /ptp network leads to the host/],
      [{ driver: "ptp", options: { parent: "eth0" } }, /the ptp driver knows/],
      [{ driver: "ptp", options: { "com.docker.network.bridge.name": "b" } }, /has no bridge/],
      [{ driver: "ipvlan" }, /use macvlan, or start nyxd with --net-driver native/],
      [{ driver: "ptp", options: { macvlan_mode: "vepa" } }, /the ptp driver knows/],
      [{ driver: "weave" }, /there are bridge, ptp, macvlan/],
    ] as [Record<string, unknown>, RegExp][]
  ) assert.throws(() => make(request), message, JSON.stringify(request));
});

Deno.test("newNetwork: macvlan and ipvlan name a parent and a mode; addresses of others are kept free", () => {
  const subnets = [{ subnet: "192.168.1.0/24", gateway: "192.168.1.254", auxAddresses: { printer: "192.168.1.7" } }];
  const record = newNetwork({
    name: "lan",
    driver: "macvlan",
    subnets,
    options: { parent: "eth0", macvlan_mode: "private" },
  }, IDENTITY);
  assert.deepEqual(record.subnets, subnets);
  assert.deepEqual(definitionOf(record), {
    name: "lan",
    driver: "macvlan",
    bridge: "",
    parent: "eth0",
    mode: "private",
    reserved: ["192.168.1.7"],
    subnet: "192.168.1.0/24",
    gateway: "192.168.1.254",
    internal: false,
  });
});
