import assert from "node:assert/strict";
import type { AttachedOutput } from "../../daemon/client/stream.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import { encodeFrame, encodeJsonFrame, FRAME, MAX_FRAME, STREAM_TYPE } from "../../daemon/spec/frames.ts";
import { rawExchange, withControl } from "../support/control_server.ts";
import { EchoAttachment, FAKE_ID } from "../support/fake_services.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Waits until `holds`, at most two seconds. */
async function until(holds: () => boolean, what: string): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.fail(`never happened: ${what}`);
}

async function gather(stream: AsyncIterable<AttachedOutput>) {
  const out = { stdout: "", stderr: "", events: [] as string[], last: undefined as unknown };
  for await (const item of stream) {
    if (item.kind === "event") {
      out.events.push(item.event.event);
      out.last = item.event;
    } else if (item.kind !== "channel") out[item.kind] += decoder.decode(item.bytes);
  }
  return out;
}

Deno.test("attachRun gives pull events, created, started, output, exit, in order", async () => {
  let creates = 0;
  const parts = {
    containers: {
      create: (config: { image: string }) => {
        if (creates++ > 0) {
          return Promise.resolve({ ok: true as const, id: FAKE_ID, name: "w", image: config.image, warnings: ["w1"] });
        }
        return Promise.reject(new NyxError("not_found", "no image", { context: { image: config.image } }));
      },
    },
  };
  await withControl(parts, async ({ client, calls }) => {
    const run = await client.containers.attachRun({
      image: "busybox",
      args: ["cat"],
      registry_username: "u",
      registry_password: "p",
      attach: { stdin: true, stdout: true, stderr: true },
    });
    assert.equal(await run.write(encoder.encode("hello ")), true);
    await run.resize(24, 80);
    await run.signal("INT");
    await run.write(encoder.encode("world"));
    await run.closeStdin();
    const out = await gather(run);
    assert.deepEqual(out.events, ["pull", "pull", "created", "started", "exit"]);
    assert.equal(out.stdout, "hello world");
    assert.equal(out.stderr, "SIGINT");
    assert.deepEqual(out.last, { event: "exit", exitCode: 7, oomKilled: false });
    const methods = calls.map((call) => call.method);
    assert.deepEqual(methods, ["containers.create", "images.pull", "containers.create", "containers.start"]);
    assert.deepEqual((calls[1]?.args[1] as { credentials: unknown }).credentials, { username: "u", password: "p" });
    assert.equal(await run.write(encoder.encode("late")), false);
  });
});

Deno.test("attached stream carries 32 MiB both ways unharmed", async () => {
  await withControl({}, async ({ client }) => {
    const stream = await client.containers.attach("web", { stdin: true });
    const piece = new Uint8Array(1024 * 1024).map((_, i) => i * 7);
    const sending = (async () => {
      for (let i = 0; i < 32; i++) await stream.write(piece);
      await stream.closeStdin();
    })();
    let at = 0;
    for await (const item of stream) {
      if (item.kind === "event") continue;
      for (let i = 0; i < item.bytes.byteLength; i += 4093) assert.equal(item.bytes[i], piece[(at + i) % piece.length]);
      at += item.bytes.byteLength;
    }
    await sending;
    assert.equal(at, 32 * 1024 * 1024);
  });
});

Deno.test("attach: failures before the stream are thrown with their code", async () => {
  const parts = { containers: { attach: () => Promise.reject(new NyxError("not_found", "no such container")) } };
  await withControl(parts, async ({ client }) => {
    await assert.rejects(client.containers.attach("nope", {}), { name: "NyxError", code: "not_found" });
  });
});

Deno.test("attachRun: a failure after the stream began is its last event, internal ones with an incident", async () => {
  const parts = { containers: { start: () => Promise.reject(new TypeError("boom")) } };
  await withControl(parts, async ({ client, log }) => {
    const run = await client.containers.attachRun({ image: "x", attach: { stdin: false, stdout: true, stderr: true } });
    const out = await gather(run);
    assert.deepEqual(out.events, ["created", "error"]);
    const { error } = out.last as { error: { code: string; message: string; context: { incident: string } } };
    assert.equal(error.code, "internal");
    assert.ok(log.some((line) => line.level === "error" && line.fields.incident === error.context.incident));
  });
});

