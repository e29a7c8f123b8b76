import assert from "node:assert/strict";
import { parseGroup, parsePasswd, resolveUser } from "./user.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const PASSWD = bytes(
  "root:x:0:0:root:/root:/bin/sh\njoe:x:1000:1001:Joe:/home/joe:/bin/sh\n# note\n\nbad\n7:x:77:77::/seven:\nx:x:-1:0::/:\nbig:x:4294967295:0::/:\n",
);
const GROUP = bytes("root:x:0:\nusers:x:100:joe,ann\njoe:x:1001:\nwheel:x:10:joe\n55:x:555:\n");

const user = (spec: string, groupAdd: string[] = []) => resolveUser(spec, PASSWD, GROUP, groupAdd);

Deno.test("resolveUser: empty is root with root's home", () => {
  assert.deepEqual(user(""), { uid: 0, gid: 0, additionalGids: [0], home: "/root" });
});

Deno.test("resolveUser: a name brings its group, memberships and home", () => {
  assert.deepEqual(user("joe"), { uid: 1000, gid: 1001, additionalGids: [1001, 100, 10], home: "/home/joe" });
});

Deno.test("resolveUser: a known number is as good as its name; an unknown one has group 0 and home /", () => {
  assert.deepEqual(user("1000"), user("joe"));
  assert.deepEqual(user("4242"), { uid: 4242, gid: 0, additionalGids: [0], home: "/" });
});

Deno.test("resolveUser: a named group leaves memberships out", () => {
  assert.deepEqual(user("joe:wheel"), { uid: 1000, gid: 10, additionalGids: [10], home: "/home/joe" });
  assert.deepEqual(user("5:6").additionalGids, [6]);
  assert.equal(user(":wheel").gid, 10);
});

Deno.test("resolveUser: a name made of digits wins over the number", () => {
  assert.equal(user("7").uid, 77);
  assert.equal(user("joe:55").gid, 555);
});

Deno.test("resolveUser: added groups follow, each once", () => {
  assert.deepEqual(user("joe", ["wheel", "2000"]).additionalGids, [1001, 100, 10, 2000]);
});

Deno.test("resolveUser: unknown names and ids out of range say what and how to fix", () => {
  assert.throws(() => user("bob"), /user "bob".*\/etc\/passwd.*numeric uid/);
  assert.throws(() => user("joe:nobody"), /group "nobody"/);
  assert.throws(() => user("root", ["none"]), /group "none"/);
  assert.throws(() => user("2147483648"), /0 to 2147483647/);
  assert.throws(() => user("1:4294967295"), /0 to 2147483647/);
  assert.throws(() => resolveUser("joe", undefined, undefined), /user "joe"/);
});

Deno.test("parsePasswd, parseGroup: malformed lines of a hostile image are passed over", () => {
  assert.deepEqual(parsePasswd(PASSWD).map((e) => e.name), ["root", "joe", "7"]);
  assert.deepEqual(parseGroup(bytes(":::\nx:y\na:x:9:\n\0\n")).map((g) => g.gid), [9]);
  assert.deepEqual(parsePasswd(new Uint8Array([0xff, 0xfe, 0x0a])), []);
});
