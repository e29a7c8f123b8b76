/** Tries to break out of the bundle worker's permissions. */

import assert from "node:assert/strict";
import { bundlePermissions } from "../../workers/bundle/permissions.ts";
import { done, tryConfined } from "../support/confined.ts";
import { BundleFixture } from "./bundle_fixture.ts";

Deno.test("bundle worker: reading, writing, running, ffi, network, environment and modules outside are refused", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-bundle-" });
  const bundles = `${dir}/bundles`;
  Deno.mkdirSync(bundles);
  try {
    const results = await tryConfined(bundlePermissions(bundles), {
      "own file": `Deno.writeTextFileSync(${JSON.stringify(`${bundles}/mine`)}, "x")`,
      "read /etc/shadow": `Deno.readTextFileSync("/etc/shadow")`,
      "read /proc": `Deno.readTextFileSync("/proc/self/environ")`,
      "read through ..": `Deno.readTextFileSync(${JSON.stringify(`${bundles}/../secret`)})`,
      "write elsewhere": `Deno.writeTextFileSync(${JSON.stringify(`${dir}/out`)}, "x")`,
      "rename out": `Deno.renameSync(${JSON.stringify(`${bundles}/mine`)}, ${JSON.stringify(`${dir}/out`)})`,
      // Deno follows links that are there, so that none can be made is what keeps the worker in.
      "make a link out": `Deno.symlinkSync("/etc", ${JSON.stringify(`${bundles}/other`)})`,
      "run": `new Deno.Command("/bin/true").outputSync()`,
      "ffi": `Deno.dlopen("/lib/x86_64-linux-gnu/libc.so.6", { getpid: { parameters: [], result: "i32" } })`,
      "net": `await Deno.connect({ hostname: "127.0.0.1", port: 1 })`,
      "unix socket": `await Deno.connect({ transport: "unix", path: "/run/nyxd/nyxd.sock" })`,
      "fetch": `await fetch("http://127.0.0.1:1/")`,
      "env": `Deno.env.get("HOME")`,
      "hostname": `Deno.hostname()`,
      "import": `await import("data:text/javascript," + encodeURIComponent('import "file:///etc/passwd"'))`,
      "a worker with more": `await new Promise((ok, no) => { const w = new Worker("data:text/javascript,postMessage(1)",
        { type: "module", deno: { permissions: { read: true } } }); w.onmessage = ok; w.onerror = no; })`,
      "asking for more":
        `if ((await Deno.permissions.request({ name: "run" })).state !== "granted") throw new RangeError()`,
    });
    assert.deepEqual(done(results), ["own file"]);
    assert.equal(results["read /etc/shadow"], "NotCapable");
    assert.equal(results["ffi"], "NotCapable");
    assert.equal(results["run"], "NotCapable");
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("bundle.generate: a bundle directory outside the bundles directory is refused", async () => {
  using f = new BundleFixture();
  const request = { ...f.request({ args: ["true"] }), bundleDir: `${f.dir}/elsewhere` };
  await assert.rejects(f.host.call("generate", request), (e: { code?: string }) => e.code === "permission_denied");
  await assert.rejects(f.host.call("generate", { ...request, bundleDir: `${f.bundles}/../x` }), /Invalid bundleDir/);
});
