/** exec and terminals on the real kernel and crun. */

import assert from "node:assert/strict";
import { ociProcess, StreamsFixture, uniqueId } from "../support/streams_fixture.ts";

interface ExecOptions {
  tty?: boolean;
  stdin?: boolean;
  detach?: boolean;
  size?: { rows: number; cols: number };
}

/** Runs an exec to its end. */
async function exec(t: StreamsFixture, id: string, args: string[], options: ExecOptions = {}) {
  const out = t.receive();
  const result = await t.host.call("exec", {
    id,
    execId: uniqueId().slice(0, 16),
    process: ociProcess(args, options.tty ?? false),
    tty: options.tty ?? false,
    stdin: options.stdin ?? false,
    port: out.port,
    detach: options.detach ?? false,
    ...(options.size === undefined ? {} : { consoleSize: options.size }),
  }, { transfer: [out.port] });
  const { stdout, stderr } = await out.frames;
  return { ...result, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
}

Deno.test("streams.exec: output, exit codes of the program, of signals, of a missing and of a non-executable file", async () => {
  await using t = await StreamsFixture.create();
  const { id } = await t.launch(["/bin/sleep", "100"]);
  const ran = await exec(t, id, ["/bin/sh", "-c", "echo out; echo err >&2; exit 9"]);
  assert.equal(ran.exit?.code, 9);
  assert.equal(ran.stdout, "out\n");
  assert.equal(ran.stderr, "err\n");
  assert.ok(ran.pid > 0);
  assert.equal((await exec(t, id, ["/bin/sh", "-c", "kill -9 $$"])).exit?.code, 137);
  const missing = await exec(t, id, ["/bin/nope"]);
  assert.equal(missing.exit?.code, 127);
  assert.match(missing.exit?.error ?? "", /not found/);
  assert.equal(missing.stderr, "");
  assert.equal((await exec(t, id, ["/tmp"])).exit?.code, 126);
  const big = await exec(t, id, ["/bin/seq", "1", "200000"]);
  assert.equal(big.stdout.length, 1288895);
});

Deno.test("streams.exec: 20 at once run side by side", async () => {
  await using t = await StreamsFixture.create();
  const { id } = await t.launch(["/bin/sleep", "100"]);
  const start = performance.now();
  const all = await Promise.all(
    Array.from({ length: 20 }, (_, i) => exec(t, id, ["/bin/sh", "-c", `sleep 0.5; exit ${i}`])),
  );
  assert.deepEqual(all.map((r) => r.exit?.code), Array.from({ length: 20 }, (_, i) => i));
  assert.ok(performance.now() - start < 5_000);
});

Deno.test("streams.exec: stdin with half-close; a process left in the background does not hold the answer up", async () => {
  await using t = await StreamsFixture.create();
  const { id } = await t.launch(["/bin/sleep", "100"]);
  const out = t.receive();
  const execId = "half-close";
  const done = t.host.call("exec", {
    id,
    execId,
    process: ociProcess(["/bin/wc", "-c"]),
    tty: false,
    stdin: true,
    port: out.port,
    detach: false,
  }, { transfer: [out.port] });
  for (let i = 0; i < 10; i++) await t.host.call("stdin", { id: execId, bytes: new Uint8Array(100_000) });
  await t.host.call("closeStdin", { id: execId });
  assert.equal((await done).exit?.code, 0);
  assert.equal(new TextDecoder().decode((await out.frames).stdout), "1000000\n");
  const left = await exec(t, id, ["/bin/sh", "-c", "sleep 50 & echo gone"]);
  assert.equal(left.stdout, "gone\n");
});

Deno.test("streams.exec: kill ends the process with everything it started; cancel does the same", async () => {
  await using t = await StreamsFixture.create();
  const { id } = await t.launch(["/bin/sleep", "100"]);
  const request = (execId: string) => ({
    id,
    execId,
    process: ociProcess(["/bin/sh", "-c", "sleep 77 & sleep 77; true"]),
    tty: false,
    stdin: false,
    detach: false,
  });
  const running = Promise.withResolvers<number>();
  const done = t.host.call("exec", request("to-kill"), { onProgress: (p) => running.resolve(p.pid) });
  const pid = await running.promise;
  await new Promise((r) => setTimeout(r, 100));
  const children = Deno.readTextFileSync(`/proc/${pid}/task/${pid}/children`).trim().split(" ");
  assert.equal(children.length, 2);
  await t.host.call("kill", { id: "to-kill", signal: "KILL", all: false });
  assert.equal((await done).exit?.code, 137);
  await new Promise((r) => setTimeout(r, 50));
  for (const child of children) assert.throws(() => Deno.statSync(`/proc/${child}/fd/0`));
  const abort = new AbortController();
  const canceled = t.host.call("exec", request("to-cancel"), { signal: abort.signal, onProgress: () => abort.abort() });
  await assert.rejects(canceled, { code: "canceled" });
});

Deno.test("streams.exec: cancelled while crun hangs, crun is killed", async () => {
  await using t = StreamsFixture.bare();
  const slow = `${t.baseDir}/slow-crun`;
  Deno.writeTextFileSync(slow, `#!/bin/sh\ncase "$*" in *" exec "*) sleep 50;; *) exec /usr/bin/crun "$@";; esac\n`, {
    mode: 0o755,
  });
  await t.init({}, slow);
  const { id } = await t.launch(["/bin/sleep", "100"]);
  const request = { id, execId: "hangs", process: ociProcess(["/bin/true"]), tty: false, stdin: false, detach: false };
  await assert.rejects(t.host.call("exec", request, { deadlineMs: 200 }), { code: "deadline_exceeded" });
  const left = await new Deno.Command("pgrep", { args: ["-f", `${t.baseDir}/run/exec/hangs`] }).output();
  assert.equal(new TextDecoder().decode(left.stdout), "");
});

Deno.test("streams.exec: detach answers as soon as it runs", async () => {
  await using t = await StreamsFixture.create();
  const { id } = await t.launch(["/bin/sleep", "100"]);
  const start = performance.now();
  const { pid, exit } = await exec(t, id, ["/bin/sleep", "60"], { detach: true });
  assert.ok(pid > 0 && exit === undefined);
  assert.ok(performance.now() - start < 5_000);
  assert.match(Deno.readTextFileSync(`/proc/${pid}/cmdline`), /sleep/);
});

Deno.test("streams.exec: a terminal has its size, echoes input, and ends with the program's code", async () => {
  await using t = await StreamsFixture.create();
  const { id } = await t.launch(["/bin/sleep", "100"]);
  const sized = await exec(t, id, ["/bin/sh", "-c", "sleep 0.1; stty size"], {
    tty: true,
    size: { rows: 31, cols: 97 },
  });
  assert.equal(sized.stdout, "31 97\r\n");
  const big = await exec(t, id, ["/bin/seq", "1", "20000"], { tty: true });
  assert.equal(big.stdout, Array.from({ length: 20000 }, (_, i) => `${i + 1}\r\n`).join(""));
  const failed = await exec(t, id, ["/bin/nope"], { tty: true });
  assert.equal(failed.exit?.code, 127);
});

Deno.test("streams.launch tty: size, resize, input, exit code; every byte is in the log", async () => {
  await using t = await StreamsFixture.create();
  const id = uniqueId();
  const out = t.receive();
  const attach = t.host.call("attach", { id, port: out.port, stdout: true, stderr: true }, { transfer: [out.port] });
  await t.launch("read a; stty size; read b; stty size; seq 1 20000; exit 5", {
    id,
    tty: true,
    stdin: true,
    size: { rows: 33, cols: 101 },
  });
  const type = (s: string) => t.host.call("stdin", { id, bytes: new TextEncoder().encode(s) });
  await type("one\n");
  await new Promise((r) => setTimeout(r, 100));
  await t.host.call("resize", { id, rows: 20, cols: 60 });
  await type("two\n");
  assert.equal((await t.exit(id)).exit.code, 5);
  assert.deepEqual(await attach, { reason: "exited" });
  const shown = new TextDecoder().decode((await out.frames).stdout);
  const numbers = Array.from({ length: 20000 }, (_, i) => `${i + 1}\r\n`).join("");
  assert.equal(shown, `one\r\n33 101\r\ntwo\r\n20 60\r\n${numbers}`);
  assert.equal((await t.readLog(id)).text, shown);
});
