/** Questions that go to the host's resolvers: cached, raced, matched, bounded. The upstreams are the test's own. */

import assert from "node:assert/strict";
import { encode, type Message } from "../../daemon/dns/message.ts";
import { dataOf, dig } from "../support/dig.ts";
import { withAddresses, withoutName } from "../support/dns_upstream.ts";
import { openDatagram, startResolver } from "./dns_fixture.ts";

function first<T>(list: readonly T[]): T {
  const [item] = list;
  assert.ok(item !== undefined);
  return item;
}

Deno.test("forward: an answer is relayed, kept as long as its TTL says, and its age shows", async () => {
  using f = await startResolver();
  const up = first(f.upstreams);
  const one = await dig(f.red, "www.example.com");
  assert.deepEqual([one.status, one.flags.join(" "), dataOf(one)], ["NOERROR", "qr rd ra", ["192.0.2.1"]]);
  up.script = (_, asked) => withAddresses(asked, ["192.0.2.2"], 1);
  await new Promise((r) => setTimeout(r, 1100));
  const two = await dig(f.red, "WWW.example.com");
  assert.match(first(two.answers), / 5[89] IN A 192\.0\.2\.1$/);
  assert.equal(up.asked.length, 1);
  await dig(f.red, "short.example.com");
  await new Promise((r) => setTimeout(r, 1100));
  await dig(f.red, "short.example.com");
  assert.equal(up.asked.length, 3);
});

Deno.test("forward: no such name is kept as long as its SOA says, NODATA too", async () => {
  using f = await startResolver();
  const up = first(f.upstreams);
  up.script = (q, asked) =>
    q.type === 1 ? withoutName(asked, 60) : { ...withoutName(asked, 60), rcode: 0, questions: asked.questions };
  for (let i = 0; i < 2; i++) {
    const no = await dig(f.red, "no.example");
    assert.deepEqual([no.status, no.answers.length, no.authority.length], ["NXDOMAIN", 0, 1]);
    assert.equal((await dig(f.red, "no.example", "AAAA")).status, "NOERROR");
  }
  assert.equal(up.asked.length, 2);
});

Deno.test("forward: a dead first resolver costs 300 ms once; then it is asked last", async () => {
  using f = await startResolver({ dead: 1 });
  const took: number[] = [];
  for (const name of ["a.example", "b.example", "c.example"]) {
    const began = performance.now();
    assert.equal((await dig(f.red, name)).status, "NOERROR");
    took.push(performance.now() - began);
  }
  const [a = 0, b = 0, c = 0] = took;
  assert.ok(a > 280 && b < a - 100 && c < a - 100, took.join(" "));
});

Deno.test("forward: the first good answer counts: failures are passed over, and relayed when nobody does better", async () => {
  using f = await startResolver({ upstreams: 2 });
  const [one, two] = f.upstreams;
  assert.ok(one !== undefined && two !== undefined);
  const failing = (rcode: number) => (_: unknown, asked: Message): Message => ({ ...withAddresses(asked, []), rcode });
  one.script = failing(2);
  assert.deepEqual(dataOf(await dig(f.red, "x.example")), ["192.0.2.1"]);
  one.script = failing(5);
  assert.deepEqual(dataOf(await dig(f.red, "y.example")), ["192.0.2.1"]);
  two.script = failing(2);
  assert.equal((await dig(f.red, "z.example")).status, "SERVFAIL");
});

Deno.test("forward: without a working resolver SERVFAIL comes before clients give up, at once when none is named", async () => {
  using f = await startResolver({ upstreams: 0, dead: 2 });
  const began = performance.now();
  assert.equal((await dig(f.red, "x.example")).status, "SERVFAIL");
  assert.ok(performance.now() - began < 4900);
  Deno.writeTextFileSync(f.resolvConf, "# none\n");
  await new Promise((r) => setTimeout(r, 1100));
  const again = performance.now();
  assert.equal((await dig(f.red, "y.example")).status, "SERVFAIL");
  assert.ok(performance.now() - again < 500);
});

Deno.test("forward: what UDP cuts off is asked again over TCP, and cut for the client by its own size", async () => {
  using f = await startResolver();
  const up = first(f.upstreams);
  const many = Array.from({ length: 100 }, (_, i) => `192.0.2.${i}`);
  up.script = (_, asked, over) =>
    over === "tcp" ? withAddresses(asked, many) : { ...withAddresses(asked, []), truncated: true };
  const small = await dig(f.red, "big.example", "+noedns", "+ignore");
  assert.ok(small.flags.includes("tc") && small.answers.length < 32);
  assert.equal(dataOf(await dig(f.red, "big.example")).length, 100);
  assert.deepEqual(up.asked, ["big.example. 1 udp", "big.example. 1 tcp"]);
});

Deno.test("forward: a resolver from before EDNS is asked without it", async () => {
  using f = await startResolver();
  const up = first(f.upstreams);
  up.script = (_, asked) => {
    const { edns, ...plain } = withAddresses(asked, edns0(asked) ? [] : ["192.0.2.9"]);
    return edns === undefined ? plain : { ...plain, rcode: 1, questions: asked.questions };
  };
  assert.deepEqual(dataOf(await dig(f.red, "old.example")), ["192.0.2.9"]);
});

function edns0(message: Message): boolean {
  return message.edns !== undefined;
}

