import assert from "node:assert/strict";
import { CLASS_IN, decode, encode, type Message, query, RCODE, replyTo, type ResourceRecord, TYPE } from "./message.ts";
import { FormatError, lower, tryName } from "./name.ts";

/** A generator of the same numbers for the same seed (mulberry32). */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = state + 0x6d2b79f5 | 0;
    let t = Math.imul(state ^ state >>> 15, 1 | state);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return Math.floor(((t ^ t >>> 14) >>> 0) / 4294967296 * below);
  };
}

function randomName(r: (n: number) => number): string {
  const pool = ["com", "example", "WWW", "a", "x".repeat(63), "\xff\x00.", "nyxd"];
  return Array.from({ length: r(4) }, () => pool[r(pool.length)] ?? "a").map((l) => String.fromCharCode(l.length) + l)
    .join("");
}

function randomBytes(r: (n: number) => number, length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, () => r(256));
}

function randomRecord(r: (n: number) => number): ResourceRecord {
  const data: [number, (Uint8Array | string)[]][] = [
    [TYPE.A, [randomBytes(r, 4)]],
    [TYPE.AAAA, [randomBytes(r, 16)]],
    [TYPE.CNAME, [randomName(r)]],
    [TYPE.PTR, [randomName(r)]],
    [TYPE.SOA, [randomName(r), randomName(r), randomBytes(r, 20)]],
    [15, [randomBytes(r, 2), randomName(r)]],
    [33, [randomBytes(r, 6), randomName(r)]],
    [35, [
      randomBytes(r, 4),
      Uint8Array.of(1, 65),
      Uint8Array.of(0),
      Uint8Array.of(2, 1, 2),
      randomName(r),
    ]],
    [16, [randomBytes(r, 1 + r(300))]],
    [65280, []],
  ];
  const [type, parts] = data[r(data.length)] ?? [TYPE.A, [randomBytes(r, 4)]];
  return { name: randomName(r), type, class: CLASS_IN, ttl: r(0x7fffffff), data: parts };
}

function randomMessage(r: (n: number) => number): Message {
  const records = () => Array.from({ length: r(5) }, () => randomRecord(r));
  const bit = () => r(2) === 1;
  const edns = bit() ? { edns: { payload: 512 + r(4000), version: r(2), dnssecOk: bit() } } : {};
  return {
    id: r(65536),
    response: bit(),
    opcode: r(16),
    authoritative: bit(),
    truncated: bit(),
    recursionDesired: bit(),
    recursionAvailable: bit(),
    authentic: bit(),
    checkingDisabled: bit(),
    rcode: "edns" in edns ? r(4096) : r(16),
    questions: Array.from({ length: r(3) }, () => ({ name: randomName(r), type: r(65536), class: r(65536) })),
    answers: records(),
    authority: records(),
    additional: records(),
    ...edns,
  };
}

/** Names compressed against others take their spelling, so messages are compared in lower case. */
function folded(message: Message): string {
  return JSON.stringify(message, (_, v) => v instanceof Uint8Array ? [...v] : typeof v === "string" ? lower(v) : v);
}

Deno.test("encode, decode: 2,000 random messages round trip, with each kind of name in their data", () => {
  const r = random(1);
  for (let i = 0; i < 2000; i++) {
    const message = randomMessage(r);
    assert.equal(folded(decode(encode(message))), folded(message));
  }
});

Deno.test("encode: never over the limit; what fits is kept, the message is marked, and EDNS stays", () => {
  const r = random(2);
  for (let i = 0; i < 1000; i++) {
    const message = { ...randomMessage(r), questions: [{ name: "\x01q", type: 1, class: 1 }] };
    const limit = 60 + r(800);
    const bytes = encode(message, limit);
    assert.ok(bytes.length <= limit);
    const back = decode(bytes);
    const count = (m: Message) => m.answers.length + m.authority.length + m.additional.length;
    assert.equal(back.truncated, message.truncated || count(back) < count(message));
    assert.deepEqual(back.edns, message.edns);
  }
});

