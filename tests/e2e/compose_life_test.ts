/** Services from start to stop: lifecycle commands, secrets in memory, what happens to an unhealthy one. */

import assert from "node:assert/strict";
import { startNyxd } from "../support/daemon.ts";
import { ok, SLEEP, testProject } from "../support/compose.ts";
import { startWorld, type World } from "../support/world.ts";
import { eventually } from "../support/eventually.ts";

const until = (what: string, check: () => boolean | Promise<boolean>) => eventually(what, check, 60_000);

const project = (world: World, yaml: string) => testProject(world.nyxd, `${world.dir}/shop`, yaml);

Deno.test("compose hooks: post_start runs as asked before dependents start, pre_stop before a stop; one that fails says so", async () => {
  await using world = await startWorld();
  const { image, nyxd } = world;
  const app = project(
    world,
    `
services:
  a:
    image: ${image}
    user: "33:34"
    command: ${SLEEP}
    volumes: [log:/log]
    post_start:
      - {command: [chmod, "0777", /log], user: root}
      - command: [sh, -c, 'sleep 0.2; echo "$$WHO $$(id -u) $$(pwd)" >>/log/seen']
        working_dir: /tmp
        environment: [WHO=me]
    pre_stop:
      - {command: 'sh -c "echo stopping >>/log/seen"'}
  b: {image: ${image}, command: [cat, /log/seen], volumes: [log:/log], depends_on: [a]}
volumes: {log: {}}
`,
  );
  ok(await app.compose("up", "-d"));
  assert.equal((await app.compose("logs", "--no-log-prefix", "b")).stdout, "me 33 /tmp\\n".replace("\\n", "\n"));
  const seen = async () => (await app.compose("run", "--rm", "-T", "--no-deps", "b")).stdout.trim().split("\n");
  ok(await app.compose("stop", "a"));
  assert.deepEqual(await seen(), ["me 33 /tmp", "stopping"]);
  ok(await app.compose("start", "a"));
  ok(await nyxd.nyx(["stop", "shop-a-1"]));
  assert.deepEqual(await seen(), ["me 33 /tmp", "stopping", "me 33 /tmp", "stopping"], "nyx stop runs it, too");
  ok(await app.compose("start", "a"));
  ok(await app.compose("kill", "a"));
  assert.equal((await seen()).length, 5, "a kill does not");

  app.write(
    "compose.yaml",
    `services: {c: {image: ${image}, command: ${SLEEP}, post_start: [{command: [sh, -c, "echo no luck; exit 3"]}],
    pre_stop: [{command: [sh, -c, exit 4]}]}}`,
  );
  const failed = await app.compose("up", "-d", "--remove-orphans");
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /post-start command "sh" of container "shop-c-1" ended with code 3: no luck/);
  assert.match((await app.compose("ps")).stdout, /shop-c-1 .* Up /, "the container goes on");
  ok(await app.compose("down", "-v"));
});

const SECRET = "correct horse battery";

function withSecrets(image: string, word = "s"): string {
  return `
services:
  stays: {image: ${image}, command: ${SLEEP}, restart: always, secrets: [{source: ${word}, target: key, mode: 0440}]}
  goes:
    image: ${image}
    command: [sh, -c, "grep secrets /proc/mounts; stat -c '%u %g %a' /run/secrets/s; trap 'exit 0' TERM; while :; do sleep 0.05; done"]
    secrets: [{source: s, uid: "33", gid: "34", mode: 0400}]
    configs: [{source: c, target: /etc/c.conf, uid: "5", mode: 0640}]
secrets: {s: {file: ./s}, t: {environment: T}}
configs: {c: {content: plain}}
`;
}

/** Files below a directory, on the disk itself, that hold a text. */
async function onDisk(dir: string, text: string): Promise<string[]> {
  const { stdout } = await new Deno.Command("find", {
    args: [dir, "-xdev", "-type", "f", "-exec", "grep", "-l", text, "{}", "+"],
    stderr: "null",
  }).output();
  const { dev } = Deno.statSync(dir);
  const found = new TextDecoder().decode(stdout).split("\n").filter((line) => line !== "");
  // Files that are mount points are listed, wherever what is mounted lies.
  return found.filter((path) => Deno.statSync(path).dev === dev).sort();
}

