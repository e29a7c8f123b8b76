import assert from "node:assert/strict";
import { type Bootable, bootOrder, stopsAfter } from "./boot_order.ts";

const item = (id: string, created: string, spec: Bootable["spec"] = {}): Bootable => ({ id, created, spec });
const order = (...items: Bootable[]) => bootOrder(items, (i) => i).map((i) => i.id).join("");

Deno.test("bootOrder: oldest first, who joins after whom it joins, also through others; a circle does not hang", () => {
  assert.equal(order(item("b", "2"), item("a", "1"), item("c", "3")), "abc");
  assert.equal(order(item("a", "1", { networkMode: "container:c" }), item("b", "2"), item("c", "3")), "cab");
  const chain = [
    item("a", "1", { pidMode: "container:b" }),
    item("b", "2", { ipcMode: "container:c" }),
    item("c", "3"),
  ];
  assert.equal(order(...chain), "cba");
  assert.equal(order(item("a", "1", { networkMode: "container:x" })), "a");
  const circle = [item("a", "1", { utsMode: "container:b" }), item("b", "2", { utsMode: "container:a" })];
  assert.equal(order(...circle), "ba");
});

const service = (name: string, created: string, dependsOn = "", project = "p"): Bootable =>
  item(name, created, {
    labels: {
      "com.docker.compose.project": project,
      "com.docker.compose.service": name,
      "com.docker.compose.depends_on": dependsOn,
    },
  });
const before = (...items: Bootable[]) =>
  Object.fromEntries([...stopsAfter(items, (i) => i)].map(([i, others]) => [i.id, others.map((o) => o.id).join("")]));

Deno.test("stopsAfter: who joins, or depends on, others is stopped before them; projects do not mix; a circle does not hang", () => {
  assert.deepEqual(before(item("a", "1"), item("b", "2", { networkMode: "container:a" })), { a: "b", b: "" });
  const app = [
    service("d", "1"),
    service("a", "2", "d:service_healthy:false"),
    service("w", "3", "a:service_started:false,d:service_started:true"),
  ];
  assert.deepEqual(before(...app), { d: "aw", a: "w", w: "" });
  assert.deepEqual(before(service("d", "1", "", "other"), service("a", "2", "d:service_started:false")), {
    a: "",
    d: "",
  });
  const circle = [service("a", "1", "b:service_started:false"), service("b", "2", "a:service_started:false")];
  assert.deepEqual(before(...circle), { a: "", b: "a" });
});
