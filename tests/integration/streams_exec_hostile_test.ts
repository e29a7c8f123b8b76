/** Execs of programs that mean harm to nyxd or to other processes of the host. */

import assert from "node:assert/strict";
import { ociProcess, StreamsFixture } from "../support/streams_fixture.ts";

const LAST_PID = "/proc/sys/kernel/ns_last_pid";

/** Starts sleeps until one has this pid, as a process of somebody else's might; undefined when the number is taken. */
async function processWithPid(pid: number): Promise<Deno.ChildProcess | undefined> {
  for (let attempt = 0; attempt < 50; attempt++) {
    Deno.writeTextFileSync(LAST_PID, String(pid - 1));
    const child = new Deno.Command("sleep", { args: ["60"] }).spawn();
    if (child.pid === pid) return child;
    child.kill("SIGKILL");
    await child.status;
  }
  return undefined;
}

Deno.test("streams.kill: an exec leaves a writer behind and ends, so that a late KILL hits whoever has its pid by then; it hits nobody, and the exec ends", async () => {
  await using t = await StreamsFixture.create();
  const { id } = await t.launch(["/bin/sleep", "100"]);
  const running = Promise.withResolvers<number>();
  const script = "while :; do echo noise; sleep 0.02; done & exit 5";
  const out = t.receive();
  const done = t.host.call("exec", {
    id,
    execId: "lingers",
    process: ociProcess(["/bin/sh", "-c", script]),
    tty: false,
    stdin: false,
    detach: false,
    port: out.port,
  }, { transfer: [out.port], onProgress: (p) => running.resolve(p.pid) });
  void out.frames.catch(() => {});
  const pid = await running.promise;
  await new Promise((r) => setTimeout(r, 300));
  const victim = await processWithPid(pid);
  assert.ok(victim !== undefined, "no process got the pid of the exec");
  try {
    await t.host.call("kill", { id: "lingers", signal: "KILL", all: false });
    const first = await Promise.race([
      victim.status.then(() => "victim"),
      done.then(() => "exec"),
      new Promise<string>((r) => setTimeout(() => r("nothing"), 2000)),
    ]);
    assert.equal(first, "exec");
    assert.equal((await done).exit?.code, 5);
  } finally {
    try {
      victim.kill("SIGKILL");
    } catch {
      // It was killed: the test has failed.
    }
    await victim.status;
  }
});
