import assert from "node:assert/strict";
import { DEFAULT_PATH, parseSignal, resolveArgv, resolveCwd, resolveEnv } from "./process.ts";

const IMAGE = { Entrypoint: ["/entry"], Cmd: ["serve"] };

Deno.test("resolveArgv: Docker's table of ENTRYPOINT, CMD and overrides", () => {
  assert.deepEqual(resolveArgv({}, IMAGE), ["/entry", "serve"]);
  assert.deepEqual(resolveArgv({ args: ["x"] }, IMAGE), ["/entry", "x"]);
  assert.deepEqual(resolveArgv({ args: [] }, IMAGE), ["/entry", "serve"]);
  assert.deepEqual(resolveArgv({ entrypoint: ["/other"] }, IMAGE), ["/other"]);
  assert.deepEqual(resolveArgv({ entrypoint: ["/other"], args: ["y"] }, IMAGE), ["/other", "y"]);
  assert.deepEqual(resolveArgv({ entrypoint: [], args: ["sh"] }, IMAGE), ["sh"]);
  assert.deepEqual(resolveArgv({}, { Cmd: ["a"] }), ["a"]);
});

Deno.test("resolveArgv: nothing to run is refused; --init goes in front", () => {
  assert.throws(() => resolveArgv({}, {}), /no ENTRYPOINT or CMD/);
  assert.throws(() => resolveArgv({ entrypoint: [] }, IMAGE), /no ENTRYPOINT or CMD/);
  assert.deepEqual(resolveArgv({ init: true, args: ["a"] }, {}), ["/sbin/docker-init", "--", "a"]);
  assert.throws(() => resolveArgv({ args: ["a\0b"] }, {}), /NUL/);
});

const env = (image: string[], user: string[], tty = false) =>
  resolveEnv({ image, user, hostname: "box", tty, home: "/root" });

Deno.test("resolveEnv: defaults, image, user, in this order, and HOME last", () => {
  assert.deepEqual(env(["A=1", "B=2"], ["B=3", "C="]), [
    `PATH=${DEFAULT_PATH}`,
    "HOSTNAME=box",
    "A=1",
    "B=3",
    "C=",
    "HOME=/root",
  ]);
  assert.ok(env([], [], true).includes("TERM=xterm"));
  assert.ok(env(["PATH=/x"], []).includes("PATH=/x"));
  assert.ok(env([], ["HOME=/h"]).includes("HOME=/h"));
});

Deno.test("resolveEnv: KEY alone removes; values keep their =", () => {
  const out = env(["A=1"], ["A", "PATH", "X=a=b"]);
  assert.ok(!out.some((e) => e.startsWith("A=") || e.startsWith("PATH=")));
  assert.ok(out.includes("X=a=b"));
  assert.throws(() => env([], ["=x"]), /Invalid env/);
  assert.throws(() => env([], ["A=\0"]), /NUL/);
});

Deno.test("resolveCwd: user, image, root; relative is refused", () => {
  assert.equal(resolveCwd(undefined, "/srv"), "/srv");
  assert.equal(resolveCwd("/a", "/srv"), "/a");
  assert.equal(resolveCwd("", ""), "/");
  assert.throws(() => resolveCwd("a", undefined), /Invalid workingDir/);
});

Deno.test("parseSignal: one spelling for names, numbers and real-time signals", () => {
  const parse = (text: string) => parseSignal("stopSignal", text);
  for (const text of ["TERM", "SIGTERM", "sigterm", "15"]) assert.equal(parse(text), "SIGTERM");
  assert.equal(parse("9"), "SIGKILL");
  assert.equal(parse("SIGPOLL"), "SIGIO");
  assert.equal(parse("SIGRTMIN+3"), "37");
  assert.equal(parse("RTMAX-1"), "63");
  assert.equal(parse("31"), "SIGSYS");
  for (const text of ["", "0", "65", "32", "NOPE", "RTMIN-1", "RTMAX+1", "-1"]) assert.throws(() => parse(text), text);
});
