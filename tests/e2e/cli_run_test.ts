import assert from "node:assert/strict";
import { cli, fakeDaemon, framed, type Handler, lines, refusal, spawnCli } from "./cli_fake_daemon.ts";

const ID = "0123456789abcdef".repeat(4);

/** A run that prints, and ends with a code. */
function runScript(exitCode: number, output: string[] = []): Handler {
  return (request) =>
    framed(request, (stream) => {
      stream.event({ event: "created", id: ID, warnings: [] });
      stream.event({ event: "started", id: ID, pid: 42 });
      for (const text of output) stream.stdout(text);
      stream.event({ event: "exit", exitCode, oomKilled: false });
      return Promise.resolve();
    });
}

Deno.test("nyx run: exits with the program's code, output goes to stdout and stderr apart", async () => {
  await using daemon = fakeDaemon({
    "POST /v1/containers/run": (request) =>
      framed(request, (stream) => {
        stream.event({ event: "started", id: ID, pid: 42 });
        stream.stdout("out\n");
        stream.stderr("err\n");
        stream.event({ event: "exit", exitCode: 7, oomKilled: false });
        return Promise.resolve();
      }),
  });
  assert.deepEqual(await cli(daemon, ["run", "--rm", "img", "sh", "-c", "exit 7"]), {
    code: 7,
    stdout: "out\n",
    stderr: "err\n",
  });
});

Deno.test("nyx run: 8 MiB of output arrive whole before it exits", async () => {
  const piece = "x".repeat(1023) + "\n";
  await using daemon = fakeDaemon({ "POST /v1/containers/run": runScript(0, Array<string>(8192).fill(piece)) });
  const { code, stdout } = await cli(daemon, ["run", "img"]);
  assert.equal(code, 0);
  assert.equal(stdout.length, 8 * 1024 * 1024);
});

Deno.test("nyx run: sends image, arguments and flags as the container's specification", async () => {
  let seen: Record<string, unknown> = {};
  await using daemon = fakeDaemon({
    "POST /v1/containers/run": (request) =>
      framed(request, (stream) => {
        seen = stream.request;
        stream.event({ event: "exit", exitCode: 0, oomKilled: false });
        return Promise.resolve();
      }),
  });
  const flags = ["--name", "web", "-p", "127.0.0.1:8080:80", "-e", "A=b", "-v", "data:/d:ro", "-m", "64m", "--init"];
  const { code, stderr } = await cli(daemon, ["run", ...flags, "img", "cmd", "-x", "--", "y"]);
  assert.equal(stderr, "");
  assert.equal(code, 0);
  assert.deepEqual(seen, {
    image: "img",
    name: "web",
    args: ["cmd", "-x", "--", "y"],
    env: ["A=b"],
    init: true,
    mounts: [{ type: "volume", source: "data", target: "/d", readOnly: true }],
    resources: { memoryBytes: 67108864 },
    publish: [{ hostIp: "127.0.0.1", hostPort: 8080, containerPort: 80, protocol: "tcp" }],
    pull: "missing",
    attach: { stdin: false, stdout: true, stderr: true },
  });
});

Deno.test("nyx run -i: stdin is passed on and half-closed, output goes on after its end", async () => {
  await using daemon = fakeDaemon({
    "POST /v1/containers/run": (request) =>
      framed(request, async (stream) => {
        stream.event({ event: "started", id: ID, pid: 42 });
        let text = "";
        for (
          let frame = await stream.next();
          frame !== undefined && frame.kind !== "stdinEnd";
          frame = await stream.next()
        ) text += frame.text;
        await new Promise((resolve) => setTimeout(resolve, 50));
        stream.stdout(text.toUpperCase());
        stream.event({ event: "exit", exitCode: 0, oomKilled: false });
      }),
  });
  assert.deepEqual(await cli(daemon, ["run", "-i", "img", "cat"], { input: "hello" }), {
    code: 0,
    stdout: "HELLO",
    stderr: "",
  });
});

