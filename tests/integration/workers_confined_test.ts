/**
 * What the runtime refuses the workers that hold libc. It is not a sandbox (libc reaches everything), but a wall against
 * mistakes and against a dependency's code: these run as tests of the permission lists that daemon/workers.ts hands out.
 */

import assert from "node:assert/strict";
import { extractPermissions } from "../../workers/extract/permissions.ts";
import { networkPermissions } from "../../workers/network/permissions.ts";
import { done, tryConfined } from "../support/confined.ts";

const LIBC = Deno.build.arch === "aarch64" ? "/lib/aarch64-linux-gnu/libc.so.6" : "/lib/x86_64-linux-gnu/libc.so.6";
const open = (path: string) => `Deno.dlopen(${JSON.stringify(path)}, {}).close()`;

/** Refused to both. */
const REFUSED = {
  "read a file of the host": `Deno.readTextFileSync("/etc/shadow")`,
  "write a file of the host": `Deno.writeTextFileSync("/etc/nyx-test", "x")`,
  "run a program": `new Deno.Command("/bin/true").outputSync()`,
  "load another library": open(LIBC.replace("libc.so.6", "libm.so.6")),
  "load a library by name": open("libc.so.6"),
  "connect": `await Deno.connect({ hostname: "127.0.0.1", port: 1 })`,
  "fetch": `await fetch("http://127.0.0.1:1/")`,
  "listen": `Deno.listen({ hostname: "127.0.0.1", port: 0 })`,
  "environment": `Deno.env.get("HOME")`,
  "host name": `Deno.hostname()`,
  "import a file": `await import("file:///etc/passwd")`,
  "a worker with more": `await new Promise((ok, no) => { const w = new Worker("data:text/javascript,postMessage(1)",
    { type: "module", deno: { permissions: { read: true } } }); w.onmessage = ok; w.onerror = no; })`,
  "asking for more":
    `if ((await Deno.permissions.request({ name: "run" })).state !== "granted") throw new Deno.errors.NotCapable()`,
};

Deno.test("network worker: it may load libc and use its own directories, and the runtime refuses it all else", async () => {
  const baseDir = Deno.makeTempDirSync({ prefix: "nyx-confined-" });
  try {
    Deno.mkdirSync(`${baseDir}/network`);
    const results = await tryConfined(networkPermissions(baseDir), {
      ...REFUSED,
      "read of another part": `Deno.readDirSync(${JSON.stringify(`${baseDir}/images`)}).next()`,
      "write beside its own": `Deno.writeTextFileSync(${JSON.stringify(`${baseDir}/x`)}, "x")`,
      "libc": open(LIBC),
      "own file": `Deno.writeTextFileSync(${JSON.stringify(`${baseDir}/network/x`)}, "x")`,
    });
    assert.deepEqual(done(results), ["libc", "own file"]);
  } finally {
    Deno.removeSync(baseDir, { recursive: true });
  }
});

Deno.test("extract worker: it may load libc and the unpackers, and the runtime refuses it all else", async () => {
  const results = await tryConfined(extractPermissions(), { ...REFUSED, "libc": open(LIBC) });
  assert.deepEqual(done(results), ["libc"]);
});
