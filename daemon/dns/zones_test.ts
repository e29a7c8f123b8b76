import assert from "node:assert/strict";
import { tryName } from "./name.ts";
import { addressOfReverse, type DnsRegistration, type LocalRecords, Zones } from "./zones.ts";

const A = { name: "a", subnet: "10.1.0.0/24", gateway: "10.1.0.1", subnet6: "fd00:1::/64", gateway6: "fd00:1::1" };
const B = { name: "b", subnet: "10.2.0.0/24", gateway: "10.2.0.1" };

function id(n: number): string {
  return n.toString(16).padStart(12, "0").padEnd(64, "f");
}

function container(n: number, name: string, endpoints: DnsRegistration["endpoints"]): DnsRegistration {
  return { id: id(n), name, hostname: `host-${name}`, endpoints };
}

function zones(): Zones {
  const zones = new Zones();
  zones.addNetwork(A);
  zones.addNetwork(B);
  return zones;
}

function found(z: Zones, name: string, network = "a", client = "10.1.0.200"): LocalRecords | undefined {
  return z.lookup(network, client, tryName(name) ?? "").found;
}

function v4(z: Zones, name: string, network = "a", client = "10.1.0.200"): string[] | undefined {
  return found(z, name, network, client)?.a.map((b) => b.join("."));
}

Deno.test("Zones: in a network with IPv6 alone a name has AAAA and no A, the host's names too, and a client of it is known", () => {
  const z = zones();
  z.addNetwork({ name: "six", subnet6: "fd00:6::/64", gateway6: "fd00:6::1" });
  z.register(
    container(1, "web", [{ network: "six", ip6: "fd00:6::2", aliases: [] }, {
      network: "b",
      ip: "10.2.0.2",
      aliases: [],
    }]),
  );
  for (const name of ["web", "host.docker.internal"]) {
    const records = found(z, name, "six", "fd00:6::9");
    assert.deepEqual([records?.a.length, records?.aaaa.length], [0, 1], name);
  }
  assert.deepEqual(v4(z, "web", "b"), ["10.2.0.2"]);
  // Who is in both networks learns both addresses of one container, and not those of a stranger of the same name.
  z.register(
    container(2, "asks", [{ network: "b", ip: "10.2.0.3", aliases: [] }, {
      network: "six",
      ip6: "fd00:6::3",
      aliases: [],
    }]),
  );
  z.register(container(3, "other", [{ network: "six", ip6: "fd00:6::4", aliases: ["web"] }]));
  const both = found(z, "web", "b", "10.2.0.3");
  assert.deepEqual([both?.a.map((b) => b.join(".")), both?.aaaa.map((b) => b[15])], [["10.2.0.2"], [2]]);
  assert.deepEqual(found(z, "web", "b", "10.2.0.9")?.aaaa, [], "a client of one network learns what that one has");
  assert.ok(z.admits("six", "fd00:6::77") && !z.admits("six", "10.2.0.2") && !z.admits("six", "fd00:7::1"));
});

Deno.test("Zones: a container is found by name, short id, hostname and alias, alone and with both suffixes, in any case", () => {
  const z = zones();
  z.register(container(1, "Web", [{ network: "a", ip: "10.1.0.2", ip6: "fd00:1::2", aliases: ["API"] }]));
  for (const name of ["web", "host-web", "api", "000000000001"]) {
    for (const suffix of ["", ".nyxd.local", ".a"]) assert.deepEqual(v4(z, name + suffix), ["10.1.0.2"], name + suffix);
  }
  assert.equal(found(z, "web")?.aaaa.length, 1);
  assert.deepEqual(found(z, "2.0.1.10.in-addr.arpa")?.ptr, [tryName("Web.nyxd.local")]);
});

Deno.test("Zones: the db of two networks never meet; a container in both sees both, the asked network's first", () => {
  const z = zones();
  z.register(container(1, "one", [{ network: "a", ip: "10.1.0.2", aliases: ["db"] }]));
  z.register(container(2, "two", [{ network: "b", ip: "10.2.0.2", aliases: ["db", "only-b"] }]));
  z.register(
    container(3, "both", [{ network: "a", ip: "10.1.0.3", aliases: [] }, {
      network: "b",
      ip: "10.2.0.3",
      aliases: [],
    }]),
  );
  assert.deepEqual(v4(z, "db"), ["10.1.0.2"]);
  assert.deepEqual(v4(z, "db", "b", "10.2.0.9"), ["10.2.0.2"]);
  assert.equal(v4(z, "only-b"), undefined);
  assert.deepEqual(v4(z, "only-b", "a", "10.1.0.3"), ["10.2.0.2"]);
  assert.deepEqual(v4(z, "db", "a", "10.1.0.3"), ["10.1.0.2"]);
});

