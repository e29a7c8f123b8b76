import assert from "node:assert/strict";
import { startNyxd } from "../support/daemon.ts";
import { ok, SLEEP, testProject } from "../support/compose.ts";
import { startWorld, type World } from "../support/world.ts";

const PROJECT = "com.docker.compose.project";

function shop(image: string): string {
  return `
name: shop
services:
  db:
    image: ${image}
    command:
      - sh
      - -c
      - |
        trap 'exit 0' TERM
        stat -c '%u %g %a' /run/secrets/password
        cat /run/secrets/password >/data/seen
        rm -f /ready; sleep 0.3; touch /ready
        while :; do sleep 0.05; done
    healthcheck: {test: [CMD, test, -f, /ready], interval: 100ms, start_period: 5s, start_interval: 100ms}
    secrets: [{source: password, uid: "33", gid: "34", mode: 0400}]
    configs: [{source: conf, target: /etc/db.conf}]
    volumes: [data:/data]
    networks: [back]
  migrate:
    image: ${image}
    command: [sh, -c, "nslookup db >/dev/null && echo migrated"]
    networks: [back]
    depends_on: {db: {condition: service_healthy}}
  api:
    image: ${image}
    environment: {LEVEL: info}
    command: ${SLEEP}
    networks: {back: {aliases: [backend]}, front: {}}
    depends_on: {migrate: {condition: service_completed_successfully}, db: {condition: service_healthy, restart: true}}
  worker:
    image: ${image}
    command: ${SLEEP}
    networks: [back]
    volumes: [/scratch]
    depends_on: [api]
  web:
    image: ${image}
    command: ${SLEEP}
    networks: [front]
    restart: always
    depends_on: {api: {condition: service_started}}
networks: {front: {}, back: {internal: true}}
volumes: {data: {}}
secrets: {password: {file: ./password}}
configs: {conf: {content: "answer=42"}}
`;
}

function project(world: World, yaml = shop(world.image)) {
  const made = testProject(world.nyxd, `${world.dir}/shop`, yaml);
  made.write("password", "correct horse\n");
  return made;
}

async function members(world: Pick<World, "nyxd">): Promise<Map<string, { id: string; status: string }>> {
  const all = await world.nyxd.client.containers.list({ all: true });
  return new Map(
    all.filter((c) => c.labels[PROJECT] !== undefined).map((c) => [c.name, { id: c.id, status: c.status }]),
  );
}

async function startedAt(world: Pick<World, "nyxd">, name: string): Promise<number> {
  return Date.parse((await world.nyxd.client.containers.inspect(name)).state.started_at ?? "");
}

Deno.test("compose: up starts in order with secrets, networks and volumes; unchanged up touches nothing; down -v leaves nothing", async () => {
  await using world = await startWorld();
  const { client } = world.nyxd;
  const app = project(world);
  ok(await app.compose("up", "-d"));
  const before = await members(world);
  assert.deepEqual([...before.keys()].sort(), [
    "shop-api-1",
    "shop-db-1",
    "shop-migrate-1",
    "shop-web-1",
    "shop-worker-1",
  ]);
  assert.equal(before.get("shop-migrate-1")?.status, "exited");
  const [db, api, worker] = await Promise.all(
    ["shop-db-1", "shop-api-1", "shop-worker-1"].map((n) => startedAt(world, n)),
  );
  assert.ok((db ?? 0) + 300 <= (api ?? 0), "api waited for a healthy db");
  assert.ok((api ?? 0) <= (worker ?? 0), "worker came after api");

  const text = (await app.compose("logs", "--no-color")).stdout;
  assert.match(text, /db-1 +\| 33 34 400/, "owner and mode of the secret are as asked for");
  assert.match(text, /migrate-1 +\| migrated/);
  const inside = await app.compose("exec", "-T", "db", "cat", "/data/seen", "/etc/db.conf");
  assert.equal(inside.stdout, "correct horse\nanswer=42");
  assert.ok(!JSON.stringify(await client.containers.inspect("shop-db-1")).includes("correct horse"));
  assert.ok(!(await app.compose("config")).stdout.includes("correct horse"));
  assert.ok(!world.nyxd.log.join("\n").includes("correct horse"), "the daemon's log does not hold the secret");
  assert.equal((await app.compose("exec", "-T", "worker", "nslookup", "backend")).code, 0, "aliases resolve");
  assert.notEqual((await app.compose("exec", "-T", "web", "nslookup", "db")).code, 0, "web is not in db's network");

  const again = await app.compose("up", "-d");
  ok(again);
  assert.equal(again.stderr, "");
  assert.deepEqual(await members(world), before);
  assert.match((await app.compose("plan")).stdout, /nothing to do/);

  ok(await app.compose("down", "-v"));
  assert.equal((await members(world)).size, 0);
  assert.deepEqual(await client.volumes.list(), [], "named and anonymous volumes are gone");
  assert.deepEqual((await client.networks.list()).map((n) => n.default), [true]);
  assert.deepEqual([...Deno.readDirSync(`${world.nyxd.baseDir}/compose`)], []);
});

