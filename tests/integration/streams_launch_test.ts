/** Launch, exit codes, stdio, kill, delete of containers under their monitors, on the real kernel and crun. */

import assert from "node:assert/strict";
import { NyxError } from "../../daemon/spec/errors.ts";
import { cgroupLayout, StreamsFixture, uniqueId } from "../support/streams_fixture.ts";

const exists = (path: string): boolean => {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
};

Deno.test("streams.launch: runs, logs both streams, reports the exit code, and leaves nothing after acknowledge", async () => {
  await using t = await StreamsFixture.create();
  const { id, pid } = await t.launch("echo out; echo err >&2; exit 7");
  assert.ok(pid > 0);
  const { exit } = await t.exit(id);
  assert.equal(exit.code, 7);
  assert.equal(exit.error, undefined);
  assert.match(exit.finishedAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
  const log = await t.readLog(id);
  assert.deepEqual(log.text.split("\n").sort(), ["", "err", "out"]);
  const record = JSON.parse(Deno.readTextFileSync(`${t.baseDir}/logs/${id}.log`).split("\n")[0] ?? "");
  assert.equal(record.container_id, id);
  await t.host.call("acknowledge", { id });
  assert.ok(!exists(`${t.baseDir}/run/monitor/${id}`));
});

Deno.test("streams.launch: a missing executable fails with 127, a non-executable with 126, crun's message in the error", async () => {
  await using t = await StreamsFixture.create();
  for (const [args, code, text] of [[["/bin/nope"], 127, /not found/], [["/tmp"], 126, /./]] as const) {
    const id = uniqueId();
    const bundleDir = t.bundle(id, [...args]);
    const failed = await t.host.call("launch", { id, bundleDir, tty: false, stdin: false, log: {} }).then(
      () => undefined,
      (e: unknown) => e,
    );
    assert.ok(failed instanceof NyxError);
    assert.equal(failed.details.context?.exitCode, code);
    assert.match(failed.message, text);
    assert.ok(!exists(`${t.baseDir}/run/monitor/${id}`));
  }
});

Deno.test("streams.launch: an unreadable bundle fails with 125", async () => {
  await using t = await StreamsFixture.create();
  const id = uniqueId();
  const launch = t.host.call("launch", { id, bundleDir: `${t.baseDir}/none`, tty: false, stdin: false, log: {} });
  await assert.rejects(launch, (e: NyxError) => e.details.context?.exitCode === 125);
});

Deno.test("streams.launch: an exec format error after the start is exit 126 with an error", async () => {
  await using t = await StreamsFixture.create();
  Deno.writeTextFileSync(`${t.baseDir}/rootfs/tmp/bad`, "garbage", { mode: 0o755 });
  const { id } = await t.launch(["/tmp/bad"]);
  const { exit } = await t.exit(id);
  assert.equal(exit.code, 126);
  assert.match(exit.error ?? "", /Exec format error/);
});

Deno.test("streams.kill: a signal ends the container with 128 + its number; SIGHUP alone is only a signal", async () => {
  await using t = await StreamsFixture.create();
  const trapping = await t.launch("trap 'echo hup' HUP; trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done");
  while ((await t.readLog(trapping.id)).lines === 0) await new Promise((r) => setTimeout(r, 10));
  await t.host.call("kill", { id: trapping.id, signal: "HUP", all: false });
  await new Promise((r) => setTimeout(r, 200));
  await t.host.call("kill", { id: trapping.id, signal: "SIGTERM", all: false });
  assert.equal((await t.exit(trapping.id)).exit.code, 3);
  assert.equal((await t.readLog(trapping.id)).text, "ready\nhup\n");
  const killed = await t.launch(["/bin/sleep", "100"]);
  await t.host.call("kill", { id: killed.id, signal: "9", all: true });
  assert.equal((await t.exit(killed.id)).exit.code, 137);
  await assert.rejects(t.host.call("kill", { id: killed.id, signal: "TERM", all: false }), {
    code: "failed_precondition",
  });
});

Deno.test("streams.delete: kills a running container, and is idempotent", async () => {
  await using t = await StreamsFixture.create();
  const { id, pid } = await t.launch(["/bin/sleep", "100"]);
  assert.ok((await t.host.call("list", {})).some((c) => c.id === id && c.pid === pid && c.status === "running"));
  await t.host.call("delete", { id });
  await t.host.call("delete", { id });
  assert.ok(!exists(`/proc/${pid}`));
  assert.ok(!exists(`${t.baseDir}/run/monitor/${id}`));
  assert.ok(!(await t.host.call("list", {})).some((c) => c.id === id));
});

Deno.test("streams.stdin: bytes arrive exactly, closeStdin is end of file, stdin stays open until then", async () => {
  await using t = await StreamsFixture.create();
  const id = uniqueId();
  const attached = t.receive();
  const attach = t.host.call("attach", { id, port: attached.port, stdout: true, stderr: true }, {
    transfer: [attached.port],
  });
  await t.launch(["/bin/cat"], { id, stdin: true });
  const bytes = crypto.getRandomValues(new Uint8Array(60_000));
  const all = new Uint8Array(bytes.length * 10);
  for (let i = 0; i < 10; i++) {
    await t.host.call("stdin", { id, bytes: bytes.slice() });
    all.set(bytes, i * bytes.length);
  }
  assert.equal(t.events.length, 0);
  await t.host.call("closeStdin", { id });
  assert.equal((await t.exit(id)).exit.code, 0);
  assert.deepEqual(await attach, { reason: "exited" });
  assert.deepEqual((await attached.frames).stdout, all);
});

Deno.test("streams.attach: in place before launch it gets every byte; several at once get the same; cancel detaches", async () => {
  await using t = await StreamsFixture.create();
  const id = uniqueId();
  const early = t.receive();
  const early2 = t.receive();
  const leaver = t.receive();
  const calls = [early, early2].map((a) =>
    t.host.call("attach", { id, port: a.port, stdout: true, stderr: true }, { transfer: [a.port] })
  );
  const left = t.host.call("attach", { id, port: leaver.port, stdout: true, stderr: true }, {
    transfer: [leaver.port],
  });
  await t.launch("seq 1 50000; printf 'no newline' >&2", { id });
  leaver.cancel();
  await t.exit(id);
  const expected = Array.from({ length: 50000 }, (_, i) => `${i + 1}\n`).join("");
  for (const a of [early, early2]) {
    const { stdout, stderr } = await a.frames;
    assert.equal(new TextDecoder().decode(stdout), expected);
    assert.equal(new TextDecoder().decode(stderr), "no newline");
  }
  for (const c of calls) assert.deepEqual(await c, { reason: "exited" });
  assert.ok(["detached", "exited"].includes((await left).reason));
});

Deno.test("streams.launch: killed for memory, oomKilled is true and an oom event is sent", async () => {
  await using t = await StreamsFixture.create();
  const { id } = await t.launch("x=$(yes | tr -d '\\n' | head -c 100000000); echo $x | wc -c", {
    memoryBytes: 8 << 20,
  });
  const { exit } = await t.exit(id);
  assert.equal(exit.oomKilled, true, JSON.stringify(exit));
  assert.ok(t.events.some((e) => e.kind === "oom" && e.id === id));
});

Deno.test("streams.kill: a container with a memory limit that nyxd killed did not run out of memory", async () => {
  await using t = await StreamsFixture.create();
  const { id } = await t.launch("sleep 100", { memoryBytes: 64 << 20 });
  await t.host.call("kill", { id, signal: "KILL", all: true });
  const { exit } = await t.exit(id);
  assert.deepEqual([exit.code, exit.oomKilled], [137, false]);
  assert.ok(!t.events.some((e) => e.kind === "oom"));
});

Deno.test("streams.pause: a paused container stands still until resumed", async () => {
  await using t = await StreamsFixture.create();
  const { id } = await t.launch("i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done");
  await new Promise((r) => setTimeout(r, 150));
  await t.host.call("pause", { id });
  await new Promise((r) => setTimeout(r, 50));
  const before = (await t.readLog(id)).lines;
  await new Promise((r) => setTimeout(r, 150));
  assert.equal((await t.readLog(id)).lines, before);
  await t.host.call("resume", { id });
  await new Promise((r) => setTimeout(r, 150));
  assert.ok((await t.readLog(id)).lines > before);
});

Deno.test("streams.delete: a paused container is deleted too", async () => {
  await using t = await StreamsFixture.create();
  const { id, pid } = await t.launch(["/bin/sleep", "100"]);
  await t.host.call("pause", { id });
  await t.host.call("delete", { id });
  assert.ok(!exists(`/proc/${pid}`));
  assert.deepEqual(await t.host.call("list", {}), []);
});

/** What lies below the place of the hidden v2 hierarchy, as threads with a mount namespace of their own see it. */
function belowHidden(id: string): string[] {
  const own = Deno.readLinkSync("/proc/self/ns/mnt");
  const found: string[] = [];
  for (const { name } of Deno.readDirSync("/proc/self/task")) {
    const task = `/proc/self/task/${name}`;
    if (Deno.readLinkSync(`${task}/ns/mnt`) === own) continue;
    const walk = (dir: string) => {
      for (const entry of Deno.readDirSync(dir)) {
        if (entry.name === id) found.push(`${dir}/${entry.name}`);
        else if (entry.isDirectory) walk(`${dir}/${entry.name}`);
      }
    };
    walk(`${task}/root/sys/fs/cgroup/unified`);
  }
  return found;
}

Deno.test({
  name:
    "streams.delete: on a host with both cgroup versions, what crun makes in the place of the hidden one goes with the container",
  ignore: cgroupLayout() !== "hybrid",
  fn: async () => {
    await using t = await StreamsFixture.create();
    const { id } = await t.launch("sleep 100");
    assert.ok(belowHidden(id).length > 0, "crun makes something there");
    await t.host.call("delete", { id });
    assert.deepEqual(belowHidden(id), []);
    const ended = await t.launch("exit 3");
    await t.exit(ended.id);
    await t.host.call("acknowledge", { id: ended.id });
    await t.host.call("delete", { id: ended.id });
    assert.deepEqual(belowHidden(ended.id), []);
  },
});
