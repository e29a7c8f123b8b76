import { strict as assert } from "node:assert";
import { NyxError } from "../spec/errors.ts";
import { KeyedLock, Semaphore, SharedWork } from "./flights.ts";

const turn = () => new Promise((r) => setTimeout(r, 0));

Deno.test("SharedWork: one run a key; late callers get the latest event of each kind; a failure reaches all", async () => {
  const work = new SharedWork<number, { kind: string; n: number }>((e) => e.kind);
  const gate = Promise.withResolvers<number>();
  let runs = 0;
  const early: number[] = [], late: number[] = [];
  const first = work.join("k", { onEvent: (e) => early.push(e.n) }, ({ emit }) => {
    runs++;
    emit({ kind: "a", n: 1 });
    emit({ kind: "b", n: 2 });
    emit({ kind: "a", n: 3 });
    return gate.promise;
  });
  await turn();
  const second = work.join("k", { onEvent: (e) => late.push(e.n) }, () => Promise.reject(new Error("never")));
  gate.reject(new NyxError("data_loss", "bad"));
  for (const p of [first, second]) await assert.rejects(p, (e) => e instanceof NyxError && e.code === "data_loss");
  assert.equal(runs, 1);
  assert.deepEqual(early, [1, 2, 3]);
  assert.deepEqual(late, [2, 3]);
  await turn();
  assert.deepEqual(work.keys, []);
});

Deno.test("SharedWork: a caller who comes while a cancelled run winds up starts a new one", async () => {
  const work = new SharedWork<string>();
  const winding = Promise.withResolvers<void>();
  const controller = new AbortController();
  const first = work.join("k", { signal: controller.signal }, async ({ signal }) => {
    await new Promise((r) => signal.addEventListener("abort", r));
    await winding.promise;
    throw signal.reason;
  });
  await turn();
  controller.abort();
  const second = work.join("k", {}, () => Promise.resolve("new"));
  await turn();
  winding.resolve();
  await assert.rejects(first, (e) => e instanceof NyxError && e.code === "canceled");
  assert.equal(await second, "new");
});

Deno.test("KeyedLock runs one at a time for a key, in order, also after a failure", async () => {
  const lock = new KeyedLock();
  const order: number[] = [];
  const job = (n: number) =>
    lock.run("k", async () => {
      order.push(n);
      await turn();
      order.push(-n);
      if (n === 1) throw new Error("one");
    }).catch(() => {});
  await Promise.all([job(1), job(2), job(3)]);
  assert.deepEqual(order, [1, -1, 2, -2, 3, -3]);
  assert.equal(lock.isHeld("k"), false);
});

Deno.test("Semaphore bounds what runs and lets a caller leave the queue", async () => {
  const semaphore = new Semaphore(2);
  let running = 0, most = 0;
  const never = new AbortController().signal;
  const job = () =>
    semaphore.run(never, async () => {
      most = Math.max(most, ++running);
      await turn();
      running--;
    });
  const leaving = new AbortController();
  const jobs = [job(), job(), job()];
  const left = semaphore.run(leaving.signal, () => Promise.resolve());
  leaving.abort(new Error("left"));
  await assert.rejects(left, /left/);
  await Promise.all([...jobs, job()]);
  assert.equal(most, 2);
});
