import assert from "node:assert/strict";
import { startWorld } from "../support/world.ts";
import type { ContainerConfig } from "../../mod.ts";
import { eventually } from "../support/eventually.ts";

const until = (what: string, check: () => Promise<boolean>, ms = 8000) => eventually(what, check, ms);

const FAST = { intervalMs: 100, timeoutMs: 2000, retries: 2, startPeriodMs: 0, startIntervalMs: 50 };

Deno.test("health: exec, http and tcp probes tell healthy from unhealthy, from inside the container", async () => {
  await using world = await startWorld();
  const { nyxd: { client }, image } = world;
  const server = ["sh", "-c", "echo ok > /tmp/ok; httpd -f -p 127.0.0.1:80 -h /tmp"];
  const checks: [string, ContainerConfig["healthcheck"] & object][] = [
    ["exec", { type: "exec", command: ["test -f /tmp/ok"], shell: true, ...FAST }],
    ["http", { type: "http", url: "http://127.0.0.1/ok", ...FAST }],
    ["tcp", { type: "tcp", address: "127.0.0.1:80", ...FAST }],
  ];
  for (const [name, healthcheck] of checks) {
    const good = await client.containers.run({ name: `${name}-good`, image, args: server, healthcheck });
    const bad = await client.containers.run({ name: `${name}-bad`, image, args: ["sleep", "100"], healthcheck });
    await client.containers.wait(good.id, "healthy");
    const health = async (id: string) => (await client.containers.inspect(id)).state.health;
    assert.equal((await health(good.id))?.status, "healthy");
    await until(`${name}: unhealthy`, async () => (await health(bad.id))?.status === "unhealthy");
    assert.ok((await health(bad.id))?.log.some((r) => r.exitCode !== 0));
    const rows = await client.containers.list({ filters: { health: ["unhealthy"], name: [`${name}-`] } });
    assert.deepEqual(rows.map((r) => r.name), [`${name}-bad`]);
    assert.match(rows[0]?.status_text ?? "", /\(unhealthy\)$/);
  }
});

Deno.test("health: a probe that hangs is killed with its process, and the container goes on", async () => {
  await using world = await startWorld();
  const { nyxd: { client }, image } = world;
  const healthcheck = { type: "exec" as const, command: ["sleep 99"], shell: true, ...FAST, timeoutMs: 200 };
  const { id } = await client.containers.run({ image, args: ["sleep", "1000"], healthcheck });
  await until("unhealthy", async () => (await client.containers.inspect(id)).state.health?.status === "unhealthy");
  await until("the probe's end", async () => {
    const { processes } = await client.containers.top(id);
    return processes.filter((p) => p.join(" ").includes("sleep 99")).length <= 2;
  });
  const { state } = await client.containers.inspect(id);
  assert.equal(state.status, "running");
  assert.match(state.health?.log.at(-1)?.output ?? "", /did not finish within 200 ms/);
});

Deno.test("health: --on-unhealthy restart restarts, and events tell it", async () => {
  await using world = await startWorld();
  const { nyxd: { client }, image } = world;
  const healthcheck = { type: "exec" as const, command: ["false"], ...FAST, retries: 1 };
  const { id } = await client.containers.run({
    image,
    args: ["sleep", "1000"],
    healthcheck,
    onUnhealthy: "restart",
    stopTimeoutS: 0,
  });
  // The second restart shows that probing went on after the first.
  await until("two restarts", async () => (await client.containers.inspect(id)).state.restart_count >= 2);
  const seen: string[] = [];
  for await (const e of client.system.events({ since: "0", until: new Date().toISOString() })) seen.push(e.action);
  assert.ok(seen.includes("health_status"));
});

Deno.test("health: probes go on after a restart by the user and after one by the policy, and judge anew", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const { client } = nyxd;
  const healthcheck = { type: "exec" as const, command: ["test", "-f", "/ok"], ...FAST, retries: 1 };
  const args = ["sh", "-c", "trap 'exit 0' TERM; while :; do usleep 10000; done"];
  const { id } = await client.containers.run({ image, args, healthcheck, restart: { name: "always" } });
  const health = async () => (await client.containers.inspect(id)).state.health?.status;
  const exec = async (...argv: string[]) => assert.equal((await nyxd.nyx(["exec", id, ...argv])).code, 0);
  await until("unhealthy", async () => await health() === "unhealthy");
  await exec("touch", "/ok");
  await until("healthy", async () => await health() === "healthy");
  await client.containers.restart(id);
  await exec("rm", "/ok");
  await until("unhealthy after the user's restart", async () => await health() === "unhealthy");
  await client.containers.kill(id, "KILL");
  await until("the policy's restart", async () => {
    const { status, restart_count } = (await client.containers.inspect(id)).state;
    return status === "running" && restart_count >= 1;
  });
  await exec("touch", "/ok");
  await until("healthy after the policy's restart", async () => await health() === "healthy");
});

Deno.test("health: the state survives kill -9 of nyxd, and probing goes on", async () => {
  const { startNyxd } = await import("../support/daemon.ts");
  await using world = await startWorld();
  const { nyxd, image } = world;
  const healthcheck = { type: "exec" as const, command: ["test -f /tmp/ok"], shell: true, ...FAST };
  const { id } = await nyxd.client.containers.run({
    image,
    args: ["sh", "-c", "touch /tmp/ok; sleep 1000"],
    healthcheck,
  });
  await nyxd.client.containers.wait(id, "healthy");
  await nyxd.stop("SIGKILL");
  await using next = await startNyxd({ baseDir: nyxd.baseDir, slot: nyxd.slot });
  assert.equal((await next.client.containers.inspect(id)).state.health?.status, "healthy");
  await next.nyx(["exec", id, "rm", "/tmp/ok"]);
  await until("unhealthy", async () => (await next.client.containers.inspect(id)).state.health?.status === "unhealthy");
});
