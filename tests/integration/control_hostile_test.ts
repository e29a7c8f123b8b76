import assert from "node:assert/strict";
import { NyxClient } from "../../daemon/client/client.ts";
import { serveControl } from "../../daemon/control/server.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import { rawExchange, withControl } from "../support/control_server.ts";
import { fakeServices } from "../support/fake_services.ts";

const encoder = new TextEncoder();

function post(path: string, body: string | Uint8Array, headers = ""): Uint8Array {
  const bytes = typeof body === "string" ? encoder.encode(body) : body;
  const head = encoder.encode(
    `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${headers}Content-Length: ${bytes.byteLength}\r\n\r\n`,
  );
  return new Uint8Array([...head, ...bytes]);
}

async function until(holds: () => boolean, what: string): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.fail(`never happened: ${what}`);
}

Deno.test("hostile bodies get 400 and the daemon goes on: huge, deep, not UTF-8, polluted, cut short", async () => {
  const deep = (n: number) => `${'{"labels":'.repeat(n)}1${"}".repeat(n)}`;
  const cases: [string, Uint8Array, RegExp][] = [
    ["more than 1 MiB announced", post("/v1/containers", `{"image":"${"a".repeat(1100000)}"}`), /longer than 1048576/],
    [
      "1 GiB announced and never sent",
      encoder.encode("POST /v1/containers HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n{"),
      /longer than 1048576/,
    ],
    ["90,000 levels", post("/v1/containers", deep(90_000)), /nested deeper than 32/],
    ["400,000 brackets", post("/v1/containers", "[".repeat(400_000)), /as JSON/],
    ["not UTF-8", post("/v1/containers", new Uint8Array([0x7b, 0x22, 0xc3, 0x28, 0x22, 0x7d])), /not valid UTF-8/],
    ["__proto__ in labels", post("/v1/containers", '{"image":"x","labels":{"__proto__":"y"}}'), /__proto__/],
    ["constructor as a field", post("/v1/containers", '{"image":"x","constructor":{}}'), /Unknown field/],
    ["hasOwnProperty as a field", post("/v1/containers", '{"image":"x","hasOwnProperty":1}'), /Unknown field/],
    ["a number beyond integers", post("/v1/containers", '{"image":"x","shmSizeBytes":1e400}'), /shmSizeBytes/],
    ["a fraction", post("/v1/containers", '{"image":"x","stopTimeoutS":1.5}'), /whole number/],
    ["lone surrogates in a name", post("/v1/containers", '{"image":"x","name":"\\ud800"}'), /Invalid name/],
  ];
  await withControl({}, async ({ path, client, calls, log }) => {
    for (const [title, request, message] of cases) {
      const answer = await rawExchange(path, request, 2000);
      assert.match(answer, /^HTTP\/1\.1 400 /, title);
      assert.match(answer, message, title);
    }
    assert.deepEqual(calls, []);
    assert.equal(Object.hasOwn(Object.prototype, "y"), false);
    assert.equal(await client.system.ping(), true);
    assert.equal(log.filter((line) => line.level === "error").length, 0);
  });
});

