import assert from "node:assert/strict";
import { type Bootable, bootOrder } from "./boot_order.ts";

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
