import assert from "node:assert/strict";
import { Cache, ttlOf } from "./cache.ts";
import { CLASS_IN, type Message, query, RCODE, TYPE } from "./message.ts";

function answer(ttls: number[], options: Partial<Message> = {}): Message {
  const answers = ttls.map((ttl) => ({ name: "\x01a", type: 1, class: CLASS_IN, ttl, data: [new Uint8Array(4)] }));
  return { ...query(1, { name: "\x01a", type: TYPE.A, class: CLASS_IN }), response: true, answers, ...options };
}

function soa(ttl: number, minimum: number): Message["authority"] {
  const numbers = new Uint8Array(20);
  new DataView(numbers.buffer).setUint32(16, minimum);
  return [{ name: "", type: TYPE.SOA, class: CLASS_IN, ttl, data: ["", "", numbers] }];
}

Deno.test("ttlOf: the lowest record decides; negative answers by their SOA within 300 s; failures for 1 s; others never", () => {
  assert.equal(ttlOf(answer([300, 20])), 20);
  assert.equal(ttlOf(answer([9_999_999])), 86_400);
  assert.equal(ttlOf(answer([], { rcode: RCODE.NXDOMAIN, authority: soa(60, 30) })), 30);
  assert.equal(ttlOf(answer([], { authority: soa(5000, 4000) })), 300);
  assert.equal(ttlOf(answer([])), 0, "NODATA without SOA");
  assert.equal(ttlOf(answer([], { rcode: RCODE.SERVFAIL })), 1);
  assert.equal(ttlOf(answer([300], { truncated: true })), 0);
  assert.equal(ttlOf(answer([0])), 0);
});

Deno.test("Cache: what it gives is as much older as time went by, and nothing when its time is over", () => {
  let now = 1000;
  const cache = new Cache({ entries: 10, bytes: 1e6 }, () => now);
  cache.put("k", answer([10]));
  assert.equal(cache.get("k")?.answers[0]?.ttl, 10);
  now += 4500;
  assert.equal(cache.get("k")?.answers[0]?.ttl, 6);
  now += 5500;
  assert.equal(cache.get("k"), undefined);
  assert.deepEqual(cache.size, { entries: 0, bytes: 0 });
});

Deno.test("Cache: bounded in entries and bytes, the least recently used goes first; a huge answer is not kept", () => {
  const cache = new Cache({ entries: 3, bytes: 1e6 });
  for (const key of ["a", "b", "c"]) cache.put(key, answer([60]));
  cache.get("a");
  cache.put("d", answer([60]));
  assert.deepEqual(["a", "b", "c", "d"].map((k) => cache.get(k) !== undefined), [true, false, true, true]);
  cache.put("e", answer(Array<number>(1000).fill(60)));
  assert.equal(cache.get("e"), undefined);
  const small = new Cache({ entries: 1e6, bytes: 20_000 });
  for (let i = 0; i < 1000; i++) small.put(`k${i}`, answer([60]));
  assert.ok(small.size.bytes <= 20_000 && small.size.entries > 10);
});

Deno.test("Cache: the cached answer is not changed by what is given out", () => {
  let now = 0;
  const cache = new Cache({ entries: 3, bytes: 1e6 }, () => now);
  const message = answer([60]);
  cache.put("k", message);
  now = 30_000;
  cache.get("k");
  assert.equal(message.answers[0]?.ttl, 60);
});