Deno.test("nyx run: SIGTERM, SIGHUP and SIGUSR1 are passed on, the program's own code comes back", async () => {
  const started = Promise.withResolvers<void>();
  const signals: string[] = [];
  await using daemon = fakeDaemon({
    "POST /v1/containers/run": (request) =>
      framed(request, async (stream) => {
        stream.event({ event: "started", id: ID, pid: 42 });
        stream.stdout("ready");
        started.resolve();
        while (signals.length < 3) {
          const frame = await stream.next();
          if (frame?.kind === "signal") signals.push((JSON.parse(frame.text) as { signal: string }).signal);
        }
        stream.event({ event: "exit", exitCode: 143, oomKilled: false });
      }),
  });
  const child = spawnCli(daemon, ["run", "img"]);
  const reader = child.stdout.getReader();
  await started.promise;
  await reader.read();
  for (const signal of ["SIGUSR1", "SIGHUP", "SIGTERM"] as const) {
    const before = signals.length;
    child.kill(signal);
    // Two signals at once may be handled in either order: the next one waits for this one's arrival.
    while (signals.length === before) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const { code } = await child.status;
  await reader.cancel();
  await child.stderr.cancel();
  assert.deepEqual(signals, ["SIGUSR1", "SIGHUP", "SIGTERM"]);
  assert.equal(code, 143);
});

Deno.test("nyx run: Ctrl-C is passed on once; again in short order stops the container", async () => {
  const interrupted = Promise.withResolvers<void>();
  const stopped = Promise.withResolvers<void>();
  await using daemon = fakeDaemon({
    "POST /v1/containers/run": (request) =>
      framed(request, async (stream) => {
        stream.event({ event: "created", id: ID, warnings: [] });
        stream.event({ event: "started", id: ID, pid: 42 });
        stream.stdout("ready");
        await stream.next();
        interrupted.resolve();
        await stopped.promise;
        stream.event({ event: "exit", exitCode: 137, oomKilled: false });
      }),
    [`POST /v1/containers/${ID}/stop`]: () => {
      stopped.resolve();
      return Response.json({ ok: true, id: ID });
    },
  });
  const child = spawnCli(daemon, ["run", "img"]);
  const reader = child.stdout.getReader();
  await reader.read();
  child.kill("SIGINT");
  await interrupted.promise;
  child.kill("SIGINT");
  const { code } = await child.status;
  await reader.cancel();
  await child.stderr.cancel();
  assert.equal(code, 137);
});

Deno.test("nyx run: Ctrl-C while pulling gives the request up and exits with 130", async () => {
  const gone = Promise.withResolvers<void>();
  await using daemon = fakeDaemon({
    "POST /v1/containers/run": (request) =>
      framed(request, async (stream) => {
        stream.event({ event: "pull", pull: { phase: "begin", ref: "docker.io/library/img:latest" } });
        while (await stream.next() !== undefined);
        gone.resolve();
      }),
  });
  const child = spawnCli(daemon, ["run", "img"]);
  const reader = child.stderr.getReader();
  await reader.read();
  child.kill("SIGINT");
  const { code } = await child.status;
  await gone.promise;
  await reader.cancel();
  await child.stdout.cancel();
  assert.equal(code, 130);
});

Deno.test("nyx run: 125 for the engine's refusal, 126 and 127 as the daemon says, each with a sentence", async () => {
  await using refusing = fakeDaemon({
    "POST /v1/containers/run": () =>
      refusal({ code: "already_exists", message: 'Name "web" is taken by 0123456789ab' }),
  });
  assert.deepEqual(await cli(refusing, ["run", "--name", "web", "img"]), {
    code: 125,
    stdout: "",
    stderr: 'nyx: Name "web" is taken by 0123456789ab\n',
  });
  for (const exitCode of [126, 127]) {
    await using daemon = fakeDaemon({
      "POST /v1/containers/run": (request) =>
        framed(request, (stream) => {
          stream.event({ event: "created", id: ID, warnings: [] });
          stream.event({
            event: "error",
            error: { code: "failed_precondition", message: "Cannot run /x", context: { exitCode } },
          });
          return Promise.resolve();
        }),
    });
    assert.deepEqual(await cli(daemon, ["run", "img", "/x"]), {
      code: exitCode,
      stdout: "",
      stderr: "nyx: Cannot run /x\n",
    });
  }
});

Deno.test("nyx run: a connection that breaks in the middle is told, with 125", async () => {
  await using daemon = fakeDaemon({
    "POST /v1/containers/run": (request) =>
      framed(request, (stream) => {
        stream.event({ event: "started", id: ID, pid: 42 });
        stream.stdout("half");
        return Promise.resolve();
      }),
  });
  const { code, stdout, stderr } = await cli(daemon, ["run", "img"]);
  assert.equal(code, 125);
  assert.equal(stdout, "half");
  assert.match(stderr, /^nyx: /);
});

Deno.test("nyx run -d: prints the id alone on stdout, the pull on stderr, writes the cidfile once", async () => {
  const run: Handler = () =>
    lines(
      { phase: "begin", ref: "docker.io/library/img:latest" },
      { phase: "layer", digest: `sha256:${"ab".repeat(32)}`, index: 0, count: 1, size: 2_100_000, cached: false },
      { phase: "run", ok: true, id: ID, name: "n", image: "img", pid: 42, warnings: ["swap is off"] },
    );
  await using daemon = fakeDaemon({ "POST /v1/containers/run": run });
  const first = await cli(daemon, ["run", "-d", "--cidfile", "cid", "img"]);
  assert.equal(first.code, 0, first.stderr);
  assert.equal(first.stdout, `${ID}\n`);
  assert.equal(
    first.stderr,
    "Pulling docker.io/library/img:latest\nabababababab: pulled 2.1MB (1/1)\nnyx: warning: swap is off\n",
  );
  assert.equal(Deno.readTextFileSync(`${daemon.dir}/cid`), ID);
  const again = await cli(daemon, ["run", "-d", "--cidfile", "cid", "img"]);
  assert.equal(again.code, 125);
  assert.match(again.stderr, /cidfile "cid" failed: it exists already/);
  const quiet = await cli(daemon, ["run", "-dq", "img"]);
  assert.equal(quiet.stderr, "nyx: warning: swap is off\n");
});

Deno.test("nyx run: wrong options exit with 125 and ask nothing of the daemon", async () => {
  await using daemon = fakeDaemon({});
  const cases: [string[], RegExp][] = [
    [["--nmae", "x", "img"], /Unknown option --nmae. Did you mean "--name"\?/],
    [["-p", "99999:80", "img"], /Invalid publish "99999:80"/],
    [["--gpus", "all", "img"], /--gpus cannot be honoured/],
    [["--rm", "--restart", "always", "img"], /--rm conflicts with --restart always/],
    [["--attach", "stdout", "-d", "img"], /--attach conflicts with --detach/],
    [["--pull", "often", "img"], /Invalid pull "often"/],
    [[], /IMAGE is missing/],
  ];
  for (const [args, pattern] of cases) {
    const { code, stdout, stderr } = await cli(daemon, ["run", ...args]);
    assert.equal(code, 125, args.join(" "));
    assert.equal(stdout, "");
    assert.match(stderr, pattern);
  }
  assert.deepEqual(daemon.requests, []);
});

Deno.test("nyx run: logins are looked up only for a registry that will be asked, and sent with the request", async () => {
  let present = true;
  const seen: Record<string, unknown>[] = [];
  await using daemon = fakeDaemon({
    "GET /v1/images/inspect": () => present ? Response.json({}) : refusal({ code: "not_found", message: "No image" }),
    "POST /v1/containers/run": (request) =>
      framed(request, (stream) => {
        seen.push(stream.request);
        stream.event({ event: "exit", exitCode: 0, oomKilled: false });
        return Promise.resolve();
      }),
  });
  const ref = "registry.example:5000/img";
  Deno.writeTextFileSync(`${daemon.dir}/config.json`, "broken");
  assert.deepEqual(await cli(daemon, ["run", ref]), { code: 0, stdout: "", stderr: "" });
  present = false;
  const broken = await cli(daemon, ["run", ref]);
  assert.equal(broken.code, 125);
  assert.match(broken.stderr, /Could not read the logins/);
  Deno.writeTextFileSync(
    `${daemon.dir}/config.json`,
    JSON.stringify({ auths: { "registry.example:5000": { auth: btoa("me:secret") } } }),
  );
  await cli(daemon, ["run", ref]);
  await cli(daemon, ["run", "other.example/img"]);
  assert.deepEqual(seen.map((request) => request.registry_password), [undefined, "secret", undefined]);
});

Deno.test("nyx run -it: without a terminal it refuses in Docker's words", async () => {
  await using daemon = fakeDaemon({});
  const { code, stderr } = await cli(daemon, ["run", "-it", "img"], { input: "" });
  assert.equal(code, 1);
  assert.match(stderr, /^nyx: the input device is not a TTY/);
});

Deno.test("nyx run: a reader that goes away ends it quietly with 141", async () => {
  await using daemon = fakeDaemon({
    "POST /v1/containers/run": (request) =>
      framed(request, async (stream) => {
        stream.event({ event: "started", id: ID, pid: 42 });
        for (let i = 0; i < 2000; i++) {
          stream.stdout("y\n".repeat(1000));
          await new Promise((resolve) => setTimeout(resolve, 0));
        }
        stream.event({ event: "exit", exitCode: 0, oomKilled: false });
      }),
  });
  const main = new URL("../../cli/main.ts", import.meta.url).pathname;
  const { stdout, stderr } = await new Deno.Command("bash", {
    args: ["-c", `"$0" run -A --quiet "$1" run img | head -1; echo "\${PIPESTATUS[0]}"`, Deno.execPath(), main],
    env: { NYXD_SOCKET: daemon.socket, HOME: daemon.dir },
  }).output();
  assert.equal(new TextDecoder().decode(stdout), "y\n141\n");
  assert.equal(new TextDecoder().decode(stderr), "");
});

Deno.test("nyx exec: code, environment and user; 127 from a refusal that carries it", async () => {
  let seen: Record<string, unknown> = {};
  await using daemon = fakeDaemon({
    "POST /v1/containers/web/exec": (request) =>
      framed(request, (stream) => {
        seen = stream.request;
        stream.stdout("hi\n");
        stream.event({ event: "exit", exitCode: 3, oomKilled: false });
        return Promise.resolve();
      }),
    "POST /v1/containers/gone/exec": () =>
      refusal({ code: "not_found", message: 'Cannot run "nope": no such file', context: { exitCode: 127 } }),
  });
  const done = await cli(daemon, ["exec", "-e", "A=1", "-u", "root", "-w", "/tmp", "web", "sh", "-c", "exit 3"]);
  assert.deepEqual(done, { code: 3, stdout: "hi\n", stderr: "" });
  assert.deepEqual(seen, {
    argv: ["sh", "-c", "exit 3"],
    tty: false,
    stdin: false,
    env: ["A=1"],
    user: "root",
    workingDir: "/tmp",
    detach: false,
  });
  const failed = await cli(daemon, ["exec", "gone", "nope"]);
  assert.deepEqual(failed, { code: 127, stdout: "", stderr: 'nyx: Cannot run "nope": no such file\n' });
});
