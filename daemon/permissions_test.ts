import assert from "node:assert/strict";
import { LIBRARIES, nyxdPermissions } from "./permissions.ts";

const root = new URL("../", import.meta.url);

Deno.test("nyxdPermissions: deno.json's nyxd task is this list, and nothing is granted whole but the network", () => {
  const { tasks } = JSON.parse(Deno.readTextFileSync(new URL("deno.json", root)));
  const flags = nyxdPermissions({
    baseDir: "/var/lib/nyxd",
    socket: "/run/nyxd/nyxd.sock",
    crun: "/usr/bin/crun",
    sourceDir: ".",
  }).map((f) => f.flag);
  const command: string = tasks.nyxd.command;
  assert.deepEqual(command.split(" ").filter((w) => w.startsWith("--allow")), flags);
  assert.deepEqual(flags.filter((f) => !f.includes("=")), ["--allow-net"]);
  assert.ok(!/ -A\b|--allow-all/.test(command));
});

Deno.test("nyxdPermissions: every flag has its reason", () => {
  for (const { flag, reason } of nyxdPermissions({ baseDir: "/b", socket: "/s/x", crun: "/c" })) {
    assert.ok(reason.length > 10, flag);
  }
});

Deno.test("LIBRARIES: every library that ffi opens on this machine is granted", async () => {
  const opened: string[] = [];
  for await (const path of sources(new URL("ffi/", root))) {
    if (path.pathname.endsWith("_test.ts")) continue;
    for (const [, name] of Deno.readTextFileSync(path).matchAll(/\/(lib[a-z]+\.so\.\d)/g)) if (name) opened.push(name);
  }
  assert.ok(opened.length >= 4);
  for (const name of opened) assert.ok(LIBRARIES.some((l) => l.includes(`/${name}`)), name);
});

async function* sources(dir: URL): AsyncGenerator<URL> {
  for await (const entry of Deno.readDir(dir)) {
    if (entry.isDirectory) yield* sources(new URL(`${entry.name}/`, dir));
    else if (entry.name.endsWith(".ts")) yield new URL(entry.name, dir);
  }
}
