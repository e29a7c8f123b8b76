import assert from "node:assert/strict";
import { isIP } from "node:net";
import {
  cidrBounds,
  cidrOverlaps,
  formatCidr,
  formatIp,
  formatMac,
  ipToNumber,
  numberToIp,
  tryParseCidr,
  tryParseIp,
  tryParseMac,
} from "./ip_address.ts";

Deno.test("formatIp(tryParseIp) writes the canonical text of RFC 5952", () => {
  const cases: [string, string][] = [
    ["10.88.0.1", "10.88.0.1"],
    ["::", "::"],
    ["::1", "::1"],
    ["fd00::", "fd00::"],
    ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
    ["::ffff:10.0.0.1", "::ffff:a00:1"],
  ];
  for (const [text, canonical] of cases) {
    const bytes = tryParseIp(text);
    assert.ok(bytes, text);
    assert.equal(formatIp(bytes), canonical);
  }
});

Deno.test("tryParseIp accepts exactly what the runtime's parser accepts, without zones", () => {
  const pieces = ["", "0", "1", "01", "255", "256", "ffff", "10000", ":", "::", ".", "10.0.0.1", "g", " "];
  let seed = 7;
  const next = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff);
  for (let i = 0; i < 20000; i++) {
    const text = Array.from({ length: next() % 16 }, () => pieces[next() % pieces.length]).join(
      ["", ":", "."][next() % 3],
    );
    assert.equal(tryParseIp(text)?.length ?? 0, { 0: 0, 4: 4, 6: 16 }[isIP(text)], text);
  }
});

Deno.test("tryParseCidr bounds a block and refuses what is none", () => {
  const block = tryParseCidr("10.88.5.9/16");
  assert.ok(block);
  assert.equal(formatCidr(block), "10.88.0.0/16");
  const { first, last } = cidrBounds(block);
  assert.equal(formatIp(numberToIp(first, 4)), "10.88.0.0");
  assert.equal(formatIp(numberToIp(last, 4)), "10.88.255.255");
  for (
    const bad of [
      "10.88.0.0",
      "10.88.0.0/33",
      "10.88.0.0/-1",
      "10.88.0.0/08",
      "10.88.0/16",
      "/8",
      "::/129",
      "10.0.0.0/8 ",
    ]
  ) {
    assert.equal(tryParseCidr(bad), undefined, bad);
  }
  const any = tryParseCidr("0.0.0.0/0");
  const six = tryParseCidr("fd00::/8");
  assert.ok(any && six);
  assert.equal(cidrOverlaps(any, block), true);
  assert.equal(cidrOverlaps(six, block), false);
  assert.equal(ipToNumber(six.address) >> 120n, 0xfdn);
});

Deno.test("tryParseMac reads both separators", () => {
  const mac = tryParseMac("02-6E-0a:58:00:05");
  assert.ok(mac);
  assert.equal(formatMac(mac), "02:6e:0a:58:00:05");
  assert.equal(tryParseMac("02:6e:0a:58:00"), undefined);
});