Deno.test("compose: one change recreates one service and restarts whom it concerns; scale numbers; orphans go when asked", async () => {
  await using world = await startWorld();
  const app = project(world);
  ok(await app.compose("up", "-d"));
  const before = await members(world);
  app.write("compose.yaml", shop(world.image).replace("LEVEL: info", "LEVEL: debug"));
  const planned = await app.compose("plan");
  assert.match(planned.stdout, /env\.LEVEL: "info" → "debug"/);
  ok(await app.compose("up", "-d"));
  let now = await members(world);
  const changed = [...now].filter(([name, c]) => before.get(name)?.id !== c.id).map(([name]) => name);
  assert.deepEqual(changed, ["shop-api-1"]);

  ok(await app.compose("exec", "-T", "worker", "touch", "/scratch/kept"));
  ok(await app.compose("up", "-d", "--force-recreate", "--no-deps", "worker"));
  ok(await app.compose("exec", "-T", "worker", "test", "-f", "/scratch/kept"));
  assert.notEqual((await members(world)).get("shop-worker-1")?.id, now.get("shop-worker-1")?.id);

  ok(await app.compose("up", "-d", "--scale", "worker=3"));
  now = await members(world);
  assert.deepEqual(
    [...now.keys()].filter((n) => n.includes("worker")).sort(),
    [1, 2, 3].map((n) => `shop-worker-${n}`),
  );
  ok(await app.compose("up", "-d", "--scale", "worker=1"));
  assert.deepEqual([...(await members(world)).keys()].filter((n) => n.includes("worker")), ["shop-worker-1"]);

  const service = / {2}worker:[^]*?(?=\n {2}web:)/;
  app.write("compose.yaml", shop(world.image).replace(service, "").replace("LEVEL: info", "LEVEL: debug"));
  const warned = await app.compose("up", "-d");
  assert.match(warned.stderr, /shop-worker-1.*--remove-orphans/);
  assert.ok((await members(world)).has("shop-worker-1"));
  ok(await app.compose("up", "-d", "--remove-orphans"));
  assert.ok(!(await members(world)).has("shop-worker-1"));
  ok(await app.compose("down", "-v"));
});

