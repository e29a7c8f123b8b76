import assert from "node:assert/strict";
import { linuxFile } from "../../ffi/linux/file.ts";
import { linuxPoll } from "../../ffi/linux/poll.ts";
import { EPOLL } from "../../ffi/poll.ts";
import { faultyKernel } from "../../tests/support/fake_kernel.ts";
import { PollLoop } from "./loop.ts";

Deno.test("PollLoop: ENOMEM, EINTR or EAGAIN of epoll is reported and ends nothing; what is ready is handled afterwards", async () => {
  for (const errno of ["ENOMEM", "EINTR", "EAGAIN"]) {
    const { kernel, struck } = faultyKernel(linuxPoll(), [{ call: "epollPoll", nth: 1, errno }, {
      call: "epollPoll",
      nth: 2,
      errno,
    }]);
    const reported: unknown[] = [];
    const loop = new PollLoop(kernel, linuxFile(), (e) => reported.push(e));
    const fd = kernel.eventfd(1);
    const handled = Promise.withResolvers<void>();
    loop.add(fd, EPOLL.IN, () => {
      kernel.eventfdTake(fd);
      handled.resolve();
    });
    const run = loop.run();
    await handled.promise;
    loop.stop();
    await run;
    linuxFile().close(fd);
    assert.equal(struck.length, 2, errno);
    assert.deepEqual(reported.map((e) => (e as { code: string }).code), [errno, errno]);
  }
});

Deno.test("PollLoop: a handler that throws harms no other, and is called again", async () => {
  const poll = linuxPoll();
  const reported: unknown[] = [];
  const loop = new PollLoop(poll, linuxFile(), (e) => reported.push(e));
  const [bad, good] = [poll.eventfd(1), poll.eventfd(1)];
  let calls = 0;
  const done = Promise.withResolvers<void>();
  loop.add(bad, EPOLL.IN, () => {
    if (++calls < 3) throw new Error("bad");
    poll.eventfdTake(bad);
  });
  loop.add(good, EPOLL.IN, () => {
    if (calls >= 3) done.resolve();
  });
  const run = loop.run();
  await done.promise;
  loop.stop();
  await run;
  for (const fd of [bad, good]) linuxFile().close(fd);
  assert.equal(reported.length, 2);
});

Deno.test("PollLoop: with no end of work a message of the main thread waits for few turns, not for tens", async () => {
  const worker = new Worker(new URL("../../tests/support/workers/poll_loop.ts", import.meta.url), { type: "module" });
  try {
    const counter = new Int32Array(new SharedArrayBuffer(4));
    worker.postMessage(counter);
    const answer = () => new Promise<number>((r) => worker.onmessage = (e) => r(e.data));
    const ask = async () => {
      const before = Atomics.load(counter, 0);
      const answered = answer();
      worker.postMessage(1);
      return await answered - before;
    };
    while (Atomics.load(counter, 0) < 10) await new Promise((r) => setTimeout(r, 5));
    const waited: number[] = [];
    for (let i = 0; i < 50; i++) {
      waited.push(await ask());
      await new Promise((r) => setTimeout(r, 3 + i % 7));
    }
    // Two or three handlers make a turn. Where messages are looked at each 31st time only, the mean is about ten.
    const mean = waited.reduce((sum, n) => sum + n, 0) / waited.length;
    assert.ok(mean < 6, `handlers until a message was seen: ${waited}`);
  } finally {
    worker.terminate();
  }
});
