/** A whole application of real servers: nginx before an API, postgresql, redis and a worker; through its life, with nyxd and the host going down. */

import assert from "node:assert/strict";
import { type Nyxd, startNyxd } from "../support/daemon.ts";
import { APP_IMAGES, appImages, POSTGRES_UID } from "../support/debian_apps.ts";
import { ok, type TestProject, testProject } from "../support/compose.ts";
import { startLoad } from "../support/wrk.ts";

const PORT = 20_000 + Math.floor(Math.random() * 10_000);
const URL_ = `http://127.0.0.1:${PORT}`;

/** Answers a request with how many rows there are, after it has queued one more. */
const API = String.raw`#!/bin/sh
echo "Content-Type: text/plain"; echo
export PGPASSWORD="$$(cat /run/secrets/db_password)" REDISCLI_AUTH="$$(cat /run/secrets/cache_password)"
[ "$$QUERY_STRING" = push ] && redis-cli -h cache LPUSH jobs "job" >/dev/null
echo "$$LEVEL $$(psql -h db -U app -d postgres -tAc 'select count(*) from jobs')"
`;

const WORKER = String.raw`trap 'exit 0' TERM
export PGPASSWORD="$$(cat /run/secrets/db_password)" REDISCLI_AUTH="$$(cat /run/secrets/cache_password)"
while :; do
  if redis-cli -h cache BRPOP jobs 1 | grep -q job; then
    psql -q -h db -U app -d postgres -c "insert into jobs values ('$$HOSTNAME')"
  fi
done`;

const NGINX = String.raw`worker_processes 1; daemon off; pid /tmp/nginx.pid; error_log /dev/stderr warn; user www-data;
events { worker_connections 256; }
http {
  access_log off; keepalive_requests 100; resolver RESOLVER valid=1s; proxy_connect_timeout 1s;
  server {
    listen 80;
    location / { return 200 "VERSION\n"; }
    location /api/ { set $$up http://api:8000; rewrite ^/api/(.*)$$ /cgi-bin/$$1 break; proxy_pass $$up; }
  }
}`;

const indent = (text: string, by: number) => text.trimEnd().split("\n").map((line) => " ".repeat(by) + line).join("\n");

function app({ version = "one", level = "info" } = {}): string {
  const check = "interval: 200ms, timeout: 5s, retries: 50, start_period: 30s, start_interval: 200ms";
  return `
name: store
services:
  db:
    image: ${APP_IMAGES.postgres}
    user: postgres
    stop_signal: SIGINT
    restart: always
    command:
      - sh
      - -c
      - |
        if [ ! -s "$$PGDATA/PG_VERSION" ]; then
          initdb -U app --pwfile=/run/secrets/db_password --auth-host=scram-sha-256 --auth-local=trust --locale=C -E UTF8 >/dev/null &&
          echo 'host all all all scram-sha-256' >>"$$PGDATA/pg_hba.conf" &&
          echo 'create table jobs (worker text)' | postgres --single -D "$$PGDATA" postgres >/dev/null || exit 1
        fi
        exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp -c jit=off -c fsync=off -c dynamic_shared_memory_type=mmap
    healthcheck: {test: [CMD, pg_isready, -q, -h, 127.0.0.1, -U, app], ${check}}
    secrets: [{source: db_password, uid: "${POSTGRES_UID}", mode: 0400}]
    volumes: [dbdata:/var/lib/postgresql/data]
    networks: [back]
  cache:
    image: ${APP_IMAGES.redis}
    restart: always
    command: [sh, -c, 'exec redis-server --requirepass "$$(cat /run/secrets/cache_password)" --save "" --dir /data']
    healthcheck: {test: 'redis-cli -a "$$(cat /run/secrets/cache_password)" ping 2>/dev/null | grep -q PONG', ${check}}
    secrets: [cache_password]
    volumes: [cachedata:/data]
    networks: [back]
  api:
    image: ${APP_IMAGES.postgres}
    restart: always
    environment: {LEVEL: ${level}}
    command: [sh, -c, "httpd -f -p 8000 -h /srv & trap 'kill $$!; exit 0' TERM; wait"]
    healthcheck: {test: "wget -q -O /dev/null http://127.0.0.1:8000/cgi-bin/count", ${check}}
    configs: [{source: api, target: /srv/cgi-bin/count, mode: 0755}]
    secrets: [db_password, cache_password]
    networks: [front, back]
    depends_on: {db: {condition: service_healthy}, cache: {condition: service_healthy}}
  worker:
    image: ${APP_IMAGES.postgres}
    restart: always
    command:
      - sh
      - -c
      - |
${indent(WORKER, 8)}
    secrets: [db_password, cache_password]
    networks: [back]
    depends_on: {db: {condition: service_healthy}, cache: {condition: service_healthy}}
  web:
    image: ${APP_IMAGES.nginx}
    restart: always
    stop_signal: SIGQUIT
    command:
      - sh
      - -c
      - sed "s/RESOLVER/$$(awk '/^nameserver/ {print $$2; exit}' /etc/resolv.conf)/" /etc/nginx/site.conf >/tmp/site.conf && exec nginx -c /tmp/site.conf
    ports: ["127.0.0.1:${PORT}:80"]
    configs: [{source: site, target: /etc/nginx/site.conf}]
    healthcheck: {test: "wget -q -O /dev/null http://127.0.0.1/", ${check}}
    networks: [front]
    depends_on: {api: {condition: service_healthy}}
    deploy: {update_config: {order: start-first}}
networks: {front: {}, back: {internal: true}}
volumes: {dbdata: {}, cachedata: {}}
secrets: {db_password: {file: ./db_password}, cache_password: {environment: CACHE_PASSWORD}}
configs:
  api:
    content: |
${indent(API, 6)}
  site:
    content: |
${indent(NGINX.replace("VERSION", version), 6)}
`;
}