Deno.test("hostile HTTP never reaches a route: smuggling, bad framing, giant heads, no HTTP at all", async () => {
  const smuggled = "POST /v1/containers/victim/kill HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
  const cases: [string, string][] = [
    [
      "Content-Length and Transfer-Encoding both (CL.TE)",
      `POST /v1/containers/a/stop HTTP/1.1\r\nHost: x\r\nContent-Length: ${5 + smuggled.length}\r\n` +
      `Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${smuggled}`,
    ],
    [
      "two lengths",
      `POST /v1/containers/a/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 9\r\n\r\n${smuggled}`,
    ],
    ["a negative length", `POST /v1/containers/a/stop HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n${smuggled}`],
    ["a bare CR in a header", `GET /v1/ping HTTP/1.1\r\nHost: x\rX: y\r\n\r\n`],
    ["a space before the colon", `GET /v1/ping HTTP/1.1\r\nHost : x\r\nContent-Length : 5\r\n\r\n`],
    [
      "a chunk size that overflows",
      `POST /v1/containers/a/stop HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff1\r\n`,
    ],
    ["2 MiB of headers", `GET /v1/ping HTTP/1.1\r\nHost: x\r\n${"X-A: " + "b".repeat(2 * 1024 * 1024)}\r\n\r\n`],
    ["10,000 headers", `GET /v1/ping HTTP/1.1\r\nHost: x\r\n${"X-A: b\r\n".repeat(10_000)}\r\n`],
    ["TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    ["noise", "\x00\xff\x00\xff\r\n\r\n\r\n"],
  ];
  await withControl({}, async ({ path, client, calls }) => {
    for (const [title, text] of cases) {
      const answer = await rawExchange(path, text, 500);
      assert.ok(!answer.includes("HTTP/1.1 200"), `${title}: ${answer.slice(0, 200)}`);
    }
    assert.ok(!calls.some((call) => call.method === "containers.kill"), JSON.stringify(calls));
    assert.equal(await client.system.ping(), true);
  });
});

Deno.test("a client that leaves ends long polls, followed logs, events, stats and pulls", async () => {
  const ended: string[] = [];
  const onAbort = (name: string, signal?: AbortSignal): Promise<never> =>
    new Promise((_, reject) =>
      signal?.addEventListener("abort", () => {
        ended.push(name);
        reject(signal.reason);
      })
    );
  const parts = {
    containers: {
      wait: (_ref: string, _condition: string, signal: AbortSignal) => onAbort("wait", signal),
      logs: () => Promise.resolve(followed()),
    },
    images: { pull: (_ref: string, options: { signal?: AbortSignal }) => onAbort("pull", options.signal) },
    system: {
      events: ({ signal }: { signal: AbortSignal }) => ({
        [Symbol.asyncIterator]: () => ({
          next: () => onAbort("events", signal).catch(() => ({ done: true as const, value: undefined })),
        }),
      }),
    },
  };
  function followed(): AsyncIterable<Uint8Array> {
    return {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise(() => {}),
        return: () => {
          ended.push("logs");
          return Promise.resolve({ done: true, value: undefined });
        },
      }),
    };
  }
  await withControl(parts, async ({ path, server }) => {
    const requests = [
      ["wait", "POST /v1/containers/web/wait HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"],
      ["logs", "GET /v1/containers/web/logs?follow=1 HTTP/1.1\r\nHost: x\r\n\r\n"],
      ["events", "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n"],
      ["pull", 'POST /v1/images/pull HTTP/1.1\r\nHost: x\r\nContent-Length: 25\r\n\r\n{"ref":"x","stream":true}'],
      ["pull", 'POST /v1/images/pull HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n{"ref":"x"}'],
    ] as const;
    for (const [name, text] of requests) {
      ended.length = 0;
      await rawExchange(path, text, 60);
      await until(() => ended.includes(name), `${name} ended`);
      await until(() => server.inFlight === 0, `${name} over`);
    }
  });
});

Deno.test("100 requests at once, with clients that vanish among them, are all answered", async () => {
  const parts = {
    containers: {
      stop: async (id: string) => (await new Promise((r) => setTimeout(r, 20)), { id: id.padEnd(64, "0") }),
    },
  };
  await withControl(parts, async ({ path, server, log }) => {
    const vanishing = Array.from(
      { length: 30 },
      () => rawExchange(path, "POST /v1/containers/dead/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{", 5),
    );
    const answers = await Promise.all(Array.from({ length: 100 }, async (_, i) => {
      using client = new NyxClient({ socketPath: path });
      return (await client.containers.stop(`c${i}`)).id;
    }));
    assert.deepEqual(answers.map((id) => id.slice(0, 3).replace(/0+$/, "")).length, 100);
    await Promise.all(vanishing);
    await until(() => server.inFlight === 0, "all over");
    assert.equal(log.filter((line) => line.level === "error").length, 0, JSON.stringify(log));
  });
});

