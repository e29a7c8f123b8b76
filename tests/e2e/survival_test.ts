import assert from "node:assert/strict";
import { nyxdCommand, startNyxd } from "../support/daemon.ts";
import { startWorld } from "../support/world.ts";

/** Starts nyxd again on the base directory of one that is gone. */
async function again(before: { baseDir: string; slot: number }) {
  return await startNyxd({ baseDir: before.baseDir, slot: before.slot });
}

async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 200; i++) {
    if (await check()) return;
    await new Promise((r) => setTimeout(r, 25));
  }
  assert.fail(`${what} did not happen within 5 s`);
}

const COUNT = 'i=0; while [ $i -lt 1000 ]; do i=$((i+1)); echo "line $i"; usleep 5000; done; exit 9';

Deno.test("kill -9 of nyxd: a chatty container runs on, its lines are all there in order, its exit code is right", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const { id } = await nyxd.client.containers.run({ image, args: ["sh", "-c", COUNT] });
  await new Promise((r) => setTimeout(r, 500));
  await nyxd.stop("SIGKILL");
  await new Promise((r) => setTimeout(r, 700));
  await using next = await again(nyxd);
  assert.equal((await next.client.containers.inspect(id)).state.status, "running");
  assert.equal((await next.client.containers.wait(id)).exitCode, 9);
  let text = "";
  for await (const b of next.client.containers.logs(id)) text += new TextDecoder().decode(b);
  assert.deepEqual(text.trim().split("\n"), Array.from({ length: 1000 }, (_, i) => `line ${i + 1}`));
});

Deno.test("kill -9 of nyxd: a container that ends meanwhile has its exit code, and its address is free again", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const { id } = await nyxd.client.containers.run({
    image,
    args: ["sh", "-c", "echo last words; usleep 600000; exit 33"],
  });
  await nyxd.stop("SIGKILL");
  await new Promise((r) => setTimeout(r, 1000));
  await using next = await again(nyxd);
  const { state } = await next.client.containers.inspect(id);
  assert.deepEqual([state.status, state.exit_code], ["exited", 33]);
  let text = "";
  for await (const b of next.client.containers.logs(id)) text += new TextDecoder().decode(b);
  assert.equal(text, "last words\n");
});

Deno.test("SIGTERM leaves containers running, and published ports answer while nyxd is away", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  using socket = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const hostPort = socket.addr.port;
  socket.close();
  const publish = [{ hostIp: "127.0.0.1", hostPort, containerPort: 80 }];
  const { id } = await nyxd.client.containers.run({
    image,
    publish,
    args: ["sh", "-c", "echo ok > /tmp/i; exec httpd -f -p 80 -h /tmp"],
  });
  const get = async () => await (await fetch(`http://127.0.0.1:${hostPort}/i`)).text();
  await until("the server", () => get().then((t) => t === "ok\n", () => false));
  assert.equal(await nyxd.stop("SIGTERM"), 0);
  assert.equal(await get(), "ok\n");
  await using next = await again(nyxd);
  assert.equal(await get(), "ok\n");
  const exec = await next.nyx(["exec", id, "sh", "-c", "echo inside; exit 4"]);
  assert.deepEqual([exec.code, exec.stdout], [4, "inside\n"]);
  await next.client.containers.stop(id, { timeoutS: 0 });
  await assert.rejects(get());
});

Deno.test("restart policies: counts survive nyxd, on-failure:N gives up, a user's stop is final", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const run = (restart: { name: "always" | "on-failure" | "unless-stopped"; maxRetries?: number }, script: string) =>
    nyxd.client.containers.run({ image, restart, args: ["sh", "-c", script] });
  const gaveUp = await run({ name: "on-failure", maxRetries: 2 }, "exit 3");
  const well = await run({ name: "on-failure" }, "exit 0");
  const loop = await run({ name: "always" }, "usleep 50000; exit 0");
  const held = await run({ name: "unless-stopped" }, "sleep 100");
  await until("giving up", async () => {
    const { state } = await nyxd.client.containers.inspect(gaveUp.id);
    return state.status === "exited" && state.restart_count === 2;
  });
  assert.equal((await nyxd.client.containers.inspect(well.id)).state.restart_count, 0);
  await until("restarts", async () => (await nyxd.client.containers.inspect(loop.id)).state.restart_count >= 2);
  await nyxd.client.containers.stop(held.id, { timeoutS: 0 });
  await nyxd.stop("SIGKILL");
  await using next = await again(nyxd);
  const before = (await next.client.containers.inspect(loop.id)).state.restart_count;
  assert.ok(before >= 2, "the count was kept");
  await until(
    "further restarts",
    async () => (await next.client.containers.inspect(loop.id)).state.restart_count > before,
  );
  await next.client.containers.stop(loop.id, { timeoutS: 0 });
  const { restart_count } = (await next.client.containers.inspect(loop.id)).state;
  await new Promise((r) => setTimeout(r, 400));
  const after = (await next.client.containers.inspect(loop.id)).state;
  assert.deepEqual([after.status, after.restart_count], ["exited", restart_count]);
  assert.equal((await next.client.containers.inspect(held.id)).state.status, "exited");
});

