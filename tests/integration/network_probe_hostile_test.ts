/** Health probes against containers that mean harm to whoever asks: the prober shares its thread with every container's network. */

import assert from "node:assert/strict";
import { linuxNamespace } from "../../ffi/linux/namespace.ts";
import { linuxSocket } from "../../ffi/linux/socket.ts";
import { probe } from "../../workers/network/probe.ts";

const kernel = { ns: linuxNamespace(), socket: linuxSocket() };

async function withHostile(kind: string, use: (target: string) => Promise<void>): Promise<void> {
  const server = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", new URL("../support/hostile_grpc.ts", import.meta.url).pathname, kind],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  try {
    const reader = server.stdout.getReader();
    const { value } = await reader.read();
    await use(`127.0.0.1:${new TextDecoder().decode(value).trim()}`);
    await reader.cancel();
  } finally {
    server.kill("SIGKILL");
    await server.status;
  }
}

for (
  const [kind, what] of [
    ["ping", "floods the prober with frames to keep the network worker busy for ever"],
    ["data", "sends an endless answer to use up the daemon's memory"],
    ["slow", "sends a byte at a time to hold the probe past its time"],
  ] as const
) {
  Deno.test(`probe: a container's gRPC server ${what}; the probe ends, and others go on meanwhile`, async () => {
    await withHostile(kind, async (target) => {
      let ticks = 0;
      const timer = setInterval(() => ticks++, 5);
      try {
        const began = performance.now();
        const before = Deno.memoryUsage().rss;
        const outcome = await probe(
          kernel,
          { netnsPath: "/proc/self/ns/net", type: "grpc", target, timeoutMs: 300 },
          new AbortController().signal,
        );
        const tookMs = performance.now() - began;
        assert.equal(outcome.exitCode, 1);
        assert.ok(tookMs < 10_000, `the probe took ${tookMs} ms`);
        assert.ok(tookMs < 400 || ticks >= tookMs / 200, `${ticks} turns of the event loop in ${tookMs} ms`);
        assert.ok(Deno.memoryUsage().rss - before < 64 * 1024 * 1024);
      } finally {
        clearInterval(timer);
      }
    });
  });
}
