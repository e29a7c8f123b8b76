import assert from "node:assert/strict";
import { channelPayload, encodeFrame, FrameDecoder, MAX_FRAME, parseChannel, type StreamFrame } from "./frames.ts";

Deno.test("FrameDecoder gives the same frames however the bytes are cut", () => {
  const frames = Array.from({ length: 60 }, (_, i) => ({
    kind: i % 7,
    payload: new Uint8Array((i * i * 37) % 5000).map((_, j) => i + j),
  }));
  const all = new Uint8Array(frames.flatMap(({ kind, payload }) => [...encodeFrame(kind, payload)]));
  let seed = 1;
  const random = (n: number) => (seed = (seed * 48271) % 2147483647) % n;
  for (let round = 0; round < 50; round++) {
    const decoder = new FrameDecoder();
    const got: StreamFrame[] = [];
    for (let at = 0; at < all.length;) {
      const size = round === 0 ? 1 : 1 + random(round * 50);
      for (const frame of decoder.push(all.slice(at, at + size))) got.push(frame);
      at += size;
    }
    assert.equal(decoder.pendingBytes, 0);
    assert.equal(got.length, frames.length);
    got.forEach((frame, i) => {
      assert.equal(frame.kind, frames[i]?.kind);
      assert.deepEqual(new Uint8Array(frame.payload), frames[i]?.payload);
    });
  }
});

Deno.test("FrameDecoder: a 1 MiB frame in single bytes takes linear time", () => {
  const bytes = encodeFrame(1, new Uint8Array(MAX_FRAME));
  const decoder = new FrameDecoder();
  const from = performance.now();
  let frames = 0;
  for (let i = 0; i < bytes.length; i++) frames += decoder.push(bytes.subarray(i, i + 1)).length;
  assert.equal(frames, 1);
  assert.ok(performance.now() - from < 5000);
});

Deno.test("FrameDecoder refuses a length beyond the limit before holding its bytes", () => {
  const head = new Uint8Array(8);
  new DataView(head.buffer).setUint32(4, MAX_FRAME + 1);
  assert.throws(() => new FrameDecoder().push(head), RangeError);
  const decoder = new FrameDecoder();
  decoder.push(head.subarray(0, 5));
  assert.throws(() => decoder.push(head.subarray(5)), RangeError);
});

Deno.test("channelPayload and parseChannel: number and bytes come back; a payload without a number is none", () => {
  const bytes = Uint8Array.of(1, 2);
  assert.deepEqual(parseChannel(channelPayload(0xffff_fffe, bytes)), { channel: 0xffff_fffe, bytes });
  assert.equal(parseChannel(channelPayload(3, new Uint8Array(0)))?.bytes.byteLength, 0);
  assert.equal(parseChannel(bytes), undefined);
});
