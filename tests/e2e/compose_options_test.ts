/** Options and variables of `nyx compose`, against a real nyxd. */

import assert from "node:assert/strict";
import { ok, SLEEP, testProject } from "../support/compose.ts";
import { startWorld } from "../support/world.ts";

Deno.test("compose up: --dry-run, --no-start, -V, --pull, --wait-timeout, --abort-on-container-failure do what they say", async () => {
  await using world = await startWorld();
  const { image, nyxd } = world;
  const app = testProject(
    nyxd,
    `${world.dir}/shop`,
    `services: {a: {image: ${image}, command: ${SLEEP}, volumes: [/scratch]}}`,
  );
  const names = async () => (await nyxd.client.containers.list({ all: true })).map((c) => `${c.name} ${c.status}`);
  const dry = await app.compose("up", "--dry-run");
  ok(dry);
  assert.equal(dry.stdout, (await app.compose("plan")).stdout);
  assert.match(dry.stdout, /\+ create container shop-a-1: it does not exist/);
  assert.deepEqual(await names(), [], "nothing was done");
  assert.deepEqual((await nyxd.client.networks.list()).length, 1);
  ok(await app.compose("up", "--no-start"));
  assert.deepEqual(await names(), ["shop-a-1 created"]);
  ok(await app.compose("up", "-d"));
  const touch = ["exec", "-T", "a", "touch", "/scratch/kept"];
  const there = async () => (await app.compose("exec", "-T", "a", "test", "-f", "/scratch/kept")).code === 0;
  ok(await app.compose(...touch));
  ok(await app.compose("up", "-d", "--force-recreate"));
  assert.ok(await there(), "a new container keeps the anonymous volume");
  ok(await app.compose("up", "-d", "--force-recreate", "-V"));
  assert.ok(!await there(), "-V gives it another one");
  assert.equal((await nyxd.client.volumes.list()).length, 1, "and the old one is gone");
  const pulled = await app.compose("up", "-d", "--pull", "always");
  assert.match(pulled.stderr, /Image \S+busybox:latest {2}Pulled/);
  ok(await app.compose("down", "-v"));

  const check = "healthcheck: {test: [CMD, 'false'], interval: 1s, retries: 100, start_period: 60s}";
  app.write("compose.yaml", `services: {a: {image: ${image}, command: ${SLEEP}, ${check}}}`);
  const late = await app.compose("up", "--wait", "--wait-timeout", "1");
  assert.equal(late.code, 1);
  assert.match(late.stderr, /Project shop is not up after 1 s; its containers go on/);
  assert.deepEqual(await names(), ["shop-a-1 running"]);
  app.write(
    "compose.yaml",
    `services: {a: {image: ${image}, command: ${SLEEP}}, good: {image: ${image}, command: "true"}, bad: {image: ${image},
    command: [sh, -c, "sleep 0.5; exit 9"]}}`,
  );
  assert.equal((await app.compose("up", "--abort-on-container-failure")).code, 9);
  assert.deepEqual((await names()).filter((line) => line.endsWith("running")), []);
  ok(await app.compose("down"));
});

Deno.test("compose: COMPOSE_FILE, COMPOSE_PROJECT_NAME, COMPOSE_PROFILES and .env are honoured; files are found by name and merged", async () => {
  await using world = await startWorld();
  const { image, nyxd } = world;
  const dir = `${world.dir}/found`;
  const app = testProject(nyxd, dir, `services: {a: {image: ${image}, command: ${SLEEP}, profiles: [extra]}}`);
  const nyx = (args: string[], env: Record<string, string> = {}) => nyxd.nyx(["compose", ...args], { env });
  const services = async (env: Record<string, string>, ...flags: string[]) =>
    (await nyx([...flags, "config", "--services"], env)).stdout.trim().split("\n").filter((line) => line !== "");
  const COMPOSE_FILE = `${dir}/compose.yaml`;
  assert.deepEqual(await services({ COMPOSE_FILE }), []);
  assert.deepEqual(await services({ COMPOSE_FILE, COMPOSE_PROFILES: "extra" }), ["a"]);
  app.write("more.yaml", `services: {b: {image: ${image}}}`);
  assert.deepEqual(await services({ COMPOSE_FILE: `${COMPOSE_FILE}:${dir}/more.yaml` }), ["b"]);
  assert.deepEqual(
    await services({ COMPOSE_FILE: `${COMPOSE_FILE}|${dir}/more.yaml`, COMPOSE_PATH_SEPARATOR: "|" }),
    ["b"],
  );
  app.write("compose.override.yaml", `services: {c: {image: ${image}}}`);
  assert.deepEqual(await services({}, "--project-directory", dir), ["c"], "compose.yaml with its override");
  app.write("nyx-compose.yaml", `services: {d: {image: ${image}}}`);
  assert.deepEqual(await services({}, "--project-directory", dir), ["d"], "nyx's own name comes first");
  Deno.removeSync(`${dir}/nyx-compose.yaml`);

  app.write(".env", "WORD=from-env-file\n");
  app.write("compose.yaml", `services: {a: {image: ${image}, command: [echo, "$\{WORD}"]}}`);
  const env = { COMPOSE_FILE, COMPOSE_PROJECT_NAME: "named" };
  ok(await nyx(["up", "-d"], env));
  assert.deepEqual((await nyxd.client.containers.list({ all: true })).map((c) => c.name), ["named-a-1"]);
  assert.equal((await nyx(["logs", "--no-log-prefix"], env)).stdout, "from-env-file\n");
  ok(await nyx(["down"], { COMPOSE_PROJECT_NAME: "named", COMPOSE_FILE }));
  assert.match(
    (await nyx(["config"], { COMPOSE_FILE: `${dir}/absent.yaml` })).stderr,
    /absent\.yaml: there is no such file/,
  );
});