Deno.test("decode: an attacker's 20,000 mutated and random messages give a message or a FormatError, quickly", () => {
  const r = random(3);
  const began = performance.now();
  for (let i = 0; i < 20_000; i++) {
    let bytes = i % 4 === 0 ? randomBytes(r, r(200)) : encode(randomMessage(r));
    if (i % 4 === 1) bytes = bytes.slice(0, r(bytes.length));
    for (let n = r(6); n > 0 && bytes.length > 0; n--) bytes[r(bytes.length)] = r(3) === 0 ? 0xc0 : r(256);
    try {
      encode(decode(bytes));
    } catch (e) {
      assert.ok(e instanceof FormatError, String(e));
    }
  }
  assert.ok(performance.now() - began < 20_000);
});

Deno.test("decode: 64 KiB made to cost the most (each record's name 255 bytes by pointers) are read within a second", () => {
  const long = Array<string>(3).fill("\x3f" + "a".repeat(63)).join("") + "\x3d" + "b".repeat(61);
  const head = encode(query(1, { name: long, type: TYPE.PTR, class: CLASS_IN }));
  const record = Uint8Array.of(0xc0, 12, 0, 12, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 12);
  const count = Math.floor((65535 - head.length) / record.length);
  const bytes = new Uint8Array(head.length + count * record.length);
  bytes.set(head);
  for (let i = 0; i < count; i++) bytes.set(record, head.length + i * record.length);
  bytes.set([count >> 8, count & 255], 6);
  const began = performance.now();
  assert.equal(decode(bytes).answers.length, count);
  assert.ok(performance.now() - began < 10_000);
});

Deno.test("decode: counts that promise more, bytes behind the end, a second OPT and an OPT in the wrong section are refused", () => {
  const plain = encode(query(7, { name: "\x01a", type: 1, class: 1 }));
  const withOpt = encode(query(7, { name: "\x01a", type: 1, class: 1 }, { payload: 1232, version: 0, dnssecOk: true }));
  const changed = (bytes: Uint8Array, at: number, value: number, more: number[] = []) => {
    const copy = Uint8Array.from([...bytes, ...more]);
    copy[at] = value;
    return copy;
  };
  const opt = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
  for (
    const bytes of [
      changed(plain, 5, 255),
      changed(plain, 7, 1),
      changed(plain, 5, 1, [0]),
      changed(withOpt, 11, 2, opt),
      changed(plain, 7, 1, opt),
      plain.slice(0, 11),
    ]
  ) assert.throws(() => decode(bytes), FormatError);
});

Deno.test("decode: a time to live with its highest bit set is zero (RFC 2181)", () => {
  const record = { name: "\x01a", type: TYPE.A, class: CLASS_IN, ttl: 0xffffffff, data: [Uint8Array.of(1, 2, 3, 4)] };
  const message = { ...query(1, { name: "\x01a", type: 1, class: 1 }), answers: [record] };
  assert.equal(decode(encode(message)).answers[0]?.ttl, 0);
});

Deno.test("encode: owner names are pointers to the question", () => {
  const name = tryName("web.nyxd.local") ?? "";
  const message = query(1, { name, type: TYPE.A, class: CLASS_IN });
  const before = encode(message).length;
  message.answers = [{ name, type: TYPE.A, class: CLASS_IN, ttl: 30, data: [Uint8Array.of(10, 0, 0, 1)] }];
  assert.equal(encode(message).length - before, 2 + 10 + 4);
});

Deno.test("replyTo: the client's size counts between 512 and 1232 bytes", () => {
  const asked = (payload?: number) =>
    query(
      1,
      { name: "", type: 1, class: 1 },
      payload === undefined ? undefined : { payload, version: 0, dnssecOk: false },
    );
  const limit = (payload?: number) => replyTo(asked(payload), RCODE.NOERROR).udpLimit;
  assert.deepEqual([limit(), limit(0), limit(700), limit(65535)], [512, 512, 700, 1232]);
});
