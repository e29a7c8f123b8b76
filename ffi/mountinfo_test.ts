import assert from "node:assert/strict";
import { isAtOrBelow, mountsBelow, parseMountInfo, unescapeField } from "./mountinfo.ts";

const TEXT = [
  "22 27 0:21 / /proc rw,relatime - proc proc rw",
  "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue",
  "40 27 0:40 / /base/o\\040p/merged rw - overlay overlay rw,lowerdir=/a:/b,upperdir=/u",
  "41 27 0:41 / /base rw - tmpfs t rw",
  "42 41 0:42 / /base rw - tmpfs over rw",
  "",
  "broken line",
  "1 2 0:1 / /x rw -",
].join("\n");

Deno.test("parseMountInfo: fields, optional fields and escapes; malformed lines are passed over", () => {
  const mounts = parseMountInfo(TEXT);
  assert.deepEqual(mounts.map((m) => m.mountPoint), ["/proc", "/mnt2", "/base/o p/merged", "/base", "/base"]);
  assert.deepEqual(mounts[1], {
    id: 36,
    parentId: 35,
    device: "98:0",
    root: "/mnt1",
    mountPoint: "/mnt2",
    options: ["rw", "noatime"],
    optional: ["master:1", "shared:7"],
    type: "ext3",
    source: "/dev/root",
    superOptions: "rw,errors=continue",
  });
  assert.equal(unescapeField("a\\011b\\012c\\134d"), "a\tb\nc\\d");
});

Deno.test("mountsBelow: deepest first, stacked mounts each, neighbours with the same start left out", () => {
  const mounts = parseMountInfo(`${TEXT}\n50 27 0:50 / /basement rw - tmpfs t rw`);
  assert.deepEqual(mountsBelow(mounts, "/base"), ["/base/o p/merged", "/base", "/base"]);
  assert.ok(isAtOrBelow("/a", "/"));
  assert.ok(!isAtOrBelow("/ab", "/a"));
});

Deno.test("parseMountInfo: this machine's table has /proc", () => {
  assert.ok(parseMountInfo(Deno.readTextFileSync("/proc/self/mountinfo")).some((m) => m.mountPoint === "/proc"));
});
