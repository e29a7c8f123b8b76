import { strict as assert } from "node:assert";
import { pullWorkerPermissions } from "../../workers/pull/permissions.ts";
import { done, tryConfined } from "../support/confined.ts";
import { startTestPullWorker } from "../support/pull_worker.ts";

/** What somebody who has taken the pull worker over would try. Each expression must throw NotCapable. */
const ATTEMPTS: Record<string, string> = {
  "read /etc/shadow": `Deno.readTextFileSync("/etc/shadow")`,
  "read it through ..": `Deno.readTextFileSync(dir + "/../../../../../../etc/shadow")`,
  "read it by fetch": `await (await fetch("file:///etc/shadow")).text()`,
  "read the daemon's environment in /proc": `Deno.readTextFileSync("/proc/self/environ")`,
  "read another process's memory map": `Deno.readTextFileSync("/proc/1/maps")`,
  "list the parent directory": `[...Deno.readDirSync(dir + "/..")]`,
  "write outside": `Deno.writeTextFileSync(dir + "/../nyx-escaped", "x")`,
  "write to cron": `Deno.writeTextFileSync("/etc/cron.d/nyx-escaped", "x")`,
  "make a symbolic link": `Deno.symlinkSync("/etc", dir + "/etc")`,
  "hard-link a file from outside": `Deno.linkSync("/etc/hostname", dir + "/hostname")`,
  "rename a file out": `Deno.renameSync(dir + "/mine", dir + "/../nyx-escaped")`,
  "remove outside": `Deno.removeSync("/etc/hostname")`,
  "change the mode of a file outside": `Deno.chmodSync("/etc/hostname", 0o777)`,
  "run a program": `new Deno.Command("true").outputSync()`,
  "run a program through node": `(await import("node:child_process")).execFileSync("true")`,
  "open libc": `Deno.dlopen("/lib/x86_64-linux-gnu/libc.so.6", {})`,
  "read an environment variable": `Deno.env.get("HOME")`,
  "read the whole environment": `Deno.env.toObject()`,
  "kill init": `Deno.kill(1, "SIGKILL")`,
  "ask who it is": `Deno.uid()`,
  "ask for the host's name": `Deno.hostname()`,
  "import code from a file": `await import("file://" + dir + "/" + "evil.ts")`,
  "import code from the net": `await import("http://127.0.0.1:" + 9 + "/evil.ts")`,
  "start a worker that may more":
    `new Worker("data:application/javascript,", { type: "module", deno: { permissions: "all" } })`,
  "talk to a unix socket of the host": `await Deno.connect({ transport: "unix", path: "/run/dbus/system_bus_socket" })`,
};

/** What it must be able to do, or the attempts prove nothing. */
const ALLOWED: Record<string, string> = {
  "write and read its directory": `Deno.writeTextFileSync(dir + "/ok", "x"); Deno.readTextFileSync(dir + "/ok")`,
  "ask how full the disk is": `(await import("node:fs")).statfsSync(dir).bavail`,
  "ask for more and be denied": `(await Deno.permissions.request({ name: "run" })).state === "denied" || fail()`,
};

Deno.test("pull sandbox: code inside can reach nothing but the network and its directory", async () => {
  const dir = await Deno.makeTempDir({ prefix: "nyx-pull-cage-" });
  try {
    Deno.writeTextFileSync(`${dir}/mine`, "x");
    const permissions = pullWorkerPermissions(dir);
    const prelude = `const dir = ${JSON.stringify(dir)};`;
    const results = await tryConfined(permissions, ATTEMPTS, prelude);
    for (const [title, result] of Object.entries(results)) {
      assert.match(result, /^(NotCapable|TypeError|Error ERR_ACCESS_DENIED)/, title);
      // Modules, fetches and workers tell of a refusal by a TypeError; of all else that would be another reason.
      assert.ok(!result.startsWith("TypeError") || /import|fetch|worker/.test(title), title);
    }
    assert.equal(Object.keys(results).length, Object.keys(ATTEMPTS).length);
    assert.deepEqual(done(await tryConfined(permissions, ALLOWED, prelude)), Object.keys(ALLOWED));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("pull sandbox: the real worker starts and serves under these permissions, and makes its directories private", async () => {
  await using worker = await startTestPullWorker();
  assert.equal(worker.host.pending, 0);
  for (const dir of ["ingest", "blobs/sha256"]) {
    assert.equal(Deno.statSync(`${worker.imagesDir}/${dir}`).mode, 0o040700);
  }
});
