import assert from "node:assert/strict";
import { parseNumber } from "./header.ts";
import { mergeGlobal, parsePax, paxTime, paxXattrs } from "./pax.ts";

const bytes = (s: string) => new TextEncoder().encode(s);

Deno.test("parsePax: records with newlines and = in values, repeated sparse numbers, bytes that are not UTF-8", () => {
  const { records, sparsePairs } = parsePax(bytes("8 a=b=c\n7 d=\n\n\n25 GNU.sparse.offset=100\n"), 0);
  assert.deepEqual([...records], [["a", "b=c"], ["d", "\n\n"]]);
  assert.deepEqual(sparsePairs, ["100"]);
  assert.equal(parsePax(new Uint8Array([...bytes("9 path="), 0xff, 0x0a]), 0).records.get("path"), "\xff");
});

Deno.test("parsePax: lengths that are wrong, too long, zero, negative or missing are data_loss", () => {
  for (
    const bad of [
      "7 a=b\n",
      "5 a=b\n",
      "99999999999999 a=b\n",
      "0 a=b\n",
      "-6 a=b\n",
      " 6 a=b\n",
      "6 a=bc",
      "5 =b\n",
      "4 a\n",
      "x",
    ]
  ) {
    assert.throws(() => parsePax(bytes(bad), 0), { code: "data_loss" }, bad);
  }
});

Deno.test("paxTime: fractions are cut at nanoseconds, negative times are rounded down", () => {
  assert.deepEqual(paxTime("mtime", "12.5", 0), { sec: 12, nsec: 500_000_000 });
  assert.deepEqual(paxTime("mtime", "1.1234567899", 0), { sec: 1, nsec: 123_456_789 });
  assert.deepEqual(paxTime("mtime", "-1.25", 0), { sec: -2, nsec: 750_000_000 });
  assert.deepEqual(paxTime("mtime", "-3", 0), { sec: -3, nsec: 0 });
  for (const bad of ["", "1e5", "+1", ".5", "1.5.5", "0x1", "9".repeat(20)]) {
    assert.throws(() => paxTime("mtime", bad, 0), { code: "data_loss" }, bad);
  }
});

Deno.test("mergeGlobal: keys that name one file are left out, an empty value takes back", () => {
  const inForce = new Map([["uid", "1"]]);
  mergeGlobal(inForce, new Map([["path", "x"], ["size", "1"], ["GNU.sparse.map", "0,1"], ["gid", "2"], ["uid", ""]]));
  assert.deepEqual([...inForce], [["gid", "2"]]);
});

Deno.test("paxXattrs: SCHILY over LIBARCHIVE; bad encoding is data_loss", () => {
  const of = (...r: [string, string][]) => paxXattrs(new Map(r), 0).map(([n, v]) => [n, new TextDecoder().decode(v)]);
  assert.deepEqual(of(["LIBARCHIVE.xattr.user.a", btoa("l")], ["SCHILY.xattr.user.a", "s"]), [["user.a", "s"]]);
  assert.deepEqual(of(["LIBARCHIVE.xattr.user.%C3%A4", btoa("l")]), [["user.ä", "l"]]);
  assert.throws(() => of(["LIBARCHIVE.xattr.user.a", "%%%"]), { code: "data_loss" });
});

Deno.test("parseNumber: octal with blanks and NULs, base-256 both signs; rubbish is data_loss", () => {
  const of = (...b: number[]) => parseNumber(new Uint8Array(b), 0, b.length, "size", 0);
  const text = (s: string) => of(...bytes(s));
  assert.equal(text("0000644\0"), 0o644);
  assert.equal(text("  644 \0\0"), 0o644);
  assert.equal(text("\0\0\0\0\0\0\0\0"), 0);
  assert.equal(text("77777777777\0"), 0o77777777777);
  assert.equal(of(0x80, 0, 0, 0, 0, 0, 1, 0), 256);
  assert.equal(of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe), -2);
  for (const bad of ["8", "-1", "0x10", "1 2 3"]) assert.throws(() => text(bad), { code: "data_loss" }, bad);
  assert.throws(() => of(0x80, 255, 255, 255, 255, 255, 255, 255, 255), { code: "data_loss" });
});