Deno.test("a second nyxd on the same base directory is refused, naming the first", async () => {
  await using nyxd = await startNyxd();
  const args = nyxdCommand({ baseDir: nyxd.baseDir, socket: `${nyxd.baseDir}/api/other.sock` }, []);
  const { code, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
  assert.equal(code, 1);
  assert.match(new TextDecoder().decode(stderr), new RegExp(`another nyxd \\(pid ${nyxd.pid}\\)`));
});

Deno.test("a clean stop without containers leaves no mount, link, table or cgroup; a stale socket is taken over", async () => {
  await using world = await startWorld();
  const first = world.nyxd;
  const { id } = await first.client.containers.run({
    image: world.image,
    args: ["true"],
    publish: [{ hostPort: 0, containerPort: 80 }],
  });
  await first.client.containers.wait(id);
  await first.client.containers.remove(id);
  await first.stop("SIGKILL");
  const second = await again(first);
  await second.stop("SIGTERM");
  const sh = async (command: string) =>
    new TextDecoder().decode((await new Deno.Command("sh", { args: ["-c", command] }).output()).stdout);
  assert.equal(await sh(`grep -c ' ${first.baseDir}' /proc/self/mountinfo`), "0\n");
  assert.equal(await sh(`ip link show ${first.bridge} 2>/dev/null`), "");
  assert.equal(await sh(`nft list tables | grep ${first.bridge}`), "");
  assert.equal(await sh(`ls -d /sys/fs/cgroup/*/nyx-t${first.slot} /sys/fs/cgroup/nyx-t${first.slot} 2>/dev/null`), "");
});

Deno.test("concurrent start, stop, kill and remove of one container end in one true state", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const { containers } = nyxd.client;
  for (let round = 0; round < 5; round++) {
    const { id } = await containers.create({ image, args: ["sleep", "100"] });
    const jobs = [
      containers.start(id),
      containers.stop(id, { timeoutS: 0 }),
      containers.start(id),
      containers.kill(id, "KILL"),
      containers.stop(id, { timeoutS: 0 }),
    ];
    await Promise.allSettled(jobs);
    const { state } = await containers.inspect(id);
    assert.ok(["running", "exited", "created"].includes(state.status), state.status);
    await Promise.allSettled([containers.remove(id, { force: true }), containers.remove(id, { force: true })]);
    await assert.rejects(containers.inspect(id), { code: "not_found" });
  }
});

Deno.test("kill -9 of nyxd, and the record lost: the container taken over keeps mounts, limits, user, ports and health, and has them at its next start", async () => {
  await using world = await startWorld();
  const { nyxd, image, dir } = world;
  Deno.writeTextFileSync(`${dir}/given`, "given\n");
  const { id } = await nyxd.client.containers.run({
    image,
    name: "whole",
    args: ["sleep", "1000"],
    user: "app",
    mounts: [{ type: "bind", source: `${dir}/given`, target: "/given", readOnly: true }, {
      type: "volume",
      source: "kept",
      target: "/v",
    }],
    resources: { memoryBytes: 64 * 1024 * 1024 },
    publish: [{ hostIp: "127.0.0.1", hostPort: 0, containerPort: 80 }],
    healthcheck: { type: "exec", command: ["true"], intervalMs: 200 },
    stopTimeoutS: 0,
  });
  const { network: { ports } } = await nyxd.client.containers.inspect(id);
  await nyxd.stop("SIGKILL");
  Deno.removeSync(`${nyxd.baseDir}/supervisor/containers/${id}.json`);
  await using next = await again(nyxd);
  const check = async (when: string) => {
    const script = "id -un; cat /given; touch /given 2>/dev/null || echo ro; " +
      "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max";
    const r = await next.nyx(["exec", "whole", "sh", "-c", script]);
    assert.equal(r.stdout, "app\ngiven\nro\n67108864\n", `${when}: ${r.stderr}`);
    const details = await next.client.containers.inspect(id);
    assert.deepEqual(details.network.ports, ports, when);
    assert.deepEqual(details.mounts.map((m) => m.target).sort(), ["/given", "/v"], when);
    await until(`health ${when}`, async () => {
      return (await next.client.containers.inspect(id)).state.health?.status === "healthy";
    });
  };
  await check("taken over");
  await next.client.containers.restart(id);
  await check("started again");
});

Deno.test("record and spare unreadable, or of a newer nyxd: the container is left alone, with all it has, until the record is restored", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const { id } = await nyxd.client.containers.run({
    image,
    name: "kept",
    args: ["sh", "-c", "echo data > /f; sleep 1000"],
  });
  const { state: { pid } } = await nyxd.client.containers.inspect(id);
  await nyxd.stop("SIGKILL");
  const record = `${nyxd.baseDir}/supervisor/containers/${id}.json`;
  const spare = `${nyxd.baseDir}/bundles/${id}/nyxd-meta.json`;
  const [recordText, spareText] = [Deno.readTextFileSync(record), Deno.readTextFileSync(spare)];
  Deno.writeTextFileSync(record, "torn");
  Deno.writeTextFileSync(spare, JSON.stringify({ ...JSON.parse(spareText), v: 99 }));
  const without = await again(nyxd);
  assert.deepEqual(await without.client.containers.list({ all: true }), []);
  assert.ok(without.log.some((l) => l.includes("left alone")));
  const check = await without.nyx(["system", "check", "--repair"]);
  assert.equal(check.code, 1);
  assert.match(check.stdout, /missing +[0-9a-f]{12} +Its record cannot be read/, check.stderr);
  assert.match(Deno.readTextFileSync(`/proc/${pid}/status`), /^State:\s+[SR]/m);
  await without.stop("SIGTERM");
  Deno.writeTextFileSync(record, recordText);
  Deno.writeTextFileSync(spare, spareText);
  await using next = await again(nyxd);
  assert.equal((await next.client.containers.inspect("kept")).state.pid, pid);
  assert.equal((await next.nyx(["exec", "kept", "cat", "/f"])).stdout, "data\n");
});