Deno.test("a client that vanishes detaches and sends no end of stdin, with its body open or ended", async () => {
  for (const ended of [false, true]) {
    const attachment = new EchoAttachment();
    const finish = attachment.finish.bind(attachment);
    const inputs: string[] = [];
    const echo = attachment.input;
    Object.assign(attachment, {
      input: (input: Parameters<typeof echo>[0]) => {
        inputs.push(input.kind);
        return input.kind === "stdinEnd" ? Promise.resolve() : echo(input);
      },
    });
    await withControl({ containers: { attach: () => Promise.resolve(attachment) } }, async ({ path, server }) => {
      const conn = await Deno.connect({ transport: "unix", path });
      const first = encodeJsonFrame(FRAME.json, { stdin: true });
      const chunk = `${first.byteLength.toString(16)}\r\n${decoder.decode(first)}\r\n${ended ? "0\r\n\r\n" : ""}`;
      await conn.write(encoder.encode(
        `POST /v1/containers/web/attach HTTP/1.1\r\nHost: x\r\nContent-Type: ${STREAM_TYPE}\r\n` +
          `Transfer-Encoding: chunked\r\n\r\n${chunk}`,
      ));
      await until(() => server.inFlight === 1, "request under way");
      if (ended) await until(() => inputs.includes("stdinEnd"), "end of stdin");
      else await new Promise((resolve) => setTimeout(resolve, 30));
      assert.equal(attachment.detached, 0);
      conn.close();
      await until(() => attachment.detached === 1, "detached");
      await until(() => server.inFlight === 0, "request over");
      assert.deepEqual(inputs, ended ? ["stdinEnd"] : []);
    });
    finish(0);
  }
});

Deno.test("shutting down the writing side of the connection is leaving, not the end of stdin", async () => {
  const attachment = new EchoAttachment();
  await withControl({ containers: { attach: () => Promise.resolve(attachment) } }, async ({ path, server }) => {
    const conn = await Deno.connect({ transport: "unix", path });
    const first = encodeJsonFrame(FRAME.json, { stdin: true });
    await conn.write(encoder.encode(
      `POST /v1/containers/web/attach HTTP/1.1\r\nHost: x\r\nContent-Type: ${STREAM_TYPE}\r\nTransfer-Encoding: chunked\r\n` +
        `\r\n${first.byteLength.toString(16)}\r\n${decoder.decode(first)}\r\n`,
    ));
    await until(() => server.inFlight === 1, "request under way");
    await new Promise((resolve) => setTimeout(resolve, 30));
    await conn.closeWrite();
    await until(() => attachment.detached === 1, "detached");
    assert.deepEqual(attachment.inputs, []);
    conn.close();
  });
});

Deno.test("a client that vanishes during the pull of a run cancels the pull", async () => {
  let canceled = false;
  const parts = {
    containers: { create: () => Promise.reject(new NyxError("not_found", "no", { context: { image: "x" } })) },
    images: {
      pull: (_ref: string, { signal }: { signal?: AbortSignal }) =>
        new Promise<never>((_, reject) =>
          signal?.addEventListener("abort", () => {
            canceled = true;
            reject(signal.reason);
          })
        ),
    },
  };
  await withControl(parts, async ({ client, calls }) => {
    const run = await client.containers.attachRun({ image: "x", attach: { stdin: true, stdout: true, stderr: true } });
    await until(() => calls.some((call) => call.method === "images.pull"), "pull begun");
    run.close();
    await until(() => canceled, "pull canceled");
  });
});

Deno.test("closing the server ends attached streams with unavailable and leaves processes alone", async () => {
  const attachment = new EchoAttachment();
  await withControl({ containers: { attach: () => Promise.resolve(attachment) } }, async ({ client, server, path }) => {
    const stream = await client.containers.attach("web", { stdin: true });
    const gathered = gather(stream);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await server.close({ graceMs: 2000 });
    const out = await gathered;
    assert.equal((out.last as { error: { code: string } }).error.code, "unavailable");
    assert.equal(attachment.detached, 1);
    assert.deepEqual(attachment.inputs, []);
    assert.throws(() => Deno.lstatSync(path), Deno.errors.NotFound);
  });
});

