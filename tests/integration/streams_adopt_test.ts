/** What outlives a kill -9 of nyxd: containers, their output exactly once, exit codes, terminals, standard input. */

import assert from "node:assert/strict";
import { StreamsFixture, uniqueId } from "../support/streams_fixture.ts";

const OWNER = new URL("../support/streams_owner.ts", import.meta.url).pathname;
const pause = (ms: number) => new Promise((r) => setTimeout(r, ms));

/** What the owner launches. */
interface Spec {
  id: string;
  bundleDir: string;
  tty: boolean;
  stdin: boolean;
  log: { maxSizeBytes?: number; maxFile?: number };
}

/** An owner process. */
interface Owner {
  /** Settles when it is about to launch or adopt. */
  ready: Promise<void>;
  /** The container's pid. */
  pid: Promise<number>;
  kill: () => Promise<void>;
}

/** Starts an owner that launches or adopts. */
function start(t: StreamsFixture, spec: Spec): Owner {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", OWNER, t.baseDir, JSON.stringify(spec)],
    stdout: "piped",
    stderr: "inherit",
    stdin: "null",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const line = async (n: number): Promise<string> => {
    while (text.split("\n").length <= n + 1) {
      const { value } = await reader.read();
      if (value === undefined) return "";
      text += value;
    }
    return text.split("\n")[n] ?? "";
  };
  const ready = line(0).then(() => {});
  return {
    ready,
    pid: ready.then(() => line(1)).then(Number),
    kill: async () => {
      child.kill("SIGKILL");
      await child.status;
      await reader.cancel().catch(() => {});
    },
  };
}

/** An owner whose container runs. */
async function own(t: StreamsFixture, spec: Spec): Promise<Owner> {
  const owner = start(t, spec);
  await owner.pid;
  return owner;
}

function spec(t: StreamsFixture, args: string[], options: Partial<Spec> = {}): Spec {
  const id = uniqueId();
  return {
    id,
    bundleDir: t.bundle(id, args, { tty: options.tty ?? false }),
    tty: false,
    stdin: false,
    log: { maxSizeBytes: 1 << 20, maxFile: 1000 },
    ...options,
  };
}

Deno.test("streams.adopt: a flood over five kill -9 of the owner is in the log exactly once, in order, with its exit code", async () => {
  await using t = StreamsFixture.bare();
  const s = spec(t, [
    "/bin/sh",
    "-c",
    "i=0; while [ $i -lt 60 ]; do seq 1 5000; i=$((i+1)); sleep 0.02; done; exit 42",
  ]);
  for (let i = 0; i < 5; i++) {
    const owner = await own(t, s);
    await pause(120 + i * 37);
    await owner.kill();
    await pause(30);
  }
  await t.init();
  const adopted = await t.host.call("adopt", s);
  const exit = adopted.state === "exited" ? adopted.exit : (await t.exit(s.id, 30_000)).exit;
  assert.equal(exit.code, 42);
  const expected = Array.from({ length: 5000 }, (_, i) => `${i + 1}\n`).join("").repeat(60);
  const log = await t.readLog(s.id);
  assert.equal(log.corrupt, 0);
  assert.equal(log.lines, 300_000);
  assert.ok(log.text === expected, "lines are missing, doubled or out of order");
});

Deno.test("streams.adopt: an exit while nobody watches is reported with its code, output and time", async () => {
  await using t = StreamsFixture.bare();
  const s = spec(t, ["/bin/sh", "-c", "sleep 0.3; echo last words; exit 6"]);
  const owner = await own(t, s);
  await owner.kill();
  await pause(600);
  await t.init();
  const adopted = await t.host.call("adopt", s);
  assert.ok(adopted.state === "exited");
  assert.equal(adopted.exit.code, 6);
  assert.ok(Date.parse(adopted.exit.finishedAt) < Date.now() - 100);
  assert.equal((await t.readLog(s.id)).text, "last words\n");
  await t.host.call("acknowledge", { id: s.id });
  assert.deepEqual(await t.host.call("adopt", s), { state: "gone" });
});

Deno.test("streams.adopt: standard input stays open over kill -9 and closes when asked", async () => {
  await using t = StreamsFixture.bare();
  const s = spec(t, ["/bin/cat"], { stdin: true });
  const owner = await own(t, s);
  await owner.kill();
  await t.init();
  assert.equal((await t.host.call("adopt", s)).state, "running");
  await t.host.call("stdin", { id: s.id, bytes: new TextEncoder().encode("still here\n") });
  await t.host.call("closeStdin", { id: s.id });
  assert.equal((await t.exit(s.id)).exit.code, 0);
  assert.equal((await t.readLog(s.id)).text, "still here\n");
});

Deno.test("streams.adopt: a terminal lives on over kill -9 and is got back, with input and resize", async () => {
  await using t = StreamsFixture.bare();
  const s = spec(t, ["/bin/sh", "-c", "read a; echo got $a; stty size; exit 4"], { stdin: true, tty: true });
  const owner = await own(t, s);
  await pause(50);
  await owner.kill();
  await pause(100);
  await t.init();
  assert.equal((await t.host.call("adopt", s)).state, "running");
  await t.host.call("resize", { id: s.id, rows: 12, cols: 34 });
  await t.host.call("stdin", { id: s.id, bytes: new TextEncoder().encode("x\n") });
  assert.equal((await t.exit(s.id)).exit.code, 4);
  assert.equal((await t.readLog(s.id)).text, "x\r\ngot x\r\n12 34\r\n");
});