Deno.test("forward: a changed resolv.conf is followed within a second, and old answers are forgotten", async () => {
  using f = await startResolver({ upstreams: 2 });
  const [one, two] = f.upstreams;
  assert.ok(one !== undefined && two !== undefined);
  two.script = (_, asked) => withAddresses(asked, ["192.0.2.2"]);
  Deno.writeTextFileSync(f.resolvConf, `nameserver ${one.address}\n`);
  await new Promise((r) => setTimeout(r, 1050));
  assert.deepEqual(dataOf(await dig(f.red, "v.example")), ["192.0.2.1"]);
  Deno.writeTextFileSync(f.resolvConf, `search x\nnameserver ${two.address}\n`);
  await new Promise((r) => setTimeout(r, 1050));
  await dig(f.red, "other.example");
  assert.deepEqual(dataOf(await dig(f.red, "v.example")), ["192.0.2.2"]);
});

Deno.test("forward: a forger's answers (wrong id, wrong question, no answer, garbage, wrong source) are not taken", async () => {
  using f = await startResolver();
  const up = first(f.upstreams);
  const forged = (asked: Message) => withAddresses(asked, ["6.6.6.6"]);
  using other = openDatagram();
  up.script = async (_, asked) => {
    const target = up.seen.at(-1)?.port ?? 0;
    await other.send(encode(forged(asked)), { transport: "udp", hostname: "127.0.0.1", port: target });
    return [
      encode({ ...forged(asked), id: asked.id ^ 1 }),
      encode({ ...forged(asked), questions: [{ name: "\x04bank\x03com", type: 1, class: 1 }] }),
      encode({ ...forged(asked), response: false }),
      Uint8Array.of(1, 2, 3),
      encode(withAddresses(asked, ["192.0.2.1"])),
    ];
  };
  assert.deepEqual(dataOf(await dig(f.red, "bank.example")), ["192.0.2.1"]);
});

Deno.test("forward: under a flood of forged answers the question goes over TCP", async () => {
  using f = await startResolver();
  const up = first(f.upstreams);
  up.script = (_, asked, over) =>
    over === "tcp" ? withAddresses(asked, ["192.0.2.1"]) : Array.from({ length: 50 }, (_, i) =>
      encode({
        ...withAddresses(asked, ["6.6.6.6"]),
        id: asked.id ^ (i + 1),
      }));
  assert.deepEqual(dataOf(await dig(f.red, "flood.example")), ["192.0.2.1"]);
  assert.equal(up.asked.at(-1), "flood.example. 1 tcp");
});

Deno.test("forward: each question has a port and an id of its own, that cannot be guessed from others", async () => {
  using f = await startResolver();
  const up = first(f.upstreams);
  await Promise.all(Array.from({ length: 40 }, (_, i) => dig(f.red, `n${i}.example`)));
  assert.ok(new Set(up.seen.map((s) => s.port)).size >= 38);
  assert.ok(new Set(up.seen.map((s) => s.id)).size >= 38);
});

Deno.test("forward: many who ask the same are one question", async () => {
  using f = await startResolver();
  const up = first(f.upstreams);
  up.script = async (_, asked) => {
    await new Promise((r) => setTimeout(r, 400));
    return withAddresses(asked, ["192.0.2.1"]);
  };
  const all = await Promise.all(Array.from({ length: 10 }, () => dig(f.red, "same.example")));
  assert.ok(all.every((d) => d.status === "NOERROR"));
  assert.equal(up.asked.length, 1);
});

Deno.test("forward: one client's flood of slow names is bounded: SERVFAIL above 128 at once, own names still answered", async () => {
  using f = await startResolver();
  const up = first(f.upstreams);
  up.script = () => undefined;
  f.dns.register({
    id: "a".repeat(64),
    name: "web",
    hostname: "web",
    endpoints: [{ network: "red", ip: "10.9.0.2", aliases: [] }],
  });
  using socket = openDatagram();
  const to = { transport: "udp" as const, hostname: f.red.address, port: f.red.port };
  for (let i = 0; i < 200; i++) {
    const label = `s${i}`;
    const name = [label.length, ...new TextEncoder().encode(label), 2, 120, 120, 0];
    await socket.send(Uint8Array.from([0, i, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...name, 0, 1, 0, 1]), to);
  }
  for (let i = 0; i < 72; i++) {
    const [reply] = await socket.receive();
    assert.equal((reply[3] ?? 0) & 15, 2);
  }
  assert.deepEqual(dataOf(await dig(f.red, "web")), ["10.9.0.2"]);
  assert.ok(up.asked.length <= 128);
});

Deno.test("forward: internal networks ask nothing outside: no such name, at once", async () => {
  using f = await startResolver();
  const dug = await dig(f.blue, "www.example.com");
  assert.deepEqual([dug.status, dug.authority.length], ["NXDOMAIN", 1]);
  assert.deepEqual(first(f.upstreams).asked, []);
});

Deno.test("forward: host look-ups of single labels stay inside, other types of them do not", async () => {
  using f = await startResolver();
  await dig(f.red, "db", "A");
  await dig(f.red, "db", "AAAA");
  assert.deepEqual(first(f.upstreams).asked, []);
  await dig(f.red, "com", "NS");
  await dig(f.red, ".", "SOA");
  assert.deepEqual(first(f.upstreams).asked, ["com. 2 udp", ". 6 udp"]);
});

Deno.test("forward: a host whose resolv.conf names nyx itself does not make questions go in circles", async () => {
  using f = await startResolver({ upstreams: 0 });
  Deno.writeTextFileSync(f.resolvConf, `nameserver ${f.red.address}\n`);
  await new Promise((r) => setTimeout(r, 1050));
  assert.equal((await dig(f.red, "loop.example", "+time=2")).status, "SERVFAIL");
});