Deno.test("compose secrets: in memory with owner and mode; on disk only for what starts by itself; shown nowhere; back after a reboot", async () => {
  await using world = await startWorld();
  const { image, nyxd } = world;
  const app = testProject(nyxd, `${world.dir}/shop`, withSecrets(image), { T: "another one" });
  app.write("s", SECRET);
  ok(await app.compose("up", "-d"));
  const log = (await app.compose("logs", "--no-log-prefix", "goes")).stdout;
  assert.match(log, /^nyx-secrets \/run\/secrets\/s tmpfs ro,/m);
  assert.match(log, /^33 34 400$/m);
  const conf = await app.compose("exec", "-T", "goes", "sh", "-c", "stat -c '%u %a' /etc/c.conf; cat /etc/c.conf");
  assert.equal(conf.stdout, "5 640\nplain");

  const kept = await onDisk(nyxd.baseDir, SECRET);
  assert.equal(kept.length, 1, kept.join());
  assert.match(kept[0] ?? "", /\/compose\/shop\/secrets\/[0-9a-f]{32}$/);
  assert.equal((Deno.statSync(`${nyxd.baseDir}/compose/shop`).mode ?? 0) & 0o777, 0o700);
  app.write("s", `${SECRET} 2`);
  const shown = [
    (await app.compose("plan")).stdout,
    (await app.compose("config")).stdout,
    (await app.compose("ps", "--format", "json", "-a")).stdout,
    JSON.stringify(await nyxd.client.containers.inspect("shop-goes-1")),
    (await nyxd.nyx(["system", "events", "--since", "1h", "--until", "0s"])).stdout,
    nyxd.log.join("\n"),
  ];
  assert.match(shown[0] ?? "", /"\(hidden content\)" → "\(hidden content\)"/);
  for (const text of shown) assert.ok(!text.includes("correct horse"), text.slice(0, 2000));
  ok(await app.compose("up", "-d"));
  assert.equal((await app.compose("exec", "-T", "stays", "cat", "/run/secrets/key")).stdout, `${SECRET} 2`);
  assert.equal((await onDisk(nyxd.baseDir, SECRET)).length, 1, "what nobody mounts any more is gone");
  app.write("compose.yaml", withSecrets(image, "t"));
  ok(await app.compose("up", "-d"));
  assert.equal((await app.compose("exec", "-T", "stays", "cat", "/run/secrets/key")).stdout, "another one");
  assert.deepEqual(await onDisk(nyxd.baseDir, SECRET), [], "the other service's is in memory only");

  const pids = (await nyxd.client.containers.list()).map((c) => c.id);
  const states = await Promise.all(pids.map((id) => nyxd.client.containers.inspect(id)));
  await nyxd.stop("SIGKILL");
  // What a power cut ends: the processes with their monitors, and what is in memory.
  for (const { state: { pid } } of states) {
    const parent = (of: number) => Number(/PPid:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${of}/status`))?.[1]);
    const monitor = parent(pid);
    for (const one of [parent(monitor), monitor, pid]) if (one > 1) Deno.kill(one, "SIGKILL");
  }
  ok({ ...await command("umount", "-l", `${nyxd.baseDir}/run/compose`) });
  await using next = await startNyxd({ baseDir: nyxd.baseDir, slot: nyxd.slot });
  const on = app.on(next);
  await until("the service is back", async () => (await on.compose("exec", "-T", "stays", "true")).code === 0);
  assert.equal((await on.compose("exec", "-T", "stays", "cat", "/run/secrets/key")).stdout, "another one");
  const lost = await next.nyx(["compose", "-p", "shop", "start"]);
  assert.match(lost.stderr, /its secrets were in memory only.*nyx compose up/);
  ok(await on.compose("start"));
  assert.equal((await on.compose("exec", "-T", "goes", "cat", "/run/secrets/s")).stdout, `${SECRET} 2`);
  ok(await on.compose("down", "-v"));
  assert.deepEqual([...Deno.readDirSync(`${nyxd.baseDir}/run/compose`)], []);
  assert.deepEqual([...Deno.readDirSync(`${nyxd.baseDir}/compose`)], []);
});

async function command(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await new Deno.Command(argv[0] ?? "", { args: argv.slice(1) }).output();
  return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
}

Deno.test("compose x-nyx: on-unhealthy: restart starts a container again whose check gives up", async () => {
  await using world = await startWorld();
  const app = project(
    world,
    `
services:
  a:
    image: ${world.image}
    command: [sh, -c, "trap 'exit 0' TERM; touch /ok; while :; do sleep 0.05; done"]
    healthcheck: {test: [CMD, test, -f, /ok], interval: 100ms, retries: 2, start_period: 1s, start_interval: 100ms}
    x-nyx: {on-unhealthy: restart}
`,
  );
  ok(await app.compose("up", "-d", "--wait"));
  const started = async () => (await world.nyxd.client.containers.inspect("shop-a-1")).state.started_at;
  const before = await started();
  ok(await app.compose("exec", "-T", "a", "rm", "/ok"));
  await until("it is started again and healthy", async () => {
    const { state } = await world.nyxd.client.containers.inspect("shop-a-1");
    return state.started_at !== before && state.health?.status === "healthy";
  });
  ok(await app.compose("down"));
});

Deno.test("compose pull_policy: a time is counted from the last pull, also from one that found nothing new", async () => {
  await using world = await startWorld();
  const { image, nyxd } = world;
  const yaml = (policy: string) => `services: {a: {image: ${image}, command: ${SLEEP}, pull_policy: ${policy}}}`;
  const app = project(world, yaml("daily"));
  ok(await app.compose("up", "-d"));
  assert.match((await app.compose("plan")).stdout, /nothing to do/, "it was pulled just now");
  const [ref = ""] = await onDisk(`${nyxd.baseDir}/images/images`, '"addedAt"');
  const addedAt = () => Date.parse(JSON.parse(Deno.readTextFileSync(ref)).addedAt);
  const before = addedAt();
  await new Promise((r) => setTimeout(r, 1100));
  app.write("compose.yaml", yaml("every_1s"));
  assert.match(
    (await app.compose("plan")).stdout,
    /pull image .*: the image was pulled longer ago than every_1s allows/,
  );
  ok(await app.compose("up", "-d"));
  assert.ok(addedAt() > before);
  app.write("compose.yaml", yaml("weekly"));
  assert.match((await app.compose("plan")).stdout, /nothing to do/);
  ok(await app.compose("down"));
});
