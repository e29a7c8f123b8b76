/** nyx's own names over real sockets, judged by Debian's dig. */

import assert from "node:assert/strict";
import { DnsBackend } from "../../daemon/dns/backend.ts";
import { Logger } from "../../daemon/log/logger.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import { dataOf, dig } from "../support/dig.ts";
import { id, openDatagram, startResolver } from "./dns_fixture.ts";

function register(dns: DnsBackend, n: number, name: string, network = "red", aliases: string[] = []): void {
  dns.register({
    id: id(n),
    name,
    hostname: name,
    endpoints: [{ network, ip: `10.9.0.${n}`, ip6: `fd00::${n}`, aliases }],
  });
}

Deno.test("DnsBackend: A, AAAA, PTR, any case, UDP and TCP; authoritative, TTL 30, nothing asked outside", async () => {
  using f = await startResolver();
  register(f.dns, 2, "web");
  for (const transport of ["+notcp", "+tcp"]) {
    const a = await dig(f.red, "WeB", "A", transport);
    assert.deepEqual([a.status, a.flags.join(" "), a.answers], ["NOERROR", "qr aa rd ra", ["WeB. 30 IN A 10.9.0.2"]]);
    assert.deepEqual(dataOf(await dig(f.red, "web.nyxd.local", "AAAA", transport)), ["fd00::2"]);
  }
  assert.deepEqual(dataOf(await dig(f.red, "-x", "10.9.0.2")), ["web.nyxd.local."]);
  assert.deepEqual(dataOf(await dig(f.red, "-x", "fd00::2")), ["web.nyxd.local."]);
  assert.deepEqual(dataOf(await dig(f.red, "host.docker.internal")), [f.red.address]);
  assert.deepEqual(f.upstreams[0]?.asked, []);
});

Deno.test("DnsBackend: NODATA for a type that a name has not, NXDOMAIN for no name; both with an SOA of one second", async () => {
  using f = await startResolver();
  register(f.dns, 2, "web");
  for (
    const [name, type, status, owner] of [
      ["web", "MX", "NOERROR", "web."],
      ["web.nyxd.local", "TXT", "NOERROR", "nyxd.local."],
      ["nope.nyxd.local", "A", "NXDOMAIN", "nyxd.local."],
      ["nope", "A", "NXDOMAIN", "."],
      ["nope", "AAAA", "NXDOMAIN", "."],
    ] as const
  ) {
    const dug = await dig(f.red, name, type);
    assert.deepEqual([dug.status, dug.answers], [status, []], `${name} ${type}`);
    assert.match(dug.authority[0] ?? "", new RegExp(`^${owner.replaceAll(".", "\\.")} 1 IN SOA .* 1$`), name);
  }
  assert.deepEqual(f.upstreams[0]?.asked, []);
});

Deno.test("DnsBackend: 200 replicas: what fits without TCP, marked as truncated; all over TCP; the first one changes", async () => {
  using f = await startResolver();
  for (let n = 1; n <= 200; n++) register(f.dns, n, `w${n}`, "red", ["svc"]);
  const small = await dig(f.red, "svc", "+noedns", "+ignore");
  assert.ok(small.flags.includes("tc") && small.answers.length > 20 && small.answers.length < 32);
  assert.equal(small.edns, undefined);
  const large = await dig(f.red, "svc", "+bufsize=4096", "+ignore");
  assert.ok(large.answers.length > 60 && large.answers.length < 80, "never above 1232 bytes");
  assert.match(large.edns ?? "", /udp: 1232/);
  const whole = await dig(f.red, "svc");
  assert.equal(new Set(dataOf(whole)).size, 200);
  assert.notEqual(dataOf(await dig(f.red, "svc"))[0], dataOf(whole)[0]);
});

Deno.test("DnsBackend: EDNS of a later version, other classes, transfers and opcodes are refused as the standards say", async () => {
  using f = await startResolver();
  assert.equal((await dig(f.red, "web", "+edns=1", "+noednsnegotiation")).status, "BADVERS");
  assert.equal((await dig(f.red, "version.bind", "CH", "TXT")).status, "REFUSED");
  assert.equal((await dig(f.red, "example.com", "+opcode=NOTIFY")).status, "NOTIMP");
  assert.match((await dig(f.red, "example.com", "AXFR")).text, /Transfer failed|REFUSED/);
  assert.equal((await dig(f.red, "example.com", "+norecurse")).status, "REFUSED");
});

