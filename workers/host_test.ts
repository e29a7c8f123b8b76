import assert from "node:assert/strict";
import { WorkerHost } from "./host.ts";
import type { EchoStage } from "../tests/support/workers/echo.ts";
import { NyxError } from "../daemon/spec/errors.ts";

interface Seen {
  events: unknown[];
  logs: string[];
  respawns: number;
}

async function withHost(
  job: (host: WorkerHost<EchoStage>, seen: Seen) => Promise<void>,
  maxPending?: number,
): Promise<void> {
  const seen: Seen = { events: [], logs: [], respawns: 0 };
  const host = new WorkerHost<EchoStage>({
    name: "echo",
    start: () => new Worker(new URL("../tests/support/workers/echo.ts", import.meta.url), { type: "module" }),
    onEvent: (e) => seen.events.push(e),
    onLog: (_level, msg) => seen.logs.push(msg),
    onRespawn: () => {
      seen.respawns++;
      return undefined;
    },
    ...(maxPending === undefined ? {} : { maxPending }),
  });
  try {
    await host.ready;
    await job(host, seen);
  } finally {
    host.terminate();
  }
}

Deno.test("WorkerHost.call: concurrent requests each get their own answer, events arrive beside them", () =>
  withHost(async (host, seen) => {
    const values = Array.from({ length: 200 }, (_, i) => ({ i }));
    assert.deepEqual(await Promise.all(values.map((v) => host.call("echo", v))), values);
    assert.equal(seen.events.length, 200);
    assert.equal(host.pending, 0);
  }));

Deno.test("WorkerHost.call: an error keeps its code, context, errno and operation across the thread", () =>
  withHost(async (host) => {
    await assert.rejects(host.call("fail", { how: "nyx" }), (e: unknown) => {
      assert.ok(e instanceof NyxError);
      assert.deepEqual([e.code, e.details.context, e.details.retryable], ["already_exists", { name: "x" }, true]);
      return true;
    });
    await assert.rejects(host.call("fail", { how: "syscall" }), (e: unknown) => {
      assert.ok(e instanceof NyxError);
      assert.equal(e.code, "resource_exhausted");
      assert.deepEqual([e.details.syscall, e.details.errno, e.details.op], ["mount", "ENOSPC", "echo.fail"]);
      return true;
    });
    await assert.rejects(host.call("fail", { how: "text" }), { code: "internal", message: "text" });
  }));

Deno.test("WorkerHost.call: progress comes in order and before the result", () =>
  withHost(async (host) => {
    const seen: number[] = [];
    await host.call("count", { to: 100 }, { onProgress: (n) => seen.push(n) });
    assert.deepEqual(seen, Array.from({ length: 100 }, (_, i) => i + 1));
  }));

Deno.test("WorkerHost.call: a cancelled request is answered exactly once, when the worker has confirmed", () =>
  withHost(async (host) => {
    const controller = new AbortController();
    const began = performance.now();
    const call = host.call("hang", { answerAfterCancelMs: 60 }, { signal: controller.signal });
    controller.abort();
    await assert.rejects(call, { code: "canceled" });
    assert.ok(performance.now() - began >= 50, "it waited for the worker's confirmation");
    assert.equal(host.pending, 0);
  }));

Deno.test("WorkerHost.call: a deadline ends the operation inside the worker", () =>
  withHost(async (host) => {
    await assert.rejects(host.call("hang", { answerAfterCancelMs: 0 }, { deadlineMs: 30 }), {
      code: "deadline_exceeded",
    });
  }));

Deno.test("WorkerHost: a worker that dies fails what it held as unavailable and is started again", () =>
  withHost(async (host, seen) => {
    const held = host.call("hang", { answerAfterCancelMs: 0 });
    const killer = host.call("die", {});
    for (const call of [held, killer]) await assert.rejects(call, { code: "unavailable" });
    await assert.rejects(host.call("echo", 1), { code: "unavailable" });
    while (seen.respawns === 0) await new Promise((r) => setTimeout(r, 10));
    await host.ready;
    assert.equal(await host.call("echo", "again"), "again");
    assert.ok(seen.logs.some((m) => m.includes("died")));
  }));

Deno.test("WorkerHost.call: a full queue refuses instead of growing", () =>
  withHost(async (host) => {
    const controller = new AbortController();
    const held = host.call("hang", { answerAfterCancelMs: 0 }, { signal: controller.signal });
    await assert.rejects(host.call("echo", 1), { code: "resource_exhausted" });
    controller.abort();
    await assert.rejects(held, { code: "canceled" });
  }, 1));

Deno.test("WorkerHost.call: a payload that cannot be cloned fails its caller alone", () =>
  withHost(async (host) => {
    await assert.rejects(host.call("echo", () => {}), { code: "internal", message: /cannot be cloned/ });
    assert.equal(await host.call("echo", 2), 2);
  }));

Deno.test("WorkerHost.terminate: fails what is under way; later calls are refused", async () => {
  await withHost(async (host) => {
    const held = host.call("hang", { answerAfterCancelMs: 0 });
    host.terminate();
    await assert.rejects(held, { code: "unavailable" });
    await assert.rejects(host.call("echo", 1), { code: "unavailable" });
  });
});

Deno.test("ByteSender and ByteReceiver: all bytes arrive in order across threads, within the window", () =>
  withHost(async (host) => {
    const { ByteReceiver } = await import("./channel.ts");
    const { port1, port2 } = new MessageChannel();
    const pour = host.call("pour", { port: port1, chunks: 100, size: 1000 }, { transfer: [port1] });
    let next = 0;
    for await (const chunk of new ByteReceiver(port2)) {
      assert.equal(chunk.byteLength, 1000);
      assert.equal(chunk[0], next++);
    }
    assert.equal(next, 100);
    assert.deepEqual(await pour, { sent: 100 });
  }));

Deno.test("ByteReceiver: a broken stream is an error, never a short one", () =>
  withHost(async (host) => {
    const { ByteReceiver } = await import("./channel.ts");
    const { port1, port2 } = new MessageChannel();
    const pour = host.call("pour", { port: port1, chunks: 9, size: 10, breakAt: 5 }, { transfer: [port1] });
    const read = async () => {
      for await (const _ of new ByteReceiver(port2));
    };
    await assert.rejects(read(), { code: "unavailable", message: "Broken on purpose" });
    assert.deepEqual(await pour, { sent: 5 });
  }));

Deno.test("ByteReceiver: a reader that leaves early stops the sender", () =>
  withHost(async (host) => {
    const { ByteReceiver } = await import("./channel.ts");
    const { port1, port2 } = new MessageChannel();
    const pour = host.call("pour", { port: port1, chunks: 1_000_000, size: 10 }, { transfer: [port1] });
    for await (const _ of new ByteReceiver(port2)) break;
    assert.ok((await pour).sent < 100);
  }));

Deno.test("WorkerHost.ready: a worker that cannot start is an error, not a wait without end", async () => {
  const host = new WorkerHost<EchoStage>({
    name: "broken",
    start: () => new Worker("data:application/javascript,throw new Error('broken on purpose')", { type: "module" }),
  });
  try {
    await assert.rejects(host.ready, { code: "unavailable", message: /died while it started.*broken on purpose/ });
  } finally {
    host.terminate();
  }
});
