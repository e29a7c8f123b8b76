import assert from "node:assert/strict";
import { judgeRuleset } from "./diagnose.ts";
import { addCommands, deleteCommands } from "../../ffi/nftables/nft.ts";
import { allElements, type PublishedPort, tableName } from "./ruleset.ts";

const TARGET = { ip: "10.88.0.5", ip6: "fd00::5" };

function port(change: Partial<PublishedPort>): PublishedPort {
  return { hostIp: "0.0.0.0", hostPort: 80, containerPort: 80, count: 1, protocol: "tcp", ...change };
}

Deno.test("allElements: one element a port, one interval a range, element by element when the numbers differ", () => {
  const elements = allElements([
    port({}),
    port({ hostIp: "127.0.0.1", hostPort: 81 }),
    port({ hostIp: "::", hostPort: 82 }),
    port({ hostIp: "fd77::1", hostPort: 83, protocol: "sctp" }),
    port({ hostPort: 7000, containerPort: 7000, count: 1000, protocol: "udp" }),
    port({ hostIp: "192.0.2.1", hostPort: 7000, containerPort: 7000, count: 2 }),
    port({ hostPort: 9000, containerPort: 1000, count: 2 }),
  ], TARGET);
  assert.deepEqual(Object.fromEntries(elements), {
    any4: [["tcp . 80", "10.88.0.5 . 80"], ["tcp . 9000", "10.88.0.5 . 1000"], ["tcp . 9001", "10.88.0.5 . 1001"]],
    addr4: [["127.0.0.1 . tcp . 81", "10.88.0.5 . 80"]],
    any6: [["tcp . 82", "fd00::5 . 80"]],
    addr6: [["fd77::1 . sctp . 83", "fd00::5 . 80"]],
    range4: [["0.0.0.0/0 . udp . 7000-7999", "10.88.0.5"], ["192.0.2.1 . tcp . 7000-7001", "10.88.0.5"]],
  });
  assert.deepEqual([...allElements([port({ hostIp: "::" })], { ip: "10.88.0.5" })], []);
});

Deno.test("addCommands and deleteCommands name the same elements", () => {
  const elements = allElements([port({}), port({ hostPort: 81 })], TARGET);
  assert.equal(
    addCommands("t", elements),
    "add element inet t any4 { tcp . 80 : 10.88.0.5 . 80, tcp . 81 : 10.88.0.5 . 80 }",
  );
  assert.equal(deleteCommands("t", elements), "delete element inet t any4 { tcp . 80, tcp . 81 }");
  assert.equal(tableName("nyxbr0"), "nyx_nyxbr0");
});

Deno.test("judgeRuleset: own chains, other hooks and chains that let the bridge through are no obstacle", () => {
  const chain = (table: string, name: string, hook: string, policy: string) => ({
    chain: { family: "inet", table, name, hook, policy },
  });
  const rule = (expr: unknown[], name = "c") => ({ rule: { family: "inet", table: "x", chain: name, expr } });
  const match = (key: string, right: unknown) => ({ match: { op: "==", left: { meta: { key } }, right } });
  const judge = (...objects: Record<string, unknown>[]) =>
    judgeRuleset(objects, { own: "nyx_br0", bridge: "br0" }).length;
  const drop = chain("x", "c", "forward", "drop");
  assert.equal(judge(drop), 1);
  assert.equal(judge(chain("nyx_br0", "forward", "forward", "drop")), 0);
  assert.equal(judge(chain("x", "c", "output", "drop")), 0);
  assert.equal(judge(chain("x", "c", "forward", "accept"), rule([{ counter: {} }, { reject: {} }])), 1);
  assert.equal(judge(chain("x", "c", "forward", "accept"), rule([match("iifname", "eth9"), { drop: null }])), 0);
  const inward = rule([match("iifname", "br0"), { counter: {} }, { accept: null }]);
  const outward = rule([match("oifname", "br0"), { accept: null }], "sub");
  assert.equal(judge(drop, inward), 1, "one direction is not enough");
  assert.equal(judge(drop, inward, outward), 1, "a chain that nothing jumps to does not count");
  assert.equal(judge(drop, inward, rule([{ jump: { target: "sub" } }]), outward), 0);
  assert.equal(judge(drop, rule([match("iifname", "br0"), match("oifname", "br1"), { accept: null }]), outward), 1);
});