Deno.test("framed protocol: violations end the stream with invalid_argument, never the daemon", async () => {
  const oversized = new Uint8Array(8);
  new DataView(oversized.buffer).setUint32(4, MAX_FRAME + 1);
  const cases: [string, Uint8Array][] = [
    ["oversized frame", oversized],
    ["unknown kind", encodeFrame(77, new Uint8Array(1))],
    ["a second request", encodeJsonFrame(FRAME.json, {})],
    ["resize that is not JSON", encodeFrame(FRAME.resize, encoder.encode("{"))],
    ["resize out of range", encodeJsonFrame(FRAME.resize, { rows: -1, cols: 1e9 })],
    ["unknown signal", encodeJsonFrame(FRAME.signal, { signal: "SIGNOPE" })],
    ["unknown field in a signal", encodeJsonFrame(FRAME.signal, { signal: "INT", pid: 1 })],
  ];
  for (const [title, bad] of cases) {
    const attachment = new EchoAttachment();
    await withControl({ containers: { attach: () => Promise.resolve(attachment) } }, async ({ path, client }) => {
      const body = new Uint8Array([...encodeJsonFrame(FRAME.json, { stdin: true }), ...bad]);
      const head = encoder.encode(
        `POST /v1/containers/web/attach HTTP/1.1\r\nHost: x\r\nContent-Type: ${STREAM_TYPE}\r\n` +
          `Content-Length: ${body.byteLength + 1000}\r\n\r\n`,
      );
      const answer = await rawExchange(path, new Uint8Array([...head, ...body]));
      assert.match(answer, /"error":\{"code":"invalid_argument"/, title);
      // A frame too long in the first segment is refused before anything is attached.
      assert.equal(attachment.detached, answer.startsWith("HTTP/1.1 200") ? 1 : 0, title);
      assert.equal(await client.system.ping(), true);
    });
  }
});

Deno.test("framed protocol: a request that begins wrongly is refused with 400", async () => {
  const huge = new Uint8Array(8).fill(255);
  const cases: [string, Uint8Array][] = [
    ["empty", new Uint8Array(0)],
    ["stdin first", encodeFrame(FRAME.stdin, encoder.encode("x"))],
    ["huge length", huge],
    ["not UTF-8", encodeFrame(FRAME.json, new Uint8Array([0x7b, 0xff, 0x7d]))],
    ["unknown field", encodeJsonFrame(FRAME.json, { stdni: true })],
    ["cut short", encodeJsonFrame(FRAME.json, { stdin: true }).subarray(0, 12)],
  ];
  await withControl({}, async ({ path, calls }) => {
    for (const [title, body] of cases) {
      const head = encoder.encode(
        `POST /v1/containers/web/attach HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: ${STREAM_TYPE}\r\n` +
          `Content-Length: ${body.byteLength}\r\n\r\n`,
      );
      const answer = await rawExchange(path, new Uint8Array([...head, ...body]));
      assert.match(answer, /^HTTP\/1\.1 400 /, title);
      assert.match(answer, /"code":"invalid_argument"/, title);
    }
    assert.deepEqual(calls, []);
  });
});

Deno.test("exec: framed, as lines, as bytes with the exit code to be asked for, and detached", async () => {
  await withControl({}, async ({ client, path }) => {
    const out = await gather(await client.containers.exec("web", { argv: ["ls"] }));
    assert.deepEqual([out.stdout, out.stderr, out.events], ["out\n", "err\n", ["started", "exit"]]);
    assert.deepEqual(out.last, { event: "exit", exitCode: 5, oomKilled: false });

    const request = (accept: string) =>
      `POST /v1/containers/web/exec HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${accept}Content-Length: 15\r\n\r\n{"argv":["ls"]}`;
    const lines = await rawExchange(path, request("Accept: application/x-ndjson\r\n"));
    assert.match(lines, /\{"stream":"stdout","data":"out\\n"\}/);
    assert.match(lines, /\{"exit_code":5,"oom_killed":false\}/);

    const plain = await rawExchange(path, request(""));
    assert.match(plain, /nyx-exec-id: exec1/i);
    assert.match(plain, /out\n/);
    assert.deepEqual(await client.containers.execState("web", "exec1"), {
      exec_id: "exec1",
      running: false,
      exit_code: 5,
    });
    assert.equal((await client.containers.execDetached("web", { argv: ["ls"] })).exec_id, "exec1");
    await assert.rejects(client.containers.execState("web", "other"), { code: "not_found" });
  });
});

Deno.test("back-pressure: output that the client does not read is not fetched without end", async () => {
  let fetched = 0;
  const piece = encodeFrame(FRAME.stdout, new Uint8Array(256 * 1024));
  const attachment = new EchoAttachment();
  Object.assign(attachment, {
    output: {
      [Symbol.asyncIterator]: () => ({
        next: () =>
          Promise.resolve(fetched++ < 2000 ? { done: false, value: piece } : { done: true, value: undefined }),
        return: () => Promise.resolve({ done: true, value: undefined }),
      }),
    },
  });
  await withControl({ containers: { attach: () => Promise.resolve(attachment) } }, async ({ client, server }) => {
    const stream = await client.containers.attach("web", {});
    await new Promise((resolve) => setTimeout(resolve, 150));
    const before = fetched;
    await new Promise((resolve) => setTimeout(resolve, 150));
    assert.equal(fetched, before, "still fetching");
    assert.ok(fetched < 40, `${fetched} pieces of 256 KiB were fetched for a client that reads nothing`);
    stream.close();
    await until(() => server.inFlight === 0, "request over");
    assert.equal(attachment.detached, 1);
  });
});

Deno.test("back-pressure: a process that takes no input makes write wait, signals overtake it, leaving is noticed", async () => {
  const attachment = new EchoAttachment();
  const echo = attachment.input;
  Object.assign(attachment, {
    input: (input: Parameters<typeof echo>[0]) => input.kind === "stdin" ? new Promise(() => {}) : echo(input),
  });
  await withControl({ containers: { attach: () => Promise.resolve(attachment) } }, async ({ client, server }) => {
    const stream = await client.containers.attach("web", { stdin: true });
    const out = gather(stream);
    const piece = new Uint8Array(256 * 1024);
    let taken = 0;
    const writing = (async () => {
      while (taken < 400 && await stream.write(piece)) taken++;
    })();
    await until(() => taken === 4, "the window is full");
    // Output while input waits is when the flow control of HTTP itself gives way.
    for (let i = 0; i < 20; i++) attachment.emit(FRAME.stdout, encoder.encode("."));
    await stream.signal("TERM");
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(taken, 4);
    stream.close();
    await writing;
    assert.deepEqual([(await out).stdout, (await out).stderr], [".".repeat(20), "SIGTERM"]);
    await until(() => server.inFlight === 0, "request over");
    assert.equal(attachment.detached, 1);
  });
});

Deno.test("a client that sends more input than its window allows is cut off", async () => {
  const attachment = new EchoAttachment();
  Object.assign(attachment, { input: () => new Promise(() => {}) });
  await withControl({ containers: { attach: () => Promise.resolve(attachment) } }, async ({ path }) => {
    const flood = Array.from({ length: 5 }, () => [...encodeFrame(FRAME.stdin, new Uint8Array(256 * 1024))]).flat();
    const body = new Uint8Array([...encodeJsonFrame(FRAME.json, { stdin: true }), ...flood]);
    const head = encoder.encode(
      `POST /v1/containers/web/attach HTTP/1.1\r\nHost: x\r\nContent-Type: ${STREAM_TYPE}\r\n` +
        `Content-Length: ${body.byteLength + 1000}\r\n\r\n`,
    );
    const answer = await rawExchange(path, new Uint8Array([...head, ...body]), 1000);
    assert.match(answer, /"code":"invalid_argument","message":"More standard input/);
    assert.equal(attachment.detached, 1);
  });
});

Deno.test("a client that leaves between create and start leaves no container; a failed start of --rm neither", async () => {
  const removed: unknown[] = [];
  const remove = (ref: string, options: unknown) => {
    removed.push([ref, options]);
    return Promise.resolve({ id: FAKE_ID });
  };
  const gate = Promise.withResolvers<void>();
  const create = async () => {
    await gate.promise;
    return { ok: true as const, id: FAKE_ID, name: "n", image: "x", warnings: [] };
  };
  const attach = { stdin: true, stdout: true, stderr: true };
  await withControl({ containers: { create, remove } }, async ({ client, calls, server }) => {
    const run = await client.containers.attachRun({ image: "x", attach });
    await until(() => calls.length === 1, "create called");
    run.close();
    await new Promise((resolve) => setTimeout(resolve, 30));
    gate.resolve();
    await until(() => server.inFlight === 0, "request over");
    assert.deepEqual(removed, [[FAKE_ID, { force: true, volumes: true }]]);
    assert.ok(!calls.some((call) => call.method === "containers.start"));
  });
  removed.length = 0;
  const start = () => Promise.reject(new NyxError("failed_precondition", "no"));
  await withControl({ containers: { start, remove } }, async ({ client }) => {
    await gather(await client.containers.attachRun({ image: "x", attach }));
    assert.deepEqual(removed, []);
    await gather(await client.containers.attachRun({ image: "x", autoRemove: true, attach }));
    await assert.rejects(client.containers.run({ image: "x", autoRemove: true }), { code: "failed_precondition" });
    assert.equal(removed.length, 2);
  });
});
