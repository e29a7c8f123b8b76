import assert from "node:assert/strict";
import { testProject } from "../support/compose.ts";
import { type Nyxd, startNyxd } from "../support/daemon.ts";
import { powerCut } from "../support/reboot.ts";
import { untilTrue } from "../support/truth.ts";
import { startWorld } from "../support/world.ts";
import { eventually } from "../support/eventually.ts";

const until = (what: string, check: () => boolean | Promise<boolean>) => eventually(what, check, 20_000);

const WAIT = ["sh", "-c", "trap 'exit 0' TERM; echo up; while :; do usleep 20000; done"];

/** Older ones depend on younger ones where that is possible: the order of age would be wrong. */
const shop = (image: string) => `
name: shop
x-all: &all {image: "${image}", restart: always, stop_grace_period: 2s}
services:
  a-web:
    <<: *all
    command: ${JSON.stringify(WAIT)}
    depends_on: {b-api: {condition: service_started}}
  b-api:
    <<: *all
    command: ${JSON.stringify(WAIT)}
    depends_on: {c-db: {condition: service_healthy}}
  c-db:
    <<: *all
    command: [sh, -c, "trap 'exit 0' TERM; rm -f /ready; sleep 0.5; touch /ready; while :; do usleep 20000; done"]
    healthcheck: {test: [CMD, test, -f, /ready], interval: 100ms, start_period: 5s, start_interval: 100ms}
`;

async function stateOf(nyxd: Nyxd, name: string) {
  return (await nyxd.client.containers.inspect(name)).state;
}

async function allRun(nyxd: Nyxd, names: string[]): Promise<void> {
  for (const name of names) await until(`${name} runs`, async () => (await stateOf(nyxd, name)).status === "running");
}

Deno.test("a reboot: containers come up in dependency order, exit codes and users' stops are kept, reused pids harm nobody", async () => {
  await using world = await startWorld();
  const { image, nyxd } = world;
  const app = testProject(nyxd, `${world.dir}/shop`, shop(image));
  const up = await app.compose("up", "-d");
  assert.equal(up.code, 0, up.stderr);
  const { containers } = nyxd.client;
  const run = (name: string, more: object) => containers.run({ image, name, args: WAIT, stopTimeoutS: 1, ...more });
  const publish = [{ hostIp: "127.0.0.1", hostPort: 0, containerPort: 80 }];
  const joined = await run("joined", { restart: { name: "always" }, publish });
  await run("joins", { restart: { name: "unless-stopped" }, networkMode: `container:${joined.id}` });
  await run("plain", {});
  await run("held", { restart: { name: "unless-stopped" } });
  await containers.stop("held");
  const done = await run("done", { args: ["sh", "-c", "exit 5"], restart: { name: "no" } });
  await containers.wait(done.id);
  const before = { web: await stateOf(nyxd, "shop-a-web-1"), plain: await stateOf(nyxd, "plain") };

  await powerCut(nyxd);
  // In the new boot a container's pid belongs to somebody else.
  const innocent = new Deno.Command("sleep", { args: ["1000"] }).spawn();
  try {
    const { id } = JSON.parse(Deno.readTextFileSync(recordOf(nyxd, "plain"))) as { id: string };
    Deno.writeTextFileSync(`${nyxd.baseDir}/run/monitor/${id}/pid`, String(innocent.pid));
    await using next = await startNyxd({ baseDir: nyxd.baseDir, slot: nyxd.slot });
    await allRun(next, ["shop-c-db-1", "shop-b-api-1", "shop-a-web-1", "joined", "joins"]);
    // Nobody is told to restart containers that the reboot ended.
    assert.deepEqual(next.log.filter((l) => l.includes("Could not find the network namespace")), []);
    const at = async (name: string) => Date.parse((await stateOf(next, name)).started_at ?? "");
    assert.ok(await at("shop-c-db-1") + 500 <= await at("shop-b-api-1"), "api waited for a healthy db");
    assert.ok(await at("shop-b-api-1") <= await at("shop-a-web-1"), "web waited for api");
    assert.ok(await at("joined") <= await at("joins"), "who is joined is there first");
    assert.ok(await at("shop-a-web-1") > Date.parse(before.web.started_at ?? ""));
    const plain = await stateOf(next, "plain");
    assert.deepEqual([plain.status, plain.exit_code], ["exited", 137]);
    assert.match(plain.error ?? "", /end was not seen/);
    assert.deepEqual((await stateOf(next, "held")).status, "exited");
    assert.deepEqual((await stateOf(next, "done")).exit_code, 5);
    assert.ok(isAlive(innocent.pid), "the process that has a container's old pid was left alone");
    let log = "";
    for await (const b of next.client.containers.logs("joined")) log += new TextDecoder().decode(b);
    assert.equal(log, "up\nup\n", "output of both boots");
    const exec = await next.nyx(["exec", "joins", "true"]);
    assert.equal(exec.code, 0, exec.stderr);
    const down = await app.on(next).compose("down", "-t", "0");
    assert.equal(down.code, 0, down.stderr);
    await next.client.containers.remove("joins", { force: true });
    assert.deepEqual(await untilTrue(next), []);
  } finally {
    innocent.kill("SIGKILL");
    await innocent.status;
  }
});

/** Path of the record of a container, found by its name. */
function recordOf(nyxd: Nyxd, name: string): string {
  const dir = `${nyxd.baseDir}/supervisor/containers`;
  const found = [...Deno.readDirSync(dir)].map((e) => `${dir}/${e.name}`)
    .find((path) => JSON.parse(Deno.readTextFileSync(path)).name === name);
  assert.ok(found !== undefined, `no record of ${name}`);
  return found;
}

function isAlive(pid: number): boolean {
  return !/^State:\s+[ZX]/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
}

Deno.test("--stop-containers-on-exit: who needs others stops before them, all within a budget, and all come back", async () => {
  await using world = await startWorld({ args: ["--stop-containers-on-exit"] });
  const { image, nyxd } = world;
  const app = testProject(nyxd, `${world.dir}/shop`, shop(image));
  const up = await app.compose("up", "-d");
  assert.equal(up.code, 0, up.stderr);
  const joined = await nyxd.client.containers.run({ image, name: "joined", args: WAIT, restart: { name: "always" } });
  await nyxd.client.containers.run({ image, name: "joins", args: WAIT, networkMode: `container:${joined.id}` });
  assert.equal(await nyxd.stop("SIGTERM"), 0);
  const at = (name: string) =>
    Date.parse(JSON.parse(Deno.readTextFileSync(recordOf(nyxd, name))).state.finishedAt as string);
  assert.ok(at("shop-a-web-1") <= at("shop-b-api-1") && at("shop-b-api-1") <= at("shop-c-db-1"));
  assert.ok(at("joins") <= at("joined"));
  await using next = await startNyxd({ baseDir: nyxd.baseDir, slot: nyxd.slot });
  await allRun(next, ["shop-c-db-1", "shop-b-api-1", "shop-a-web-1", "joined"]);
  assert.equal((await stateOf(next, "joins")).status, "exited");
  const stubborn = ["sh", "-c", "trap '' TERM; while :; do usleep 20000; done"];
  await next.client.containers.run({ image, name: "stubborn", args: stubborn, stopTimeoutS: 600 });
  const began = performance.now();
  await next.client.system.shutdown({ timeoutS: 1 });
  await next.stop();
  assert.ok(performance.now() - began < 15_000, "the budget is for all, also for who asks for more");
});
