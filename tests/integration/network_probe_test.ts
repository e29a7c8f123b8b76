import assert from "node:assert/strict";
import { linuxNamespace } from "../../ffi/linux/namespace.ts";
import { linuxSocket } from "../../ffi/linux/socket.ts";
import { servingStatus } from "../../workers/network/grpc_health.ts";
import { makeNetns } from "../../workers/network/pool.ts";
import { parseTarget, probe } from "../../workers/network/probe.ts";

Deno.test("probe connects from inside the namespace: http statuses, tcp, gRPC health, time-outs, refusals", async () => {
  const kernel = { ns: linuxNamespace(), socket: linuxSocket() };
  const netns = makeNetns(kernel, new Uint8Array(65536));
  const path = `/proc/${Deno.pid}/fd/${netns.fd}`;
  const server = new Deno.Command("nsenter", {
    args: [
      `--net=${path}`,
      "--",
      Deno.execPath(),
      "run",
      "-A",
      new URL("../support/probe_server.ts", import.meta.url).pathname,
    ],
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
  }).spawn();
  const never = new AbortController().signal;
  const ask = (type: "http" | "tcp" | "grpc", target: string, timeoutMs = 2000) =>
    probe(kernel, { netnsPath: path, type, target, timeoutMs }, never);
  try {
    while ((await ask("tcp", "127.0.0.1:50053")).exitCode !== 0) await new Promise((r) => setTimeout(r, 30));
    assert.deepEqual(await ask("http", "http://localhost:8080/204?x=1"), {
      exitCode: 0,
      output: "HTTP/1.1 204 No Content",
    });
    assert.equal((await ask("http", "http://127.0.0.1:8080/302")).exitCode, 0);
    assert.deepEqual(await ask("http", "http://127.0.0.1:8080/503"), {
      exitCode: 1,
      output: "HTTP/1.1 503 Service Unavailable",
    });
    assert.deepEqual(await ask("grpc", "localhost:50051"), { exitCode: 0, output: "SERVING" });
    assert.deepEqual(await ask("grpc", "127.0.0.1:50052"), { exitCode: 1, output: "NOT_SERVING" });
    const lacking = await ask("grpc", "127.0.0.1:50053");
    assert.equal(lacking.exitCode, 1);
    assert.match(lacking.output, /grpc\.health\.v1\.Health/);
    const began = performance.now();
    const slow = await ask("http", "http://127.0.0.1:8080/slow", 200);
    assert.deepEqual(slow, { exitCode: 1, output: "No answer from http://127.0.0.1:8080/slow within 200 ms" });
    assert.ok(performance.now() - began < 5000);
    for (
      const [target, pattern] of [["127.0.0.1:1", /ECONNREFUSED/], ["192.0.2.1:80", /ENETUNREACH/], [
        "web:80",
        /IP address/,
      ], ["[::1]:9", /ECONNREFUSED/]] as const
    ) {
      const refused = await ask("tcp", target);
      assert.equal(refused.exitCode, 1);
      assert.match(refused.output, pattern);
    }
    assert.match((await ask("http", "https://127.0.0.1/")).output, /https/);
    assert.match((await ask("grpc", "127.0.0.1:8080")).output, /grpc\.health/);
  } finally {
    server.kill("SIGKILL");
    await server.status;
    netns[Symbol.dispose]();
  }
});

Deno.test("parseTarget reads URLs and host:port; servingStatus reads what is whole", () => {
  assert.deepEqual(parseTarget("http", "http://[::1]:81/a?b"), {
    host: "::1",
    port: 81,
    path: "/a?b",
    authority: "[::1]:81",
  });
  assert.equal(parseTarget("tcp", "127.0.0.1:80").port, 80);
  assert.throws(() => parseTarget("tcp", "127.0.0.1"), /no port/);
  assert.throws(() => parseTarget("http", "not a url"), /no URL/);
  assert.equal(servingStatus(Uint8Array.of(0, 0, 0, 0, 2, 8)), undefined);
  assert.equal(servingStatus(Uint8Array.of(0, 0, 0, 0, 2, 8, 1)), "SERVING");
  assert.equal(servingStatus(Uint8Array.of(0, 0, 0, 0, 0)), "UNKNOWN");
});
