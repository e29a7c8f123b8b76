import assert from "node:assert/strict";
import { NyxError } from "../../daemon/spec/errors.ts";
import { cidrContains, tryParseIp } from "../../ffi/ip_address.ts";
import { NetworkAddresses } from "./addresses.ts";
import { checkDisjoint, parseNetwork } from "./definition.ts";

const DEFINITION = { name: "n", driver: "bridge" as const, bridge: "br0", subnet: "10.1.0.0/24", gateway: "10.1.0.1" };

Deno.test("NetworkAddresses: any order of taking and giving back never has one address twice, and uses all of them", () => {
  const network = parseNetwork({ ...DEFINITION, gateway: "10.1.0.77", subnet6: "fd00::/120", gateway6: "fd00::1" });
  const addresses = new NetworkAddresses(network);
  const held = new Map<string, ReturnType<NetworkAddresses["take"]>>();
  let seed = 11;
  const next = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff);
  for (let i = 0; i < 20000; i++) {
    if (held.size === 253 || (held.size > 0 && next() % 5 < 2)) {
      const [ip, lease] = [...held][next() % held.size] ?? assert.fail();
      addresses.free(lease);
      held.delete(ip);
      continue;
    }
    const lease = addresses.take({ network: "n" }, "c");
    const { ip = "" } = lease;
    assert.ok(!held.has(ip), ip);
    assert.ok(![...held.values()].some((l) => l.ip6 === lease.ip6));
    assert.ok(cidrContains((network.v4 ?? assert.fail()).block, tryParseIp(ip) ?? assert.fail()));
    assert.ok(!["10.1.0.0", "10.1.0.77", "10.1.0.255"].includes(ip));
    held.set(ip, lease);
  }
  while (held.size < 253) {
    const lease = addresses.take({ network: "n" }, "c");
    held.set(lease.ip ?? "", lease);
  }
  assert.throws(
    () => addresses.take({ network: "n" }, "c"),
    (e) => e instanceof NyxError && e.code === "resource_exhausted",
  );
});

Deno.test("NetworkAddresses: an address that was given back rests until the others had their turn", () => {
  const addresses = new NetworkAddresses(parseNetwork(DEFINITION));
  const first = addresses.take({ network: "n" }, "c");
  addresses.free(first);
  for (let i = 0; i < 252; i++) {
    const lease = addresses.take({ network: "n" }, "c");
    assert.notEqual(lease.ip, first.ip);
    addresses.free(lease);
  }
  assert.equal(addresses.take({ network: "n" }, "c").ip, first.ip);
});

Deno.test("NetworkAddresses.take: asked-for addresses and MACs are checked, and nothing is taken on refusal", () => {
  const addresses = new NetworkAddresses(parseNetwork(DEFINITION));
  const taken = addresses.take({ network: "n", ip: "10.1.0.9", mac: "02:AA:bb:00:00:01" }, "container web");
  assert.deepEqual(taken, { network: "n", ip: "10.1.0.9", mac: "02:aa:bb:00:00:01" });
  const bad = [
    { ip: "10.1.0.9" },
    { ip: "10.1.0.1" },
    { ip: "10.1.0.0" },
    { ip: "10.1.0.255" },
    { ip: "10.2.0.1" },
    { ip: "fd00::1" },
    { ip: "x" },
    { ip6: "fd00::2" },
    { mac: "01:00:00:00:00:01" },
    { mac: "00:00:00:00:00:00" },
    { mac: "zz" },
  ];
  for (const change of bad) {
    assert.throws(() => addresses.take({ network: "n", ...change }, "c"), NyxError, JSON.stringify(change));
  }
  assert.equal(addresses.take({ network: "n", ip: "10.1.0.8" }, "c").mac, "02:6e:0a:01:00:08");
});

Deno.test("parseNetwork, NetworkAddresses: a network with IPv6 alone gives IPv6 addresses, each with a MAC of its own", () => {
  const six = { name: "n", driver: "bridge" as const, bridge: "br0", subnet6: "fd00:7::/64", gateway6: "fd00:7::1" };
  const addresses = new NetworkAddresses(parseNetwork(six));
  const first = addresses.take({ network: "n" }, "c");
  assert.deepEqual(first, { network: "n", mac: first.mac, ip6: "fd00:7::2" });
  const others = Array.from({ length: 1000 }, () => addresses.take({ network: "n" }, "c"));
  assert.equal(new Set([first, ...others].map((l) => l.mac)).size, 1001);
  assert.ok(others.every((l) => (Number.parseInt(l.mac.slice(0, 2), 16) & 3) === 2), "locally administered unicast");
  addresses.free(first);
  assert.deepEqual(addresses.take({ network: "n", ip6: "fd00:7::2" }, "c"), first);
  const elsewhere = { ...six, subnet6: "fd00:8::/64", gateway6: "fd00:8::1" };
  assert.notEqual(new NetworkAddresses(parseNetwork(elsewhere)).take({ network: "n" }, "c").mac, first.mac);
  assert.throws(() => addresses.take({ network: "n", ip: "10.1.0.9" }, "c"), /has no IPv4 subnet/);
  assert.throws(() => parseNetwork({ name: "n", driver: "bridge", bridge: "br0" }), /one of IPv4, of IPv6, or of both/);
  assert.throws(() => parseNetwork({ ...six, mtu: 1279 }), /1280 to 65535/);
  assert.throws(
    () => parseNetwork({ name: "n", driver: "bridge", bridge: "br0", subnet: "10.1.0.0/24" }),
    /gateway.*a network with subnet 10\.1\.0\.0\/24 needs one/,
  );
});

Deno.test("checkDisjoint refuses a second network with the same bridge or overlapping addresses, not a new version of the same", () => {
  const one = parseNetwork(DEFINITION);
  const other = (change: Partial<typeof DEFINITION>) =>
    parseNetwork({ ...DEFINITION, name: "m", bridge: "br1", subnet: "10.2.0.0/24", gateway: "10.2.0.1", ...change });
  checkDisjoint(one, [one]);
  checkDisjoint(other({}), [one]);
  assert.throws(() => checkDisjoint(other({ bridge: "br0" }), [one]), /network n has it/);
  assert.throws(
    () => checkDisjoint(other({ subnet: "10.0.0.0/8", gateway: "10.0.0.1" }), [one]),
    /overlaps 10\.1\.0\.0\/24/,
  );
});
