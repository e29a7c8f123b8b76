import assert from "node:assert/strict";
import { encodeFrame, FRAME, FrameDecoder } from "../spec/frames.ts";
import { FrameMerge } from "./frame_merge.ts";

Deno.test("FrameMerge puts pushed frames between those of the source, however it is cut", async () => {
  const count = 200;
  const all = new Uint8Array(
    Array.from({ length: count }, (_, i) => [...encodeFrame(FRAME.stdout, new Uint8Array(i % 50).fill(i))]).flat(),
  );
  const merge = new FrameMerge();
  let pushed = 0;
  const source = async function* () {
    for (let at = 0, i = 0; at < all.length; i++) {
      const size = 1 + (i * 7919) % 40;
      if (i % 3 === 0) merge.push(encodeFrame(FRAME.credit, new Uint8Array([0, 0, 0, pushed++ % 256])));
      yield all.subarray(at, at + size);
      at += size;
      if (i % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
    }
  };
  const decoder = new FrameDecoder();
  const seen = { output: 0, credits: 0 };
  for await (const chunk of merge.over(source())) {
    for (const { kind, payload } of decoder.push(chunk.slice())) {
      if (kind === FRAME.credit) assert.equal(payload[3], seen.credits++ % 256);
      else {
        assert.equal(kind, FRAME.stdout);
        assert.deepEqual(new Uint8Array(payload), new Uint8Array(seen.output % 50).fill(seen.output));
        seen.output++;
      }
    }
  }
  assert.equal(decoder.pendingBytes, 0);
  assert.deepEqual(seen, { output: count, credits: pushed });
});

Deno.test("FrameMerge sends pushed frames while the source is silent, and tells it when the reader leaves", async () => {
  const merge = new FrameMerge();
  let returned = false;
  const silent = {
    [Symbol.asyncIterator]: () => ({
      next: () => new Promise<IteratorResult<Uint8Array>>(() => {}),
      return: () => {
        returned = true;
        return Promise.resolve({ done: true as const, value: undefined });
      },
    }),
  };
  const frames = merge.over(silent);
  setTimeout(() => merge.push(encodeFrame(FRAME.json, new Uint8Array(1))), 5);
  assert.equal((await frames.next()).done, false);
  await frames.return();
  assert.equal(returned, true);
});

Deno.test("FrameMerge passes the source's failure on after what was pushed before it", async () => {
  const merge = new FrameMerge();
  merge.push(encodeFrame(FRAME.json, new Uint8Array(1)));
  // deno-lint-ignore require-yield
  const failing = async function* (): AsyncGenerator<Uint8Array> {
    await Promise.resolve();
    throw new RangeError("broken");
  };
  const frames = merge.over(failing());
  assert.equal((await frames.next()).done, false);
  await assert.rejects(frames.next(), RangeError);
});
