import assert from "node:assert/strict";
import { HostResolvers, resolversIn } from "./host_resolvers.ts";

Deno.test("resolversIn: at most three addresses; comments, names and link-local zones are left out", () => {
  const text = "# nameserver 1.1.1.1\nnameserver 127.0.0.53\n  nameserver\t::1 # x\nnameserver dns.example\n" +
    "nameserver fe80::1%eth0\nnameserver 9.9.9.9\nnameserver 8.8.8.8\nsearch a\n";
  assert.deepEqual(resolversIn(text), ["127.0.0.53", "::1", "9.9.9.9"]);
});

Deno.test("HostResolvers: a change is seen within a second, a file that is missing for a moment changes nothing", () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-dns-" });
  const path = `${dir}/resolv.conf`;
  let now = 0;
  const changes: string[][] = [];
  let unreadable = 0;
  const listeners = { onChange: (list: string[]) => changes.push(list), onUnreadable: () => unreadable++ };
  const resolvers = new HostResolvers(path, listeners, () => now);
  try {
    assert.deepEqual(resolvers.current, []);
    now += 1001;
    Deno.writeTextFileSync(`${dir}/a`, "nameserver 9.9.9.9\n");
    Deno.symlinkSync("a", path);
    assert.deepEqual(resolvers.current, ["9.9.9.9"]);
    Deno.writeTextFileSync(`${dir}/b`, "nameserver 8.8.8.8\n");
    Deno.removeSync(path);
    now += 1001;
    assert.deepEqual(resolvers.current, ["9.9.9.9"]);
    Deno.symlinkSync("b", path);
    now += 500;
    assert.deepEqual(resolvers.current, ["9.9.9.9"]);
    now += 501;
    assert.deepEqual(resolvers.current, ["8.8.8.8"]);
    assert.deepEqual(changes, [["8.8.8.8"]]);
    Deno.removeSync(path);
    assert.equal(unreadable, 0);
    for (let i = 0; i < 4; i++) {
      now += 1001;
      assert.deepEqual(resolvers.current, ["8.8.8.8"]);
    }
    assert.equal(unreadable, 1);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
