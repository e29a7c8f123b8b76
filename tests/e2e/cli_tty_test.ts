import assert from "node:assert/strict";
import { onTerminal } from "../support/terminal.ts";
import { fakeDaemon, framed, lines } from "./cli_fake_daemon.ts";

const ID = "0123456789abcdef".repeat(4);

Deno.test("nyx run -it: raw mode (Ctrl-C is a byte), size of the terminal, code, terminal restored", async () => {
  let request: Record<string, unknown> = {};
  let typed = "";
  await using daemon = fakeDaemon({
    "POST /v1/containers/run": (r) =>
      framed(r, async (stream) => {
        request = stream.request;
        stream.event({ event: "created", id: ID, warnings: [] });
        stream.event({ event: "started", id: ID, pid: 1 });
        stream.stdout("$ ");
        while (!typed.endsWith("\x03")) {
          const frame = await stream.next();
          if (frame === undefined) return;
          if (frame.kind === "stdin") typed += frame.text;
        }
        stream.event({ event: "exit", exitCode: 4, oomKilled: false });
      }),
  });
  const { code, screen } = await onTerminal(daemon.socket, "nyx run -it img sh", async ({ until, type }) => {
    await until("$ ");
    await type("ls\r");
    await type("\x03");
  });
  assert.equal(code, 4, screen);
  assert.equal(typed, "ls\r\x03");
  assert.deepEqual(request.attach, { stdin: true, stdout: true, stderr: true, rows: 30, cols: 100 });
  assert.ok(!screen.includes("RAW"), "the terminal was left in raw mode");
});

Deno.test("nyx run -it: the detach keys leave the process alone and exit with 0; custom ones too", async () => {
  for (const [flags, keys] of [["", "\x10\x11"], ["--detach-keys=ctrl-x,q ", "\x18q"]] as const) {
    const typed: string[] = [];
    const gone = Promise.withResolvers<void>();
    await using daemon = fakeDaemon({
      "POST /v1/containers/run": (r) =>
        framed(r, async (stream) => {
          stream.event({ event: "created", id: ID, warnings: [] });
          stream.event({ event: "started", id: ID, pid: 1 });
          stream.stdout("$ ");
          for (let frame = await stream.next(); frame !== undefined; frame = await stream.next()) {
            if (frame.kind !== "resize") typed.push(`${frame.kind}:${frame.text}`);
          }
          gone.resolve();
        }),
    });
    const { code, screen } = await onTerminal(daemon.socket, `nyx run ${flags}-it img sh`, async ({ until, type }) => {
      await until("$ ");
      await type(`a${keys}`);
    });
    await gone.promise;
    assert.equal(code, 0, screen);
    assert.match(screen, /detached; attach again with: nyx attach 0123456789ab/);
    assert.deepEqual(typed, ["stdin:a"]);
    assert.ok(!screen.includes("RAW"));
  }
});

Deno.test("nyx pull: bars on a terminal, within its width", async () => {
  const digest = `sha256:${"ab".repeat(32)}`;
  await using daemon = fakeDaemon({
    "POST /v1/images/pull": () =>
      lines(
        { phase: "begin", ref: "x" },
        { phase: "progress", digest, index: 0, count: 1, size: 1000, current: 500 },
        { phase: "layer", digest, index: 0, count: 1, size: 1000, cached: false },
        { phase: "done", ref: "x", id: "i", digest, cached: false, config: {} },
      ),
  });
  const { code, screen } = await onTerminal(daemon.socket, "nyx pull x", () => Promise.resolve());
  assert.equal(code, 0, screen);
  assert.match(screen, /abababababab \[=+> +\]/);
  assert.match(screen, /abababababab done 1kB/);
  assert.match(screen, /1\/1 layers/);
});

Deno.test("nyx login: asks for the password without showing it", async () => {
  let body: unknown;
  await using daemon = fakeDaemon({
    "POST /v1/login": async (request) => {
      body = await request.json();
      return Response.json({ error: { code: "unauthenticated", message: "Wrong password" } }, { status: 401 });
    },
  });
  const { code, screen } = await onTerminal(
    daemon.socket,
    "nyx login -u me localhost:5000",
    async ({ until, type }) => {
      await until("Password: ");
      await type("s3cretX\x7f\r");
    },
  );
  assert.equal(code, 1);
  assert.deepEqual(body, { registry: "localhost:5000", username: "me", password: "s3cret" });
  assert.ok(!screen.includes("s3c"), screen);
  assert.match(screen, /nyx: Wrong password/);
  assert.ok(!screen.includes("RAW"));
});