Deno.test("DnsBackend: a network that goes away answers no more; one that comes is answered at once", async () => {
  using f = await startResolver();
  f.dns.removeNetwork("blue");
  assert.equal((await dig(f.blue, "x", "+time=1")).status, "none");
  assert.deepEqual(await f.dns.nameservers(["red", "blue"], "/netns"), { servers: [f.red.address] });
  assert.deepEqual(await f.dns.addNetwork({ name: "blue", subnet: "127.0.0.0/8", gateway: f.blue.address }), []);
  register(f.dns, 3, "db", "blue");
  assert.deepEqual(dataOf(await dig(f.blue, "db")), ["10.9.0.3"]);
  assert.equal((await dig(f.red, "db")).status, "NXDOMAIN");
});

Deno.test("DnsBackend: an attacker's 4,000 broken datagrams and 40 idle or lying connections do not stop it", async () => {
  using f = await startResolver();
  register(f.dns, 2, "web");
  using socket = openDatagram();
  const to = { transport: "udp" as const, hostname: f.red.address, port: f.red.port };
  const good = Uint8Array.of(1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, 119, 101, 98, 0, 0, 1, 0, 1);
  for (let i = 0; i < 4000; i++) {
    const bytes = i % 2 === 0 ? good.slice() : crypto.getRandomValues(new Uint8Array(i % 300));
    for (let n = 0; n < 4 && bytes.length > 0; n++) bytes[Math.floor(Math.random() * bytes.length)] = i + n * 77;
    await socket.send(bytes, to);
  }
  const conns: Deno.Conn[] = [];
  try {
    for (let i = 0; i < 40; i++) {
      const conn = await Deno.connect({ hostname: f.red.address, port: f.red.port });
      conns.push(conn);
      const bytes = [[0xff, 0xff, 1], [0, 4, 1], [0, 0], [0, 12, ...good.slice(0, 12)]][i % 4] ?? [];
      await conn.write(Uint8Array.from(bytes)).catch(() => {});
    }
    assert.deepEqual(dataOf(await dig(f.red, "web")), ["10.9.0.2"]);
  } finally {
    for (const conn of conns) conn.close();
  }
  await new Promise((r) => setTimeout(r, 50));
  assert.deepEqual(dataOf(await dig(f.red, "web", "+tcp")), ["10.9.0.2"]);
  assert.deepEqual(f.log.filter((l) => l.includes('"error"')), []);
});

Deno.test("DnsBackend: an answer sent as a question is met with silence, so that two resolvers cannot be set on each other", async () => {
  using f = await startResolver();
  using socket = openDatagram();
  const to = { transport: "udp" as const, hostname: f.red.address, port: f.red.port };
  await socket.send(Uint8Array.of(1, 2, 0x81, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, 119, 101, 98, 0, 0, 1, 0, 1), to);
  await socket.send(Uint8Array.of(9, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, 119, 101, 98, 0, 0, 1, 0, 1), to);
  const [first] = await socket.receive();
  assert.deepEqual([...first.slice(0, 2)], [9, 9]);
});

Deno.test("DnsBackend: a port that is taken: auto warns, has no name server, and takes it when it is free; embedded refuses", async () => {
  const address = `127.49.${Math.floor(Math.random() * 250)}.1`;
  const taken = Deno.listenDatagram({ transport: "udp", hostname: "0.0.0.0", port: 0 });
  const port = taken.addr.transport === "udp" ? taken.addr.port : 0;
  const network = { name: "n", subnet: "127.0.0.0/8", gateway: address };
  const options = { resolvConfPath: "/etc/resolv.conf", log: new Logger("silent"), port };
  const auto = new DnsBackend({ mode: "auto", ...options });
  const embedded = new DnsBackend({ mode: "embedded", ...options });
  const off = new DnsBackend({ mode: "off", ...options });
  const servers = async (dns: DnsBackend) => (await dns.nameservers(["n"], "/netns")).servers;
  try {
    const [warning] = await auto.addNetwork(network);
    assert.match(warning ?? "", /resolver of network "n" on 127\.49\.\d+\.1 port \d+: another program has the port/);
    assert.deepEqual(await servers(auto), []);
    await assert.rejects(
      embedded.addNetwork(network),
      (e) => e instanceof NyxError && e.code === "failed_precondition",
    );
    assert.deepEqual(await off.addNetwork(network), []);
    taken.close();
    for (let i = 0; i < 80 && (await servers(auto)).length === 0; i++) await new Promise((r) => setTimeout(r, 100));
    assert.deepEqual(await servers(auto), [address]);
    assert.deepEqual(await servers(off), []);
  } finally {
    for (const dns of [auto, embedded, off]) dns.close();
  }
});