Deno.test("compose pull, down --rmi, wait, rm, kill: their options", async () => {
  await using world = await startWorld();
  const { image, nyxd } = world;
  const absent = image.replace("busybox", "absent");
  const app = testProject(
    nyxd,
    `${world.dir}/shop`,
    `
services:
  a: {image: ${image}, command: [sh, -c, "trap 'exit 5' USR1; while :; do sleep 0.05; done"], volumes: [/v], depends_on: [b]}
  b: {image: ${image}, command: ${SLEEP}}
  none: {image: ${absent}, profiles: [broken]}
`,
  );
  await nyxd.client.images.remove(image);
  ok(await app.compose("pull", "-q", "a"));
  assert.equal((await nyxd.client.images.list()).length, 1);
  const failed = await app.compose("--profile", "broken", "pull");
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /pull:\S+absent/);
  const ignored = await app.compose("--profile", "broken", "pull", "--ignore-pull-failures");
  ok(ignored);
  assert.match(ignored.stderr, /warning: pull:\S+absent\S+ failed/);
  assert.doesNotMatch((await app.compose("pull", "--policy", "missing")).stderr, /Pull/, "it is there");

  ok(await app.compose("up", "-d"));
  assert.equal((await app.compose("ps", "--services")).stdout, "a\nb\n");
  assert.equal((await app.compose("ps", "-q", "--status", "exited")).stdout, "");
  const waiting = app.compose("wait", "--down-project", "a");
  await new Promise((r) => setTimeout(r, 300));
  ok(await app.compose("kill", "-s", "USR1", "a"));
  assert.deepEqual([(await waiting).code, (await waiting).stdout], [5, "5\n"]);
  assert.deepEqual(await nyxd.client.containers.list({ all: true }), []);

  ok(await app.compose("up", "-d"));
  assert.match((await app.compose("rm", "a")).stderr, /give -f to remove them unasked/);
  ok(await app.compose("rm", "-fsv", "a"));
  assert.deepEqual((await nyxd.client.containers.list({ all: true })).map((c) => c.name), ["shop-b-1"]);
  const down = await app.compose("down", "--rmi", "all", "-v", "-t", "1");
  ok(down);
  assert.match(down.stderr, /Image \S+busybox:latest {2}Removed/);
  assert.deepEqual(await nyxd.client.images.list(), []);
  assert.equal((await nyxd.nyx(["compose", "ls", "-a", "-q"])).stdout, "");
});

Deno.test("compose up: two services swap a fixed port of the host, one hands it to a new one, one keeps it for a way back", async () => {
  await using world = await startWorld();
  const { image, nyxd } = world;
  const [one, two] = [20_000 + nyxd.slot * 2, 20_001 + nyxd.slot * 2];
  const serve = `["sh", "-c", "hostname >/tmp/i; exec httpd -f -p 80 -h /tmp"]`;
  const text = (services: Record<string, number | undefined>, more = "") =>
    `services:\n${
      Object.entries(services).map(([name, port]) =>
        `  ${name}: {image: "${image}", hostname: ${name}, command: ${serve}, stop_signal: SIGKILL` +
        `${port === undefined ? "" : `, ports: ["127.0.0.1:${port}:80"]`}${more}}\n`
      ).join("")
    }`;
  const app = testProject(nyxd, `${world.dir}/swap`, text({ a: one, b: two }));
  const served = async (port: number) => {
    for (let i = 0;; i++) {
      try {
        return (await (await fetch(`http://127.0.0.1:${port}/i`)).text()).trim();
      } catch (e) {
        if (i === 40) return (e as Error).message;
        await new Promise((r) => setTimeout(r, 50));
      }
    }
  };
  const both = async () => [await served(one), await served(two)];
  ok(await app.compose("up", "-d"));
  assert.deepEqual(await both(), ["a", "b"]);
  app.write("compose.yaml", text({ a: two, b: one }));
  assert.match((await app.compose("plan")).stdout, /s stop container swap-a-1: port \d+ of the host goes to swap-b-1/);
  ok(await app.compose("up", "-d"));
  assert.deepEqual(await both(), ["b", "a"]);
  const update = ", deploy: {update_config: {order: start-first, failure_action: rollback}}";
  app.write("compose.yaml", text({ a: one, b: two }, update));
  ok(await app.compose("up", "-d"));
  assert.deepEqual(await both(), ["a", "b"]);
  app.write("compose.yaml", text({ a: undefined, b: two, c: one }, update));
  ok(await app.compose("up", "-d"));
  assert.deepEqual(await both(), ["c", "b"]);
  ok(await app.compose("down"));
});
