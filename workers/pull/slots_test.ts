import { strict as assert } from "node:assert";
import { Slots, SlotsByHost } from "./slots.ts";

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

Deno.test("SlotsByHost: a host that keeps all its slots takes none from another; hosts that nobody uses are forgotten", async () => {
  const slots = new SlotsByHost(1);
  const never = new AbortController();
  const first = await slots.acquire("slow", never.signal);
  const waiting = slots.acquire("slow", never.signal);
  (await slots.acquire("other", never.signal))[Symbol.dispose]();
  assert.equal(slots.hosts, 1);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  (await waiting)[Symbol.dispose]();
  const stop = AbortSignal.abort(new Error("gone"));
  await assert.rejects(slots.acquire("slow", stop), /gone/);
  assert.equal(slots.hosts, 0);
});
