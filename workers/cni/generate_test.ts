import assert from "node:assert/strict";
import { parseNetwork } from "../network/definition.ts";
import { parseConfigList } from "./conflist.ts";
import { generate, type Recipe } from "./generate.ts";
import { portMappings } from "./reservation.ts";

function recipe(fields: Partial<Recipe> = {}, definition: Record<string, unknown> = {}): Recipe {
  const network = parseNetwork({
    name: "red",
    driver: "bridge",
    bridge: "nyx-red",
    subnet: "10.9.0.0/24",
    gateway: "10.9.0.1",
    ...definition,
  });
  return { driver: "bridge", network, leaseDir: "/leases", version: "1.0.0", ...fields };
}

const first = { ifname: "eth0", gateway: true, ports: true };

Deno.test("generate: bridge, portmap, firewall and tuning with addresses from host-local, as a list that parses", () => {
  const list = generate(recipe(), first);
  assert.deepEqual(list.plugins, [
    {
      type: "bridge",
      bridge: "nyx-red",
      isGateway: true,
      ipMasq: false,
      hairpinMode: true,
      capabilities: { ips: true, mac: true },
      ipam: {
        type: "host-local",
        dataDir: "/leases",
        ranges: [[{ subnet: "10.9.0.0/24", gateway: "10.9.0.1" }]],
        routes: [{ dst: "0.0.0.0/0" }],
      },
    },
    { type: "portmap", snat: true, capabilities: { portMappings: true } },
    { type: "firewall" },
    { type: "tuning", sysctl: { "net.ipv4.conf.eth0.accept_redirects": "0" } },
  ]);
  assert.deepEqual(parseConfigList(list, "x"), list);
});

Deno.test("generate: one of several networks gives no default route and publishes nothing; an internal one neither", () => {
  const types = (list: ReturnType<typeof generate>) => list.plugins.map((p) => p.type);
  const routes = (list: ReturnType<typeof generate>) => (list.plugins[0]?.ipam as { routes: unknown[] }).routes;
  const second = generate(recipe(), { ifname: "eth1", gateway: false, ports: true });
  assert.deepEqual([types(second), routes(second)], [["bridge", "firewall", "tuning"], []]);
  const quiet = generate(recipe(), { ...first, ports: false });
  assert.deepEqual([types(quiet), routes(quiet).length], [["bridge", "firewall", "tuning"], 1]);
  const internal = generate(recipe({}, { internal: true }), first);
  assert.deepEqual([types(internal), routes(internal)], [["bridge", "tuning"], []]);
});

Deno.test("generate: both families, a range inside the subnet without its ends, the MTU", () => {
  const two = recipe({}, { subnet6: "fd09::/64", gateway6: "fd09::1", ipRange: "10.9.0.128/25", mtu: 1400 });
  const [bridge] = generate(two, first).plugins;
  assert.equal(bridge?.mtu, 1400);
  assert.deepEqual((bridge?.ipam as Record<string, unknown>).ranges, [
    [{ subnet: "10.9.0.0/24", gateway: "10.9.0.1", rangeStart: "10.9.0.128", rangeEnd: "10.9.0.254" }],
    [{ subnet: "fd09::/64", gateway: "fd09::1" }],
  ]);
});

Deno.test("generate: IPv6 alone has one range and one route", () => {
  const six = { name: "six", driver: "bridge" as const, bridge: "nyx-6", subnet6: "fd09::/64", gateway6: "fd09::1" };
  const [bridge] = generate({ ...recipe(), network: parseNetwork(six) }, first).plugins;
  const { ranges, routes } = bridge?.ipam as Record<string, unknown>;
  assert.deepEqual([ranges, routes], [[[{ subnet: "fd09::/64", gateway: "fd09::1" }]], [{ dst: "::/0" }]]);
});

Deno.test("generate: addresses that others have are left out, at the ends of a range, twice, and outside of it", () => {
  const reserved = ["10.9.0.50", "10.9.0.200", "10.9.0.128", "10.9.0.50", "10.9.0.254"];
  const ranges = (definition: Record<string, unknown>) => {
    const ipam = generate(recipe({}, { reserved, ...definition }), first).plugins[0]?.ipam as Record<string, unknown>;
    return (ipam.ranges as Record<string, string>[][])[0]?.map((r) => `${r.rangeStart}-${r.rangeEnd}`);
  };
  assert.deepEqual(ranges({}), [
    "10.9.0.1-10.9.0.49",
    "10.9.0.51-10.9.0.127",
    "10.9.0.129-10.9.0.199",
    "10.9.0.201-10.9.0.253",
  ]);
  assert.deepEqual(ranges({ ipRange: "10.9.0.128/25" }), ["10.9.0.129-10.9.0.199", "10.9.0.201-10.9.0.253"]);
});

Deno.test("generate: macvlan on an interface, ptp with masquerade", () => {
  const lan = generate(recipe({ driver: "macvlan", parent: "up0" }), first);
  assert.deepEqual(lan.plugins.map((p) => p.type), ["macvlan", "tuning"]);
  assert.deepEqual([lan.plugins[0]?.master, lan.plugins[0]?.mode], ["up0", "bridge"]);
  const alone = generate(recipe({ driver: "macvlan", parent: "up0", mode: "private" }), first);
  assert.equal(alone.plugins[0]?.mode, "private");
  const ptp = generate(recipe({ driver: "ptp" }), first);
  assert.deepEqual(ptp.plugins.map((p) => p.type), ["ptp", "portmap", "firewall", "tuning"]);
  assert.equal(ptp.plugins[0]?.ipMasq, true);
});

Deno.test("portMappings: ranges port by port; the halves of a port on all addresses are one without hostIP", () => {
  const port = { hostPort: 80, containerPort: 8080, count: 1, protocol: "tcp" as const };
  assert.deepEqual(portMappings([{ ...port, hostIp: "0.0.0.0" }, { ...port, hostIp: "::" }]), [
    { hostPort: 80, containerPort: 8080, protocol: "tcp" },
  ]);
  assert.deepEqual(portMappings([{ ...port, count: 2, hostIp: "127.0.0.1" }]), [
    { hostPort: 80, containerPort: 8080, protocol: "tcp", hostIP: "127.0.0.1" },
    { hostPort: 81, containerPort: 8081, protocol: "tcp", hostIP: "127.0.0.1" },
  ]);
});
