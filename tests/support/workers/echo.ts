/** A stage for the protocol's own tests. */

import { ByteReceiver, ByteSender } from "../../../workers/channel.ts";
import { emitter, serve } from "../../../workers/serve.ts";
import { NyxError } from "../../../daemon/spec/errors.ts";
import { SyscallError } from "../../../ffi/errno.ts";

/** Its messages. */
export type EchoStage = {
  ops: {
    echo: { request: unknown; result: unknown; progress: never };
    fail: { request: { how: "nyx" | "syscall" | "text" }; result: void; progress: never };
    count: { request: { to: number }; result: number; progress: number };
    hang: { request: { answerAfterCancelMs: number }; result: string; progress: never };
    die: { request: Record<string, never>; result: void; progress: never };
    sum: {
      request: { port: MessagePort; stopAfter?: number };
      result: { bytes: number; error?: string };
      progress: never;
    };
    pour: {
      request: { port: MessagePort; chunks: number; size: number; breakAt?: number };
      result: { sent: number };
      progress: never;
    };
  };
  event: { hello: string };
};

const out = emitter<EchoStage>();

serve<EchoStage>("echo", {
  echo: (payload) => {
    out.event({ hello: "event" });
    return payload;
  },
  fail: ({ how }) => {
    if (how === "nyx") {
      throw new NyxError("already_exists", "There is one", { context: { name: "x" }, retryable: true });
    }
    if (how === "syscall") throw new SyscallError("mount", 28, "/mnt");
    throw "text";
  },
  count: ({ to }, ctx) => {
    for (let i = 1; i <= to; i++) ctx.progress(i);
    return to;
  },
  hang: async ({ answerAfterCancelMs }, ctx) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    ctx.signal.addEventListener("abort", () => setTimeout(resolve, answerAfterCancelMs));
    await promise;
    ctx.signal.throwIfAborted();
    return "not reached";
  },
  die: () => {
    setTimeout(() => {
      throw new Error("uncaught on purpose");
    });
    return new Promise<void>(() => {});
  },
  sum: async ({ port, stopAfter }) => {
    let bytes = 0;
    try {
      for await (const chunk of new ByteReceiver(port)) {
        bytes += chunk.byteLength;
        if (stopAfter !== undefined && bytes >= stopAfter) break;
      }
      return { bytes };
    } catch (e) {
      return { bytes, error: (e as Error).message };
    }
  },
  pour: async ({ port, chunks, size, breakAt }) => {
    const sender = new ByteSender(port, 4 * size);
    let sent = 0;
    try {
      for (let i = 0; i < chunks; i++) {
        if (i === breakAt) throw new NyxError("unavailable", "Broken on purpose");
        await sender.send(new Uint8Array(size).fill(i));
        sent++;
      }
      sender.end();
    } catch (e) {
      sender.fail(e);
    }
    return { sent };
  },
});
