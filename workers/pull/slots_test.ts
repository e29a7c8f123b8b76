import { strict as assert } from "node:assert";
import { Slots } from "./slots.ts";

Deno.test("Slots: no more holders than slots, first come first served, a slot given back twice counts once", async () => {
  const slots = new Slots(2);
  const { signal } = new AbortController();
  const first = await slots.acquire(signal);
  const second = await slots.acquire(signal);
  const order: number[] = [];
  const third = slots.acquire(signal).then((s) => (order.push(3), s));
  const fourth = slots.acquire(signal).then((s) => (order.push(4), s));
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  (await third)[Symbol.dispose]();
  await fourth;
  assert.deepEqual(order, [3, 4]);
  second[Symbol.dispose]();
});

Deno.test("Slots: one who gives up waiting loses nobody's turn", async () => {
  const slots = new Slots(1);
  const controller = new AbortController();
  const { signal } = new AbortController();
  const held = await slots.acquire(signal);
  const gone = slots.acquire(controller.signal);
  const next = slots.acquire(signal);
  controller.abort(new Error("gone"));
  await assert.rejects(gone, /gone/);
  held[Symbol.dispose]();
  await next;
  await assert.rejects(slots.acquire(controller.signal), /gone/);
});
