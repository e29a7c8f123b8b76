import assert from "node:assert/strict";
import { FormatError, isWithin, labelsOf, lower, nameText, readName, reverseName, tryName } from "./name.ts";

function wire(...labels: string[]): number[] {
  return [...labels.flatMap((l) => [l.length, ...[...l].map((c) => c.charCodeAt(0))]), 0];
}

Deno.test("readName: follows pointers backwards and says where the record goes on", () => {
  const bytes = Uint8Array.from([...wire("example", "com"), ...wire("www").slice(0, -1), 0xc0, 0, 7]);
  assert.deepEqual(readName(bytes, 13), { name: "\x03www\x07example\x03com", next: 19 });
  assert.deepEqual(readName(Uint8Array.of(0), 0), { name: "", next: 1 });
});

Deno.test("readName: an attacker's loop, forward pointer, cut, reserved label or overlong name is refused", () => {
  const hostile: Record<string, [number[], number]> = {
    "pointer to itself": [[0xc0, 0], 0],
    "two pointers in a circle": [[0xc0, 2, 0xc0, 0], 2],
    "label, then pointer to that label": [[1, 97, 0xc0, 0], 0],
    "pointer forward": [[0xc0, 2, 0], 0],
    "pointer beyond the end": [[0, 0xff, 0xff], 1],
    "half a pointer": [[0, 0xc0], 1],
    "label beyond the end": [[5, 97, 98], 0],
    "no terminating zero": [[1, 97], 0],
    "reserved label type 01": [[0x41, 0, 0], 0],
    "reserved label type 10": [[0x80, 0, 0], 0],
    "256 bytes": [wire(...Array<string>(4).fill("a".repeat(63))), 0],
    "nothing": [[], 0],
  };
  for (const [what, [bytes, at]] of Object.entries(hostile)) {
    assert.throws(() => readName(Uint8Array.from(bytes), at), FormatError, what);
  }
});

Deno.test("readName: 255 bytes, the longest name there is, are read", () => {
  const labels = [...Array<string>(3).fill("a".repeat(63)), "b".repeat(61)];
  assert.equal(labelsOf(readName(Uint8Array.from(wire(...labels)), 0).name).length, 4);
});

Deno.test("readName: names that point at each other a thousand times take no time", () => {
  const bytes: number[] = [0];
  for (let i = 0; i < 8000; i++) {
    bytes.push(0xc0 | (Math.max(0, bytes.length - 2) >> 8), Math.max(0, bytes.length - 2) & 255);
  }
  const began = performance.now();
  for (let at = 1; at < bytes.length - 1; at += 80) readName(Uint8Array.from(bytes), at);
  assert.ok(performance.now() - began < 10_000);
});

Deno.test("tryName and nameText: host names round trip, what is none is refused, odd bytes are escaped", () => {
  assert.equal(nameText(tryName("Web_1.nyxd.local.") ?? "?"), "Web_1.nyxd.local.");
  assert.equal(tryName("."), "");
  for (const bad of ["a..b", ".a", "a b", "a".repeat(64), "\u00e4", `${"abcdefg.".repeat(32)}a`]) {
    assert.equal(tryName(bad), undefined, bad);
  }
  assert.equal(nameText("\x03a.\\\x01\xff"), "a\\046\\092.\\255.");
});

Deno.test("lower and isWithin: only ASCII letters fold, and a suffix counts at a label's edge alone", () => {
  assert.equal(lower("\x03WwW\x01\xc4"), "\x03www\x01\xc4");
  const zone = tryName("nyxd.local") ?? "";
  assert.ok(isWithin(tryName("a.b.nyxd.local") ?? "", zone));
  assert.ok(isWithin(zone, zone));
  assert.ok(!isWithin(tryName("local") ?? "", zone));
  // The label "x\x04nyxd" ends like the zone begins.
  assert.ok(!isWithin("\x06x\x04nyxd\x05local", zone));
});

Deno.test("reverseName: RFC 1035 for four bytes, RFC 3596 for sixteen", () => {
  assert.equal(nameText(reverseName(Uint8Array.of(10, 88, 0, 2))), "2.0.88.10.in-addr.arpa.");
  const six = Uint8Array.from({ length: 16 }, (_, i) => (i === 0 ? 0xfd : i === 15 ? 0x2a : 0));
  assert.equal(nameText(reverseName(six)), `a.2.${"0.".repeat(28)}d.f.ip6.arpa.`);
});
