import { strict as assert } from "node:assert";
import { pullWorkerPermissions } from "../../workers/pull/permissions.ts";
import { startTestPullWorker } from "../support/pull_worker.ts";

/** Code of one attempt, and the outcome that counts as held. */
type Attempt = [title: string, code: string];

/** What somebody who has taken the pull worker over would try. Each expression must throw NotCapable. */
const ATTEMPTS: Attempt[] = [
  ["read /etc/shadow", `Deno.readTextFileSync("/etc/shadow")`],
  ["read it through ..", `Deno.readTextFileSync(dir + "/../../../../../../etc/shadow")`],
  ["read it by fetch", `await (await fetch("file:///etc/shadow")).text()`],
  ["read the daemon's environment in /proc", `Deno.readTextFileSync("/proc/self/environ")`],
  ["read another process's memory map", `Deno.readTextFileSync("/proc/1/maps")`],
  ["list the parent directory", `[...Deno.readDirSync(dir + "/..")]`],
  ["write outside", `Deno.writeTextFileSync(dir + "/../nyx-escaped", "x")`],
  ["write to cron", `Deno.writeTextFileSync("/etc/cron.d/nyx-escaped", "x")`],
  ["make a symbolic link", `Deno.symlinkSync("/etc", dir + "/etc")`],
  ["hard-link a file from outside", `Deno.linkSync("/etc/hostname", dir + "/hostname")`],
  ["rename a file out", `Deno.renameSync(dir + "/mine", dir + "/../nyx-escaped")`],
  ["remove outside", `Deno.removeSync("/etc/hostname")`],
  ["change the mode of a file outside", `Deno.chmodSync("/etc/hostname", 0o777)`],
  ["run a program", `new Deno.Command("true").outputSync()`],
  ["run a program through node", `(await import("node:child_process")).execFileSync("true")`],
  ["open libc", `Deno.dlopen("/lib/x86_64-linux-gnu/libc.so.6", {})`],
  ["read an environment variable", `Deno.env.get("HOME")`],
  ["read the whole environment", `Deno.env.toObject()`],
  ["kill init", `Deno.kill(1, "SIGKILL")`],
  ["ask who it is", `Deno.uid()`],
  ["ask for the host's name", `Deno.hostname()`],
  ["import code from a file", `await import("file://" + dir + "/" + "evil.ts")`],
  ["import code from the net", `await import("http://127.0.0.1:" + 9 + "/evil.ts")`],
  [
    "start a worker that may more",
    `new Worker("data:application/javascript,", { type: "module", deno: { permissions: "all" } })`,
  ],
  [
    "talk to a unix socket of the host",
    `await Deno.connect({ transport: "unix", path: "/run/dbus/system_bus_socket" })`,
  ],
];

/** What it must be able to do, or the attempts prove nothing. */
const ALLOWED: Attempt[] = [
  ["write and read its directory", `Deno.writeTextFileSync(dir + "/ok", "x"); Deno.readTextFileSync(dir + "/ok")`],
  ["ask how full the disk is", `(await import("node:fs")).statfsSync(dir).bavail`],
  ["ask for more and be denied", `(await Deno.permissions.request({ name: "run" })).state === "denied" || fail()`],
];

/** Runs code in a worker with exactly the pull worker's permissions and gives the name of what each piece threw. */
async function runConfined(dir: string, attempts: Attempt[]): Promise<string[]> {
  const pieces = attempts.map(([, code]) => `async () => { ${code} }`);
  const source = `
    const dir = ${JSON.stringify(dir)};
    const names = [];
    for (const attempt of [${pieces.join(",")}]) {
      try { await attempt(); names.push("succeeded"); } catch (e) { names.push(e.name + (e.code ? " " + e.code : "")); }
    }
    postMessage(names);`;
  const worker = new Worker(`data:application/javascript,${encodeURIComponent(source)}`, {
    type: "module",
    deno: { permissions: pullWorkerPermissions(dir) },
  });
  try {
    return await new Promise((resolve, reject) => {
      worker.onmessage = (e) => resolve(e.data);
      worker.onerror = (e) => {
        e.preventDefault();
        reject(new Error(e.message));
      };
    });
  } finally {
    worker.terminate();
  }
}

Deno.test("pull sandbox: code inside can reach nothing but the network and its directory", async () => {
  const dir = await Deno.makeTempDir({ prefix: "nyx-pull-cage-" });
  try {
    Deno.writeTextFileSync(`${dir}/mine`, "x");
    const names = await runConfined(dir, ATTEMPTS);
    ATTEMPTS.forEach(([title], i) => {
      assert.match(names[i] ?? "", /^(NotCapable|TypeError|Error ERR_ACCESS_DENIED)/, `${title}: ${names[i]}`);
      assert.notEqual(names[i], "succeeded", title);
    });
    const capable = ATTEMPTS.filter((_, i) => names[i]?.startsWith("TypeError")).map(([title]) => title);
    assert.deepEqual(
      capable.filter((t) => !/import|fetch|worker/.test(t)),
      [],
      "refused for another reason than permission",
    );
    assert.deepEqual(await runConfined(dir, ALLOWED), ALLOWED.map(() => "succeeded"));
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
