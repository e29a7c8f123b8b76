import assert from "node:assert/strict";
import { NyxClient } from "./client.ts";

const encoder = new TextEncoder();

/** Serves each connection with the next of `answers`, cut into the given segments; a missing one closes at once. */
async function withAnswers(
  answers: string[][],
  test: (client: NyxClient, heads: string[]) => Promise<void>,
): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-wire-" });
  const path = `${dir}/s`;
  const listener = Deno.listen({ transport: "unix", path });
  const heads: string[] = [];
  const serving = (async () => {
    for await (const conn of listener) {
      const buffer = new Uint8Array(65536);
      const count = await conn.read(buffer).catch(() => null);
      heads.push(new TextDecoder().decode(buffer.subarray(0, count ?? 0)));
      for (const segment of answers.shift() ?? []) {
        await conn.write(encoder.encode(segment)).catch(() => {});
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      conn.close();
    }
  })();
  using client = new NyxClient({ socketPath: path });
  try {
    await test(client, heads);
  } finally {
    listener.close();
    await serving;
    Deno.removeSync(dir, { recursive: true });
  }
}

const OK = "HTTP/1.1 200 OK\r\n";

Deno.test("client reads an answer however it is cut: byte by byte, chunked with extensions, interim heads, to the end", async () => {
  const chunked = `${OK}Transfer-Encoding: chunked\r\n\r\n5;x=y\r\n{"ok"\r\n6\r\n:true}\r\n0\r\nTrailer: x\r\n\r\n`;
  const cases = [
    [...`${OK}Content-Length: 11\r\n\r\n{"ok":true}`],
    [...chunked],
    [chunked],
    [`HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n${OK}Content-Length: 11\r\n\r\n{"ok":true}`],
    [`${OK}Connection: close\r\n\r\n{"ok":`, "true}"],
  ];
  await withAnswers(cases.map((segments) => [...segments]), async (client) => {
    for (let i = 0; i < cases.length; i++) {
      assert.equal(await client.system.ping(), true);
      client.close();
    }
  });
});

Deno.test("client: a truncated, malformed or foreign answer is an error that says so, never half a document", async () => {
  const cases: [string[], RegExp][] = [
    [[`${OK}Content-Length: 50\r\n\r\n{"ok":true}`], /before its answer was complete/],
    [[`${OK}Transfer-Encoding: chunked\r\n\r\nb\r\n{"ok":true}\r\n`], /before its answer was complete/],
    [[`${OK}Transfer-Encoding: chunked\r\n\r\nzz\r\n`], /Malformed chunk/],
    [[`${OK}Content-Le`], /before its answer was complete/],
    [["SSH-2.0-OpenSSH_9.2\r\n\r\n"], /does not speak HTTP/],
    [[`${OK}X: ${"a".repeat(200_000)}\r\n\r\n`], /Overlong line/],
    [[`${OK}${"X: y\r\n".repeat(20_000)}\r\n`], /head exceeds/],
    [[`${OK}Content-Length: 3\r\n\r\nabc`], /not JSON/],
    [["HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\n{}"], /without saying why/],
  ];
  await withAnswers(cases.map(([segments]) => segments), async (client) => {
    for (const [, message] of cases) await assert.rejects(client.system.ping(), { name: "NyxError", message });
  });
});

Deno.test("client: a kept connection that a new daemon closed is replaced for GET, and reported for POST", async () => {
  const pong = `${OK}Content-Length: 11\r\n\r\n{"ok":true}`;
  await withAnswers([[pong], [pong], []], async (client, heads) => {
    assert.equal(await client.system.ping(), true);
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(await client.system.ping(), true);
    assert.equal(heads.length, 2);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await assert.rejects(client.containers.stop("x"), { code: "unavailable" });
    assert.equal(heads.length, 2, "a POST is not sent twice");
  });
});

Deno.test("client: a failing upload source breaks the request off with its own error", async () => {
  await withAnswers([[], []], async (client) => {
    const source = (async function* () {
      yield new Uint8Array(10);
      await Promise.resolve();
      throw new RangeError("disk gone");
    })();
    await assert.rejects(client.images.load(source), { name: "RangeError" });
  });
});

Deno.test("client: ids are encoded, so that none escapes its path", async () => {
  await withAnswers([[], []], async (client, heads) => {
    await assert.rejects(client.containers.inspect("../../x?y#z\r\nX: y"));
    assert.match(heads[0] ?? "", /^GET \/v1\/containers\/..%2F..%2Fx%3Fy%23z%0D%0AX%3A%20y HTTP\/1\.1\r\n/);
  });
});

Deno.test("client: a channel's frame without a number is skipped, and the stream goes on", async () => {
  const frame = (kind: number, payload: string) =>
    `${String.fromCharCode(kind, 0, 0, 0, 0, 0, 0, payload.length)}${payload}`;
  const exit = JSON.stringify({ event: "exit", exitCode: 3 });
  const body = frame(8, "ab") + frame(8, "\0\0\0\x05hi") + frame(3, exit);
  const answer = `${OK}Content-Type: application/vnd.nyx.stream\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  await withAnswers([[answer]], async (client) => {
    const got: unknown[] = [];
    for await (const item of await client.containers.attach("x", { stdout: true })) {
      got.push(item.kind === "channel" ? [item.channel, new TextDecoder().decode(item.bytes)] : item);
    }
    assert.deepEqual(got, [[5, "hi"], { kind: "event", event: { event: "exit", exitCode: 3 } }]);
  });
});