Deno.test("compose: a failure names its step, leaves what ran as it was, and starts nothing that depends on it", async () => {
  await using world = await startWorld();
  const { image } = world;
  const yaml = (command: string) => `
name: shop
services:
  first: {image: ${image}, command: ${SLEEP}}
  broken: {image: ${image}, command: ${command}, depends_on: [first]}
  last: {image: ${image}, command: ${SLEEP}, depends_on: {broken: {condition: service_completed_successfully}}}
`;
  const app = project(world, yaml("[sh, -c, exit 0]"));
  ok(await app.compose("up", "-d"));
  const before = await members(world);
  app.write("compose.yaml", yaml("[/no/such/program]"));
  const failed = await app.compose("up", "-d");
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /recreate:shop-broken-1: .*\/no\/such\/program/);
  const after = await members(world);
  for (const name of ["shop-first-1", "shop-last-1", "shop-broken-1"]) {
    assert.equal(after.get(name)?.id, before.get(name)?.id, name);
  }
  app.write("compose.yaml", yaml("[sh, -c, exit 7]"));
  ok(await app.compose("down"));
  const unmet = await app.compose("up", "-d");
  assert.equal(unmet.code, 1);
  assert.match(unmet.stderr, /its dependency broken failed: container shop-broken-1 ended with code 7/);
  assert.equal((await members(world)).get("shop-last-1")?.status, "created");

  app.write("compose.yaml", `services: {a: {image: ${image}, depends_on: {b: {condition: nonsense}}}, b: {imgae: x}}`);
  const wrong = await app.compose("up", "-d");
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /compose\.yaml:1:\d+/);
  ok(await app.compose("-p", "shop", "down"));
});

Deno.test("compose: kill -9 of nyxd in the middle of up, then up again: all is as asked for; stop and start keep the order", async () => {
  await using world = await startWorld();
  const app = project(world);
  const half = app.compose("up", "-d");
  for (let i = 0; i < 200 && !(await members(world)).has("shop-migrate-1"); i++) {
    await new Promise((r) => setTimeout(r, 10));
  }
  await world.nyxd.stop("SIGKILL");
  assert.notEqual((await half).code, 0);
  await using next = await startNyxd({ baseDir: world.nyxd.baseDir, slot: world.nyxd.slot });
  const on = app.on(next);
  ok(await on.compose("up", "-d"));
  const now = await members({ nyxd: next });
  assert.equal(now.size, 5);
  assert.equal(now.get("shop-web-1")?.status, "running");
  assert.match((await on.compose("plan")).stdout, /nothing to do/);

  ok(await on.compose("stop"));
  const ends = async (name: string) => Date.parse((await next.client.containers.inspect(name)).state.finished_at ?? "");
  assert.ok(await ends("shop-worker-1") <= await ends("shop-api-1"), "dependents stop first");
  assert.ok(await ends("shop-api-1") <= await ends("shop-db-1"));
  ok(await on.compose("start"));
  assert.ok(await startedAt({ nyxd: next }, "shop-db-1") + 300 <= await startedAt({ nyxd: next }, "shop-api-1"));
  ok(await on.compose("down", "-v"));
});

Deno.test("compose: after the host went down, services come back in the order of their dependencies", async () => {
  await using world = await startWorld();
  const app = project(
    world,
    shop(world.image).replaceAll("    networks:", "    restart: always\n    networks:")
      .replace("restart: always\n    restart: always", "restart: always").replace(
        "    restart: always\n    depends_on: {api",
        "    depends_on: {api",
      )
      .replace(/(migrated"\]\n) {4}restart: always\n/, "$1"),
  );
  ok(await app.compose("up", "-d"));
  const pids: number[] = [];
  for (const { id } of (await members(world)).values()) {
    pids.push((await world.nyxd.client.containers.inspect(id)).state.pid);
  }
  await world.nyxd.stop("SIGKILL");
  // What a power cut ends: the processes and, with them, their monitors.
  for (const pid of pids.filter((p) => p > 0)) {
    const monitor = Number(/PPid:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1]);
    const shell = Number(/PPid:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${monitor}/status`))?.[1]);
    for (const one of [shell, monitor, pid]) if (one > 1) Deno.kill(one, "SIGKILL");
  }
  await using next = await startNyxd({ baseDir: world.nyxd.baseDir, slot: world.nyxd.slot });
  for (let i = 0; i < 400; i++) {
    const up = [...(await members({ nyxd: next })).values()].filter((c) => c.status === "running").length;
    if (up === 4) break;
    await new Promise((r) => setTimeout(r, 25));
  }
  const at = (name: string) => startedAt({ nyxd: next }, name);
  assert.ok(await at("shop-db-1") + 300 <= await at("shop-api-1"), "api waited for a healthy db");
  assert.ok(await at("shop-api-1") <= await at("shop-worker-1"));
  ok(await app.on(next).compose("down", "-v"));
});

Deno.test("compose: the daemon reads no file that a caller names", async () => {
  await using world = await startWorld();
  const post = async (body: unknown) => {
    const conn = await Deno.connect({ transport: "unix", path: world.nyxd.socket });
    const text = JSON.stringify(body);
    await conn.write(new TextEncoder().encode(
      `POST /v1/compose/up HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
    ));
    return await new Response(conn.readable).text();
  };
  const { nyxd, image } = world;
  assert.match(await post({ file: "/etc/shadow" }), /nyxd reads no file that a caller names/);
  const secret = {
    project: "x",
    yaml: `services: {a: {image: ${image}, secrets: [s]}}\nsecrets: {s: {file: /etc/shadow}}`,
  };
  assert.match(await post(secret), /its content could not be read/);
  const envFile = { project: "x", yaml: `services: {a: {image: ${image}, env_file: /etc/passwd}}` };
  assert.match(await post(envFile), /the file \/etc\/passwd does not exist/);
  assert.match(await post({ project: "../../etc", yaml: `services: {a: {image: ${image}}}` }), /is no project name/);
  assert.deepEqual([...Deno.readDirSync(`${nyxd.baseDir}/compose`)].map((e) => e.name), []);
  const legacy = { project: "x", yaml: `services: {a: {image: ${image}, command: "true"}}`, context_dir: "/srv" };
  assert.match(await post(legacy), /"ok":true,"project":"x","ids":\["[0-9a-f]{64}"\]/);
});