Deno.test("Zones: all who share an alias are answered, each first in its turn; who goes is gone", () => {
  const z = zones();
  for (const n of [2, 3, 4]) z.register(container(n, `w${n}`, [{ network: "a", ip: `10.1.0.${n}`, aliases: ["svc"] }]));
  const first = new Set<string | undefined>();
  for (let i = 0; i < 3; i++) {
    const all = v4(z, "svc");
    assert.equal(all?.length, 3);
    first.add(all?.[0]);
  }
  assert.equal(first.size, 3);
  z.deregister(id(3));
  assert.deepEqual(v4(z, "svc")?.sort(), ["10.1.0.2", "10.1.0.4"]);
  assert.equal(v4(z, "w3"), undefined);
  assert.equal(found(z, "3.0.1.10.in-addr.arpa"), undefined);
});

Deno.test("Zones: registering again replaces names and addresses, as a rename and a restart do", () => {
  const z = zones();
  z.register(container(1, "old", [{ network: "a", ip: "10.1.0.2", aliases: [] }]));
  z.register(container(1, "new", [{ network: "a", ip: "10.1.0.7", aliases: [] }]));
  assert.equal(v4(z, "old"), undefined);
  assert.deepEqual(v4(z, "new"), ["10.1.0.7"]);
  assert.equal(found(z, "2.0.1.10.in-addr.arpa"), undefined);
});

Deno.test("Zones: what is nyx's own is never asked outside: its domain, its subnets' addresses, localhost, invalid", () => {
  const z = zones();
  z.register(container(1, "web.x", [{ network: "a", ip: "10.1.0.2", aliases: [] }]));
  const look = (name: string) => z.lookup("a", "10.1.0.2", tryName(name) ?? "");
  for (const name of ["nope.nyxd.local", "99.0.1.10.in-addr.arpa", "x.invalid"]) {
    const l = look(name);
    assert.ok(l.found === undefined && l.local, name);
  }
  assert.deepEqual(look("nyxd.local").found, { a: [], aaaa: [], ptr: [] });
  assert.deepEqual(look("x.nyxd.local").found, { a: [], aaaa: [], ptr: [] }, "a name above one that exists");
  assert.equal(look("localhost").found?.a[0]?.join("."), "127.0.0.1");
  for (const name of ["example.com", "web", "9.9.9.9.in-addr.arpa", "9.0.2.10.in-addr.arpa", "xnyxd.local"]) {
    const l = look(name);
    assert.ok(l.found === undefined && !l.local, name);
  }
});

Deno.test("Zones: the host has names on each gateway, which a container of that name takes and gives back", () => {
  const z = zones();
  for (const name of ["host.nyxd.local", "host.docker.internal", "host.containers.internal"]) {
    assert.deepEqual(v4(z, name), ["10.1.0.1"]);
  }
  assert.deepEqual(found(z, "1.0.1.10.in-addr.arpa")?.ptr, [tryName("host.nyxd.local")]);
  z.register(container(1, "host", [{ network: "a", ip: "10.1.0.2", aliases: [] }]));
  assert.deepEqual(v4(z, "host.nyxd.local"), ["10.1.0.2"]);
  z.deregister(id(1));
  assert.deepEqual(v4(z, "host.nyxd.local"), ["10.1.0.1"]);
});

Deno.test("Zones.admits: a network's own addresses and the host's, of both families, and nobody else", () => {
  const z = zones();
  const all = [
    "10.1.0.1",
    "10.1.0.77",
    "fd00:1::9",
    "10.2.0.2",
    "192.0.2.1",
    "127.0.0.1",
    "fd00:2::1",
    "::1",
    "nonsense",
  ];
  assert.deepEqual(all.filter((ip) => z.admits("a", ip)), ["10.1.0.1", "10.1.0.77", "fd00:1::9", "127.0.0.1", "::1"]);
  assert.ok(!z.admits("gone", "10.1.0.2"));
});

Deno.test("Zones.mayForward: not from internal networks, unless the container is in another; not yet when unknown", () => {
  const z = zones();
  z.addNetwork({ ...B, internal: true });
  z.addNetwork({ name: "c", subnet: "10.3.0.0/24", gateway: "10.3.0.1", internal: "unknown" });
  const at = (network: string, n: number) => ({ network, ip: `10.${network === "a" ? 1 : 2}.0.${n}`, aliases: [] });
  z.register(container(1, "inner", [at("b", 2)]));
  z.register(container(2, "both", [at("b", 3), at("a", 3)]));
  assert.equal(z.mayForward("b", "10.2.0.2"), false);
  assert.equal(z.mayForward("b", "10.2.0.3"), true);
  assert.equal(z.mayForward("c", "10.3.0.3"), "unknown");
});

Deno.test("addressOfReverse: whole addresses only", () => {
  const of = (text: string) => addressOfReverse(tryName(text) ?? "")?.join(".");
  assert.equal(of("2.0.88.10.in-addr.arpa"), "10.88.0.2");
  for (
    const t of ["0.88.10.in-addr.arpa", "1.2.0.88.10.in-addr.arpa", "256.0.0.1.in-addr.arpa", "x.ip6.arpa", "arpa"]
  ) {
    assert.equal(of(t), undefined, t);
  }
  assert.equal(of(`${"0.".repeat(30)}d.f.ip6.arpa`), `253.${Array(15).fill("0").join(".")}`);
});