/** Keeps no connection: an idle one would be waited for before its container stops. */
const CLIENT = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });

async function get(path: string): Promise<string> {
  const response = await fetch(URL_ + path, { client: CLIENT });
  const text = (await response.text()).trim();
  assert.equal(response.status, 200, text);
  return text;
}

/** Ids by name. */
async function ids(nyxd: Nyxd): Promise<Map<string, string>> {
  return new Map((await nyxd.client.containers.list({ all: true })).map((c) => [c.name, c.id]));
}

/** Names whose container is another one now. */
function changed(before: Map<string, string>, now: Map<string, string>): string[] {
  return [...now].filter(([name, id]) => before.get(name) !== id).map(([name]) => name).sort();
}

async function until(what: string, test: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (await test().catch(() => false)) return;
    await new Promise((r) => setTimeout(r, 50));
  }
  assert.fail(`it did not happen within 30 s: ${what}`);
}

/** Queues jobs and waits until workers have written them all. */
async function work(jobs: number): Promise<void> {
  const before = Number((await get("/api/count")).split(" ")[1]);
  for (let i = 0; i < jobs; i++) await get("/api/count?push");
  await until("all jobs are done", async () => (await get("/api/count")).endsWith(` ${before + jobs}`));
}

async function upUnchangedAndChanged(nyxd: Nyxd, project: TestProject): Promise<void> {
  ok(await project.compose("up", "-d", "--wait"));
  assert.equal(await get("/"), "one");
  await work(3);
  const first = await ids(nyxd);
  const again = await project.compose("up", "-d");
  ok(again);
  assert.equal(again.stderr, "");
  assert.deepEqual(await ids(nyxd), first, "an unchanged up touches nothing");
  const secret = Deno.readTextFileSync(`${project.dir}/db_password`);
  for (const name of first.keys()) {
    assert.ok(!JSON.stringify(await nyxd.client.containers.inspect(name)).includes(secret), name);
  }
  project.write("compose.yaml", app({ level: "debug" }));
  ok(await project.compose("up", "-d", "--wait"));
  assert.deepEqual(changed(first, await ids(nyxd)), ["store-api-1"]);
  // nginx keeps an address for a second.
  await until("the new api has the old database", async () => await get("/api/count") === "debug 3");
}