Deno.test("compose: attached up, run and exec give exit codes; a plan is applied once; the other commands do what they say", async () => {
  await using world = await startWorld();
  const { image, nyxd } = world;
  const app = project(
    world,
    `
services:
  a: {image: ${image}, command: [sh, -c, "echo one; sleep 0.2; printf partial; exit 3"]}
  b: {image: ${image}, command: [sh, -c, "trap 'echo bye; exit 0' TERM; echo two; while :; do sleep 0.05; done"], depends_on: [a]}
`,
  );
  const plan = `${app.dir}/plan.json`;
  ok(await app.compose("create"));
  ok(await app.compose("plan", "-o", plan));
  ok(await app.compose("apply", plan));
  const moved = await app.compose("apply", plan);
  assert.match(moved.stderr, /the world moved since the plan was made/);
  assert.equal((await app.compose("wait", "a")).code, 3);

  const attached = await app.compose("up", "--abort-on-container-exit");
  assert.equal(attached.code, 3, attached.stderr);
  assert.match(attached.stdout, /a-1 +\| one\n/);
  assert.match(attached.stdout, /a-1 +\| partial\n/);
  assert.match(attached.stdout, /b-1 +\| bye\n/);
  assert.match(attached.stdout, /b-1 +\| exited with code 0\n/);

  ok(await app.compose("start", "b"));
  assert.equal((await app.compose("run", "--rm", "-T", "--no-deps", "b", "sh", "-c", "exit 5")).code, 5);
  const inside = await app.compose("exec", "-T", "b", "sh", "-c", "echo hi; exit 4");
  assert.deepEqual([inside.code, inside.stdout], [4, "hi\n"]);
  assert.match((await app.compose("ps")).stdout, /shop-b-1 .* b .* Up /);
  ok(await app.compose("pause"));
  assert.equal((await members(world)).get("shop-b-1")?.status, "paused");
  ok(await app.compose("unpause"));
  ok(await app.compose("restart", "-t", "1", "b"));
  assert.match((await app.compose("top")).stdout, /sleep 0\.05|while/);
  assert.match((await nyxd.nyx(["compose", "ls"])).stdout, /^shop +exited\(1\), running\(1\)/m);
  ok(await app.compose("kill", "b"));
  ok(await app.compose("rm", "-f"));
  assert.equal((await members(world)).size, 0);
  ok(await nyxd.nyx(["compose", "-p", "shop", "down"]));
  assert.deepEqual(await nyxd.client.compose.list(), []);
});
