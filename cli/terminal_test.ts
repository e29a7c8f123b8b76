import assert from "node:assert/strict";
import type { PullEvent } from "../mod.ts";
import { NyxError } from "../mod.ts";
import { BarProgress, LineProgress } from "./pull_progress.ts";
import { DetachWatch, parseDetachKeys } from "./terminal/detach_keys.ts";
import type { Output } from "./terminal/output.ts";
import { OutputQueue } from "./terminal/output_queue.ts";

Deno.test("parseDetachKeys: letters and control keys", () => {
  assert.deepEqual([...parseDetachKeys("ctrl-p,ctrl-q")], [16, 17]);
  assert.deepEqual([...parseDetachKeys("a,ctrl-@,ctrl-_")], [97, 0, 31]);
  assert.equal(parseDetachKeys("").byteLength, 0);
  for (const text of ["ctrl-", "ab", "ctrl-1", "a,,b", "é"]) assert.throws(() => parseDetachKeys(text), NyxError, text);
});

/** Everything that got through, and whether the watch fired, for input cut at every place. */
function watched(keys: string, pieces: number[][]): { through: number[]; detached: boolean } {
  const watch = new DetachWatch(parseDetachKeys(keys));
  const through: number[] = [];
  for (const piece of pieces) {
    const { forward, detached } = watch.push(Uint8Array.from(piece));
    through.push(...forward);
    if (detached) return { through, detached };
  }
  return { through, detached: false };
}

Deno.test("DetachWatch: fires on the sequence however the input is cut, and loses nothing else", () => {
  assert.deepEqual(watched("ctrl-p,ctrl-q", [[1, 16, 17, 9]]), { through: [1], detached: true });
  assert.deepEqual(watched("ctrl-p,ctrl-q", [[1, 16], [17]]), { through: [1], detached: true });
  assert.deepEqual(watched("ctrl-p,ctrl-q", [[16], [16], [17]]), { through: [16], detached: true });
  assert.deepEqual(watched("ctrl-p,ctrl-q", [[16], [5], [17]]), { through: [16, 5, 17], detached: false });
  assert.deepEqual(watched("a,a,b", [[97, 97, 97, 98]]), { through: [97], detached: true });
  assert.deepEqual(watched("", [[16, 17]]), { through: [16, 17], detached: false });
});

/** An output that takes its time and remembers its writes. */
function slowOutput(name: string, log: string[]): Output {
  return {
    isTerminal: false,
    text: () => {},
    async bytes(bytes: Uint8Array) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      log.push(`${name}:${new TextDecoder().decode(bytes)}`);
    },
  } as unknown as Output;
}

Deno.test("OutputQueue: order across both outputs is kept, small pieces are joined, flush waits for all", async () => {
  const log: string[] = [];
  const [out, err] = [slowOutput("out", log), slowOutput("err", log)];
  const queue = new OutputQueue();
  const bytes = (text: string) => new TextEncoder().encode(text);
  for (const text of ["a", "b", "c"]) await queue.push(out, bytes(text));
  await queue.push(err, bytes("d"));
  await queue.push(out, bytes("e"));
  await queue.flush();
  assert.deepEqual(log, ["out:a", "out:bc", "err:d", "out:e"]);
});

Deno.test("OutputQueue: a failed write fails the next push and the flush", async () => {
  const failing = { bytes: () => Promise.reject(new Error("gone")) } as unknown as Output;
  const queue = new OutputQueue();
  await queue.push(failing, new Uint8Array(1));
  await assert.rejects(queue.flush(), /gone/);
  await assert.rejects(queue.push(failing, new Uint8Array(1)), /gone/);
});

const progress = (current: number): PullEvent => ({
  phase: "progress",
  digest: `sha256:${"1".repeat(64)}`,
  index: 0,
  count: 1,
  size: 100,
  current,
});

Deno.test("BarProgress: at most ten pictures a second, redrawn in place, the last one complete", () => {
  let nowMs = 0;
  const written: string[] = [];
  const bars = new BarProgress({
    write: (text) => written.push(text),
    size: () => ({ rows: 24, cols: 80 }),
    now: () => nowMs,
  });
  for (let at = 0; at < 1000; at++) {
    nowMs = at;
    bars.event(progress(at / 10));
  }
  bars.event({ phase: "layer", digest: `sha256:${"1".repeat(64)}`, index: 0, count: 1, size: 100 });
  bars.end();
  bars.end();
  assert.ok(written.length <= 12, `${written.length} pictures`);
  assert.ok(!written[0]?.startsWith("\u001b[2A"));
  assert.ok(written[1]?.startsWith("\u001b[2A\r"));
  assert.ok(written.at(-1)?.includes("111111111111 done 100B\u001b[K\n1/1 layers"));
});

Deno.test("LineProgress: one line a layer, hostile references are escaped", () => {
  const written: string[] = [];
  const lines = new LineProgress((text) => written.push(text));
  lines.event({ phase: "begin", ref: "x\u001b[2J" });
  for (const current of [1, 50, 100]) lines.event(progress(current));
  for (let twice = 0; twice < 2; twice++) {
    lines.event({ phase: "layer", digest: `sha256:${"1".repeat(64)}`, index: 0, count: 1, size: 100 });
  }
  assert.deepEqual(written, ["Pulling x\\x1b[2J\n", "111111111111: pulled 100B (1/1)\n"]);
});
