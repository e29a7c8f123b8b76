import assert from "node:assert/strict";
import { formatTimeNs, MAX_LINE, RECORD_ROOM, RecordEncoder, type StreamKind } from "./record.ts";
import { parseRecord, RecordDecoder, type RecordFilter } from "./log_read.ts";

const ALL: RecordFilter = { stdout: true, stderr: true, since: undefined, until: undefined, grep: undefined };
const ID = "0123456789abcdef".repeat(4);
const TIME = "2026-01-02T03:04:05.000000006Z";
const text = new TextEncoder();
const show = new TextDecoder();

/** Encodes as the worker does: what is unfinished stays and comes again, with a flush at the end. */
function encodeAll(parts: { kind: StreamKind; bytes: Uint8Array }[], room = RECORD_ROOM * 3): Uint8Array {
  const encoder = new RecordEncoder(ID, new Uint8Array(room));
  const out: Uint8Array[] = [];
  const rest: Record<StreamKind, Uint8Array> = { 1: new Uint8Array(0), 2: new Uint8Array(0) };
  const feed = (kind: StreamKind, bytes: Uint8Array, flush: boolean) => {
    let at = 0;
    while (at < bytes.length) {
      const end = encoder.encode(bytes, at, bytes.length, kind, TIME, { flush });
      if (encoder.length === 0) break;
      out.push(encoder.out.slice(0, encoder.length));
      at = end;
    }
    rest[kind] = bytes.slice(at);
  };
  for (const { kind, bytes } of parts) {
    const joined = new Uint8Array(rest[kind].length + bytes.length);
    joined.set(rest[kind]);
    joined.set(bytes, rest[kind].length);
    feed(kind, joined, false);
  }
  for (const kind of [1, 2] as const) feed(kind, rest[kind], true);
  return join(out);
}

function join(parts: Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

/** Decodes to text in blocks of a given size. */
function decodeText(log: Uint8Array, filter = ALL, block = 1 << 20): { bytes: Uint8Array; decoder: RecordDecoder } {
  const decoder = new RecordDecoder(ID, filter, { format: "text", timestamps: false });
  const out: Uint8Array[] = [];
  let start = 0;
  for (let end = Math.min(block, log.length); start < log.length; end = Math.min(end + block, log.length)) {
    let next = decoder.decode(log, start, end);
    while (decoder.full) {
      out.push(decoder.take());
      start = next;
      next = decoder.decode(log, start, end);
    }
    start = next;
    if (end === log.length) break;
  }
  out.push(decoder.take());
  return { bytes: join(out), decoder };
}

Deno.test("RecordEncoder: the record is the documented JSON, with time, container, stream and line", () => {
  const log = show.decode(encodeAll([{ kind: 2, bytes: text.encode('a "quoted"\\ tab\t é 😀 \x01\x7f\n') }]));
  assert.deepEqual(JSON.parse(log), {
    time: TIME,
    container_id: ID,
    stream: "stderr",
    log: 'a "quoted"\\ tab\t é 😀 \x01\x7f',
  });
});

Deno.test("RecordEncoder: any bytes cut anywhere come back exactly (property)", () => {
  let seed = 42;
  const random = (n: number) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % n;
  const alphabets = [
    () => 0x20 + random(95),
    () => random(256),
    () => [0x0a, 0x22, 0x5c, 0x0d, 0x09, 0x00, 0x41][random(7)] ?? 0,
    () => text.encode("aé€😀\n")[random(11)] ?? 0,
  ];
  for (let round = 0; round < 60; round++) {
    const alphabet = alphabets[round % alphabets.length] ?? (() => 0);
    const bytes = Uint8Array.from({ length: random(60_000) }, alphabet);
    const parts: { kind: StreamKind; bytes: Uint8Array }[] = [];
    for (let at = 0; at < bytes.length;) {
      const n = 1 + random(20_000);
      parts.push({ kind: 1, bytes: bytes.slice(at, at + n) });
      at += n;
    }
    const log = encodeAll(parts);
    for (const line of show.decode(log).trimEnd().split("\n")) if (line !== "") JSON.parse(line);
    const { bytes: back, decoder } = decodeText(log, ALL, 10_000 + random(100_000));
    assert.equal(decoder.corrupt, 0);
    assert.deepEqual(back, bytes, `round ${round}`);
  }
});

Deno.test("RecordEncoder: lines of MAX_LINE fit one record, longer ones are partial records cut between characters", () => {
  const exact = text.encode("x".repeat(MAX_LINE) + "\n");
  assert.equal(show.decode(encodeAll([{ kind: 1, bytes: exact }])).includes("partial"), false);
  const long = text.encode("€".repeat(30_000) + "\n");
  const log = encodeAll([{ kind: 1, bytes: long }]);
  const records = show.decode(log).trimEnd().split("\n").map((l) => JSON.parse(l));
  assert.equal(records.length, 6);
  assert.ok(records.every((r) => r.b64 === undefined && text.encode(r.log).length <= MAX_LINE));
  assert.deepEqual(records.map((r) => r.partial === true), [true, true, true, true, true, false]);
  assert.deepEqual(decodeText(log).bytes, long);
  assert.equal(decodeText(log).decoder.lines, 1);
});

Deno.test("RecordEncoder: an unfinished line waits, and is partial when flushed", () => {
  const encoder = new RecordEncoder(ID, new Uint8Array(RECORD_ROOM * 2));
  const bytes = text.encode("whole\nprompt> ");
  assert.equal(encoder.encode(bytes, 0, bytes.length, 1, TIME, { flush: false }), 6);
  assert.equal(encoder.records, 1);
  assert.equal(encoder.encode(bytes, 6, bytes.length, 1, TIME, { flush: true }), bytes.length);
  assert.match(show.decode(encoder.out.subarray(0, encoder.length)), /"log":"prompt> ","partial":true\}\n$/);
});

