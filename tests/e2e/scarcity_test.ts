/** What nyxd does when the host has too little of something: a clear error, and nothing lost. */

import assert from "node:assert/strict";
import { type Nyxd, nyxdCommand, startNyxd } from "../support/daemon.ts";
import { untilTrue } from "../support/truth.ts";
import { startWorld } from "../support/world.ts";

async function sh(script: string): Promise<void> {
  const { success, stderr } = await new Deno.Command("sh", { args: ["-c", script] }).output();
  if (!success) throw new Error(`${script}: ${new TextDecoder().decode(stderr)}`);
}

Deno.test("500 file descriptors and 60 containers: what does not fit is refused in words, nyxd and the others live on", async () => {
  await using world = await startWorld({ descriptors: 500 });
  const { nyxd, image } = world;
  const results = [];
  for (let i = 0; i < 60; i += 6) {
    const some = Array.from({ length: 6 }, () => nyxd.client.containers.run({ image, args: ["sleep", "1000"] }));
    results.push(...await Promise.allSettled(some));
  }
  const refused = results.filter((r) => r.status === "rejected").map((r) => String(r.reason?.message));
  for (const message of refused) assert.match(message, /500 file descriptors.*LimitNOFILE/);
  assert.ok(refused.length > 0, "the limit was met");
  assert.equal(await nyxd.client.system.ping(), true);
  for (const c of await nyxd.client.containers.list({ all: true })) {
    if (c.status !== "running") await nyxd.client.containers.remove(c.id, { force: true });
  }
  assert.deepEqual(await untilTrue(nyxd), []);
  await clear(nyxd);
  const { id } = await nyxd.client.containers.run({ image, args: ["true"] });
  assert.equal((await nyxd.client.containers.wait(id)).exitCode, 0);
});

Deno.test("clients that leave in the middle of an exec or of an attachment cost nyxd no file descriptor", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const { containers } = nyxd.client;
  const { id } = await containers.run({ image, args: ["sleep", "1000"] });
  const sockets = () =>
    [...Deno.readDirSync(`/proc/${nyxd.pid}/fd`)].filter(({ name }) => {
      try {
        return Deno.readLinkSync(`/proc/${nyxd.pid}/fd/${name}`).startsWith("socket:");
      } catch {
        return false;
      }
    }).length;
  const before = sockets();
  for (let i = 0; i < 15; i++) {
    (await containers.exec(id, { argv: ["echo", "x"] })).close();
    (await containers.exec(id, { argv: ["sleep", "0.2"], stdin: true })).close();
    (await containers.attach(id, { stdin: true, stdout: true, stderr: true })).close();
  }
  let after = 0;
  for (const end = Date.now() + 8000; Date.now() < end; await new Promise((r) => setTimeout(r, 100))) {
    after = sockets();
    if (after <= before + 5) break;
  }
  // The client keeps some connections for its next requests.
  assert.ok(after <= before + 5, `${before} sockets before, ${after} after 45 clients`);
});

async function clear(nyxd: Nyxd): Promise<void> {
  const all = await nyxd.client.containers.list({ all: true });
  await Promise.all(all.map((c) => nyxd.client.containers.remove(c.id, { force: true })));
}

Deno.test("a full disk: starting and logging fail in words, the state stays true, and with room again all goes on", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-full-" });
  await sh(`mount -t tmpfs -o size=600m tmpfs ${dir}`);
  try {
    await using world = await startWorld({ parentDir: dir });
    const { nyxd, image } = world;
    const kept = await nyxd.client.containers.run({ image, args: ["sleep", "1000"] });
    await sh(`head -c 700M /dev/zero > ${dir}/filler 2>/dev/null; true`);
    await assert.rejects(nyxd.client.containers.run({ image, args: ["true"] }), (e: Error) => {
      assert.match(e.message, /no space|ENOSPC|disk is full/i);
      return true;
    });
    assert.equal((await nyxd.client.containers.inspect(kept.id)).state.status, "running");
    await nyxd.stop("SIGKILL");
    Deno.removeSync(`${dir}/filler`);
    await using next = await startNyxd({ baseDir: nyxd.baseDir, slot: nyxd.slot });
    assert.equal((await next.client.containers.inspect(kept.id)).state.status, "running");
    const { id } = await next.client.containers.run({ image, args: ["true"] });
    assert.equal((await next.client.containers.wait(id)).exitCode, 0);
    await clear(next);
    assert.deepEqual(await untilTrue(next), []);
  } finally {
    await sh(`umount -l ${dir}`);
    Deno.removeSync(dir);
  }
});

Deno.test("a read-only base directory: nyxd says so and ends with 1, and leaves nothing behind", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-ro-" });
  await sh(`mount -t tmpfs tmpfs ${dir} && mkdir ${dir}/base && mount -o remount,ro ${dir}`);
  try {
    const args = nyxdCommand({ baseDir: `${dir}/base`, socket: "/tmp/nyx-ro-none/nyxd.sock" }, ["--bridge=nyxtro"]);
    const { code, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
    assert.equal(code, 1);
    assert.match(new TextDecoder().decode(stderr), /nyxd: .*read-only/i);
  } finally {
    await sh(`umount -l ${dir}`);
    Deno.removeSync(dir);
  }
});

Deno.test("a runtime that hangs: its container can be stopped and removed, others go on meanwhile, and nothing is left", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-hang-" });
  try {
    const crun = `${dir}/crun`;
    // Hangs at `run` of a container in whose bundle somebody has put a mark.
    const script =
      '#!/bin/sh\nfor a; do case "$a" in --bundle=*) grep -q HANG=1 "${a#--bundle=}/config.json" && exec sleep 1000;; esac; done\n' +
      'exec /usr/bin/crun "$@"\n';
    Deno.writeTextFileSync(crun, script, { mode: 0o755 });
    await using world = await startWorld({ args: [`--crun=${crun}`] });
    const { nyxd, image } = world;
    const { containers } = nyxd.client;
    const hangs = async (name: string) => {
      const { id } = await containers.create({ image, name, args: ["sleep", "1000"], env: ["HANG=1"] });
      const started = containers.start(id).then(() => undefined, (e: Error) => e);
      while ((await containers.inspect(id)).state.status !== "starting") await new Promise((r) => setTimeout(r, 10));
      return { id, started };
    };
    const one = await hangs("one");
    const other = await containers.run({ image, args: ["true"] });
    assert.equal((await containers.wait(other.id)).exitCode, 0, "another container is not delayed");
    await containers.stop(one.id, { timeoutS: 0 });
    assert.match((await one.started)?.message ?? "", /Could not start container "one"/);
    assert.equal((await containers.inspect(one.id)).state.status, "exited");
    const two = await hangs("two");
    await containers.remove(two.id, { force: true });
    await two.started;
    await assert.rejects(containers.inspect(two.id), { code: "not_found" });
    assert.deepEqual(await untilTrue(nyxd), []);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