async function scaleAndRedeploy(nyxd: Nyxd, project: TestProject): Promise<void> {
  ok(await project.compose("up", "-d", "--scale", "worker=3"));
  assert.equal([...(await ids(nyxd)).keys()].filter((n) => n.startsWith("store-worker-")).length, 3);
  await work(6);
  ok(await project.compose("up", "-d", "--scale", "worker=1"));
  const before = await ids(nyxd);
  const end = startLoad(`${URL_}/`);
  await new Promise((r) => setTimeout(r, 300));
  project.write("compose.yaml", app({ level: "debug", version: "two" }));
  ok(await project.compose("up", "-d"));
  const { requests, errors } = await end();
  assert.deepEqual(errors, [], `${requests} requests`);
  assert.deepEqual(changed(before, await ids(nyxd)), ["store-web-1"]);
  assert.equal(await get("/"), "two");
  console.log(`nginx redeployed under load with kept-alive connections: ${requests} requests, 0 failed`);
}

/** What a power cut ends: processes and, with them, their monitors. */
async function powerCut(nyxd: Nyxd): Promise<void> {
  const names = [...(await ids(nyxd)).keys()];
  const states = await Promise.all(names.map((name) => nyxd.client.containers.inspect(name)));
  await nyxd.stop("SIGKILL");
  const parent = (of: number) => Number(/PPid:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${of}/status`))?.[1]);
  for (const { state: { pid } } of states.filter((s) => s.state.pid > 0)) {
    const monitor = parent(pid);
    for (const one of [parent(monitor), monitor, pid]) if (one > 1) Deno.kill(one, "SIGKILL");
  }
  await new Deno.Command("umount", { args: ["-l", `${nyxd.baseDir}/run/compose`] }).output();
}

Deno.test("compose application of nginx, api, postgresql, redis and worker: up, no change, a change, scale, redeploy under load, nyxd killed, reboot, down", async () => {
  const archive = await appImages();
  await using nyxd = await startNyxd();
  const dir = Deno.makeTempDirSync({ prefix: "nyx-app-" });
  try {
    ok(await nyxd.nyx(["load", "-i", archive]));
    const project = testProject(nyxd, dir, app(), { CACHE_PASSWORD: "cached, and secret" });
    project.write("db_password", "a password of the database");
    await upUnchangedAndChanged(nyxd, project);
    await scaleAndRedeploy(nyxd, project);

    const whole = await ids(nyxd);
    project.write("compose.yaml", app({ level: "trace", version: "three" }));
    const half = project.compose("up", "-d");
    await until("api is being replaced", async () => (await ids(nyxd)).get("store-api-1") !== whole.get("store-api-1"));
    await nyxd.stop("SIGKILL");
    assert.notEqual((await half).code, 0);
    await using second = await startNyxd({ baseDir: nyxd.baseDir, slot: nyxd.slot });
    const on = project.on(second);
    ok(await on.compose("up", "-d", "--wait"));
    assert.deepEqual([...(await ids(second)).keys()].sort(), [...whole.keys()].sort());
    assert.equal(await get("/"), "three");
    await until("the new api has the old database", async () => await get("/api/count") === "trace 9");
    assert.match((await on.compose("plan")).stdout, /nothing to do/);

    await powerCut(second);
    await using third = await startNyxd({ baseDir: nyxd.baseDir, slot: nyxd.slot });
    await until("the application is back", async () => (await get("/api/count")) === "trace 9");
    const at = async (name: string) =>
      Date.parse((await third.client.containers.inspect(`store-${name}-1`)).state.started_at ?? "");
    assert.ok(await at("db") < await at("api") && await at("cache") < await at("api"), "after what it depends on");
    assert.ok(await at("api") < await at("web"));
    await work(2);

    ok(await project.on(third).compose("down", "-v"));
    assert.deepEqual([...await ids(third)], []);
    assert.deepEqual(await third.client.volumes.list(), []);
    assert.deepEqual((await third.client.networks.list()).map((n) => n.default), [true]);
    for (const left of ["compose", "run/compose"]) {
      assert.deepEqual([...Deno.readDirSync(`${nyxd.baseDir}/${left}`)], [], left);
    }
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