Deno.test("RecordEncoder: bytes that are not UTF-8 have their base64 beside an approximation", () => {
  const log = show.decode(encodeAll([{ kind: 1, bytes: Uint8Array.of(0x61, 0xff, 0xc3, 0x0a) }]));
  const record = JSON.parse(log);
  assert.equal(record.log, "a\ufffd\ufffd");
  assert.equal(record.b64, "Yf/D");
});

Deno.test("RecordDecoder: a torn or foreign line is counted and skipped, its neighbours are not", () => {
  const good = show.decode(encodeAll([{ kind: 1, bytes: text.encode("one\ntwo\n") }]));
  const torn = `${good.slice(0, good.indexOf("\n") - 1)}\n${good}{"time":1}\nnot json\n${
    good.split("\n")[0]?.slice(0, -2)
  }\n`;
  const { bytes, decoder } = decodeText(text.encode(torn));
  assert.equal(show.decode(bytes), "one\ntwo\n");
  assert.equal(decoder.corrupt, 4);
});

Deno.test("RecordDecoder: filters by stream, time and text; grep sees lines that were split", () => {
  const log = encodeAll([
    { kind: 1, bytes: text.encode("out\n") },
    { kind: 2, bytes: text.encode("err\n") },
    { kind: 1, bytes: text.encode("x".repeat(MAX_LINE - 3) + "needle\n") },
  ]);
  const lines = (f: Partial<RecordFilter>) => show.decode(decodeText(log, { ...ALL, ...f }).bytes);
  assert.equal(lines({ stdout: false }), "err\n");
  assert.equal(lines({ grep: "needle" }).length, MAX_LINE + 4);
  assert.equal(lines({ since: "2026-01-02T03:04:05.000000007Z" }), "");
  assert.equal(lines({ until: "2026-01-02T03:04:05.000000005Z" }), "");
  assert.equal(lines({ since: TIME, until: TIME, grep: "err" }), "err\n");
});

Deno.test("RecordDecoder frames: streams become frames of their kind", () => {
  const log = encodeAll([
    { kind: 1, bytes: text.encode("a\nb\n") },
    { kind: 2, bytes: text.encode("c\t\n") },
    { kind: 1, bytes: Uint8Array.of(0xff, 0x0a) },
  ]);
  const decoder = new RecordDecoder(ID, ALL, { format: "frames", timestamps: false });
  decoder.decode(log, 0, log.length);
  const expected = [1, 0, 0, 0, 0, 0, 0, 4, 0x61, 10, 0x62, 10, 2, 0, 0, 0, 0, 0, 0, 3, 0x63, 9, 10];
  assert.deepEqual([...decoder.take()], [...expected, 1, 0, 0, 0, 0, 0, 0, 2, 0xff, 10]);
});

Deno.test("RecordDecoder timestamps: once a line, also when it was split", () => {
  const log = encodeAll([{ kind: 1, bytes: text.encode("y".repeat(MAX_LINE + 5) + "\nz\n") }]);
  const decoder = new RecordDecoder(ID, ALL, { format: "text", timestamps: true });
  decoder.decode(log, 0, log.length);
  assert.equal(show.decode(decoder.take()), `${TIME} ${"y".repeat(MAX_LINE + 5)}\n${TIME} z\n`);
});

Deno.test("parseRecord: reads other writers' records, refuses what is none", () => {
  assert.equal(parseRecord(text.encode("[]")), undefined);
  assert.equal(parseRecord(text.encode('{"time":"t","stream":"stdin","log":"x"}')), undefined);
  const record = parseRecord(text.encode('{"stream":"stderr","log":"x\\u00e9","time":"t"}'));
  assert.deepEqual(record, { kind: 2, time: "t", bytes: text.encode("xé"), partial: false });
});

Deno.test("formatTimeNs: 30 characters with nanoseconds", () => {
  assert.equal(formatTimeNs(1_767_323_045_000_000_006n), TIME);
});