Deno.test("streams.adopt: a killed monitor does not end its container; the end is noticed, the code is unknown", async () => {
  await using t = await StreamsFixture.create();
  const { id, pid } = await t.launch("while :; do echo x; sleep 0.05; done");
  const crun = Number(/PPid:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1]);
  const monitor = Number(/PPid:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${crun}/status`))?.[1]);
  assert.match(Deno.readTextFileSync(`/proc/${monitor}/cmdline`), /nyx-monitor/);
  Deno.kill(monitor, "SIGKILL");
  await pause(200);
  assert.equal(t.events.length, 0);
  const before = (await t.readLog(id)).lines;
  await pause(200);
  assert.ok((await t.readLog(id)).lines > before, "output goes on");
  await t.host.call("kill", { id, signal: "KILL", all: false });
  const { exit } = await t.exit(id);
  assert.match(exit.error ?? "", /monitor/);
});

Deno.test("streams.adopt: a killed crun does not end its container", async () => {
  await using t = await StreamsFixture.create();
  const { id, pid } = await t.launch("while :; do echo x; sleep 0.05; done");
  const crun = Number(/PPid:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1]);
  Deno.kill(crun, "SIGKILL");
  await pause(200);
  assert.equal(t.events.length, 0);
  await t.host.call("delete", { id });
  assert.ok(t.events.some((e) => e.kind === "exit"));
});

Deno.test("streams.adopt: a directory of a monitor that is long gone is cleaned", async () => {
  await using t = StreamsFixture.bare();
  const s = spec(t, ["/bin/sleep", "100"]);
  await t.init();
  const dir = `${t.baseDir}/run/monitor/${s.id}`;
  Deno.mkdirSync(dir);
  Deno.writeTextFileSync(`${dir}/pid`, "999999");
  assert.deepEqual(await t.host.call("adopt", s), { state: "gone" });
  assert.throws(() => Deno.statSync(dir));
});

Deno.test("streams.adopt: kill -9 at any moment of a launch leaves a container that runs, one that ended, or nothing", async () => {
  await using t = StreamsFixture.bare();
  const launched: Spec[] = [];
  for (let delay = 0; delay <= 20; delay += 2) {
    const s = spec(t, ["/bin/sh", "-c", "echo up; exec sleep 100"]);
    const owner = start(t, s);
    await owner.ready;
    await pause(delay);
    await owner.kill();
    launched.push(s);
  }
  await t.init();
  const states = new Set<string>();
  for (const s of launched) {
    const adopted = await t.host.call("adopt", s);
    states.add(adopted.state);
    const crun = (await t.host.call("list", {})).find((c) => c.id === s.id);
    assert.equal(adopted.state === "running", crun?.status === "running", `${JSON.stringify(adopted)} ${crun?.status}`);
    if (adopted.state === "running") {
      await pause(20);
      assert.equal((await t.readLog(s.id)).text, "up\n");
    }
    await t.host.call("delete", { id: s.id });
    assert.deepEqual(await t.host.call("adopt", s), { state: "gone" });
  }
  assert.deepEqual(t.monitors(), []);
  assert.ok(states.has("running"));
});

Deno.test("streams.adopt: after the worker alone died, output, standard input and its end work again", async () => {
  await using t = await StreamsFixture.create();
  const { id, bundleDir } = await t.launch(["/bin/cat"], { stdin: true });
  const say = (s: string) => t.host.call("stdin", { id, bytes: new TextEncoder().encode(s) });
  await say("one\n");
  t.restartWorker();
  await pause(100);
  await t.init();
  assert.equal((await t.host.call("adopt", { id, bundleDir, tty: false, stdin: true, log: {} })).state, "running");
  await say("two\n");
  await t.host.call("closeStdin", { id });
  assert.equal((await t.exit(id)).exit.code, 0);
  assert.equal((await t.readLog(id)).text, "one\ntwo\n");
});

Deno.test("streams.launch: cancelled while crun hangs, it kills crun and leaves nothing", async () => {
  await using t = StreamsFixture.bare();
  const slow = `${t.baseDir}/slow-crun`;
  Deno.writeTextFileSync(slow, `#!/bin/sh\ncase "$*" in *" run "*) sleep 50;; *) exec /usr/bin/crun "$@";; esac\n`, {
    mode: 0o755,
  });
  await t.init({}, slow);
  const s = spec(t, ["/bin/true"]);
  const launch = t.host.call("launch", s, { deadlineMs: 300 });
  await assert.rejects(launch, { code: "deadline_exceeded" });
  assert.deepEqual(t.monitors(), []);
  const left = new TextDecoder().decode((await new Deno.Command("pgrep", { args: ["-f", s.id] }).output()).stdout);
  assert.equal(left, "");
});

Deno.test("streams: monitors that wait for a container end with nyxd, killed or shut down", async () => {
  const t = StreamsFixture.bare();
  const waiting = async () => {
    const { stdout } = await new Deno.Command("pgrep", { args: ["-f", `${t.baseDir}/run/monitor`] }).output();
    return new TextDecoder().decode(stdout).trim().split("\n").filter((l) => l !== "").length;
  };
  try {
    const s = spec(t, ["/bin/true"]);
    const owner = await own(t, s);
    await pause(100);
    assert.ok(await waiting() >= 2);
    await owner.kill();
    await pause(100);
    assert.equal(await waiting(), 1, "only the monitor whose exit nobody has acknowledged");
    await t.init();
    await t.host.call("adopt", s);
    await t.host.call("acknowledge", { id: s.id });
    await pause(100);
    assert.equal(await waiting(), 2);
  } finally {
    await t[Symbol.asyncDispose]();
  }
  await pause(50);
  assert.equal(await waiting(), 0);
});