Deno.test("socket: mode 0660, group as asked, refused while a daemon answers, taken over when stale", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-control-" });
  const socketPath = `${dir}/nyxd.sock`;
  const log = { error() {}, warn() {}, debug() {} };
  const { services } = fakeServices();
  const gid = Deno.uid() === 0 ? 4242 : Deno.gid() ?? 0;
  try {
    // A socket left by a daemon that was killed.
    const listener = Deno.listen({ transport: "unix", path: `${dir}/old` });
    Deno.renameSync(`${dir}/old`, socketPath);
    listener.close();
    assert.ok(Deno.lstatSync(socketPath).isSocket);
    const server = await serveControl({ socketPath, socketGid: gid, services, log });
    const stat = Deno.lstatSync(socketPath);
    assert.equal((stat.mode ?? 0) & 0o7777, 0o660);
    assert.equal(stat.gid, gid);
    await assert.rejects(serveControl({ socketPath, services, log }), {
      code: "failed_precondition",
      message: /another daemon answers/,
    });
    using client = new NyxClient({ socketPath });
    assert.equal(await client.system.ping(), true);
    await server.close();
    assert.throws(() => Deno.lstatSync(socketPath), Deno.errors.NotFound);
    await assert.rejects(client.system.ping(), { code: "unavailable" });
    const again = await serveControl({ socketPath, services, log });
    assert.equal(await client.system.ping(), true);
    await Promise.all([again.close(), again.close()]);
    Deno.writeTextFileSync(socketPath, "data of a user");
    await assert.rejects(serveControl({ socketPath, services, log }), { code: "failed_precondition" });
    assert.equal(Deno.readTextFileSync(socketPath), "data of a user");
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("closing finishes short requests and ends streams", async () => {
  const gate = Promise.withResolvers<void>();
  const parts = { containers: { restart: async (id: string) => (await gate.promise, { id }) } };
  await withControl(parts, async ({ client, server }) => {
    const slow = client.containers.restart("web");
    const wait = client.system.events();
    const first = wait[Symbol.asyncIterator]().next();
    await until(() => server.inFlight >= 1, "under way");
    await first;
    const closed = server.close({ graceMs: 2000 });
    setTimeout(gate.resolve, 50);
    assert.deepEqual(await slow, { ok: true, id: "web" });
    await closed;
  });
});

Deno.test("closing is not held up by a client that stopped in the middle of a request's head", async () => {
  await withControl({}, async ({ path, server, client }) => {
    const conn = await Deno.connect({ transport: "unix", path });
    await conn.write(encoder.encode("GET /v1/pi"));
    assert.equal(await client.system.ping(), true);
    const from = performance.now();
    await server.close({ graceMs: 300 });
    assert.ok(performance.now() - from < 10_000);
    assert.throws(() => Deno.lstatSync(path), Deno.errors.NotFound);
    conn.close();
  });
});

Deno.test("client: an absent or dead socket says how to start nyxd; an abort is canceled", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-control-" });
  try {
    using absent = new NyxClient({ socketPath: `${dir}/none.sock` });
    await assert.rejects(absent.system.ping(), {
      code: "unavailable",
      message: /no such socket.*systemctl start nyxd/,
    });
    await assert.rejects(absent.containers.attach("x", {}), { code: "unavailable" });
    const listener = Deno.listen({ transport: "unix", path: `${dir}/old` });
    Deno.renameSync(`${dir}/old`, `${dir}/dead.sock`);
    listener.close();
    using dead = new NyxClient({ socketPath: `${dir}/dead.sock` });
    await assert.rejects(dead.system.ping(), { code: "unavailable", message: /nobody listens/ });
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
  const never = () => new Promise<never>(() => {});
  await withControl({ containers: { wait: never } }, async ({ client }) => {
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 20);
    await assert.rejects(
      client.containers.wait("web", undefined, { signal: abort.signal }),
      (e: unknown) => e instanceof NyxError && e.code === "canceled",
    );
  });
});
