/** Redeploy without a failed request, on the real kernel: wrk sends requests to a published port all the while. */

import assert from "node:assert/strict";
import { testProject } from "../support/compose.ts";
import { startLoad } from "../support/wrk.ts";
import { type Nyxd, startNyxd } from "../support/daemon.ts";
import { startWorld } from "../support/world.ts";

const PORT = 20_000 + Math.floor(Math.random() * 10_000);

interface ShopOptions {
  version: string;
  healthy?: boolean;
  check?: boolean;
}

function shop(image: string, { version, healthy = true, check = true }: ShopOptions): string {
  const test = healthy ? "wget -q -O /dev/null http://127.0.0.1/" : "exit 1";
  return `
name: shop
services:
  web:
    image: ${image}
    environment: {VERSION: ${version}}
    ports: ["127.0.0.1:${PORT}:80"]
    command:
      - sh
      - -c
      - |
        mkdir -p /www; echo $$VERSION >/www/index.html
        sleep 0.5
        httpd -f -p 80 -h /www & trap "kill $$!; exit 0" TERM; wait
    ${
    check ? `healthcheck: {test: "${test}", interval: 100ms, retries: 3, start_period: 2s, start_interval: 100ms}` : ""
  }
    deploy: {update_config: {order: start-first}}
  client:
    image: ${image}
    command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 0.05; done"]
`;
}

/** Redeploys one after the other: what is asked for, what is served afterwards, how the command ends. */
const REDEPLOYS: { options: ShopOptions; served: string; code: number }[] = [
  { options: { version: "two" }, served: "two", code: 0 },
  { options: { version: "bad", healthy: false }, served: "two", code: 1 },
  { options: { version: "three", check: false }, served: "three", code: 0 },
];

Deno.test("compose redeploy, order start-first: no request fails while a published port goes to the new container, nor when that is unhealthy", async () => {
  await using world = await startWorld();
  const { image, nyxd } = world;
  const app = testProject(nyxd, `${world.dir}/shop`, shop(image, { version: "one" }));
  const up = async (...args: string[]) => await app.compose("up", "-d", ...args);
  const first = await up("--wait");
  assert.equal(first.code, 0, first.stderr);
  const url = `http://127.0.0.1:${PORT}/`;
  const version = async () => (await (await fetch(url)).text()).trim();
  const id = async () => (await nyxd.client.containers.inspect("shop-web-1")).id;
  const told: string[] = [];
  for (const { options, served, code } of REDEPLOYS) {
    const before = await id();
    const end = startLoad(url);
    await new Promise((r) => setTimeout(r, 300));
    app.write("compose.yaml", shop(image, options));
    const began = performance.now();
    const working = up();
    if (code === 1) {
      // Inside, too, nobody is led to the one that is not ready.
      for (let i = 0; i < 5; i++) {
        const inside = await app.compose("exec", "-T", "client", "wget", "-q", "-O", "-", "http://web/");
        assert.equal(inside.stdout.trim(), served, inside.stderr);
      }
    }
    const result = await working;
    const took = performance.now() - began;
    await new Promise((r) => setTimeout(r, 200));
    const { requests, errors } = await end();
    assert.equal(result.code, code, result.stderr);
    assert.deepEqual(errors, [], `${options.version}: ${requests} requests`);
    assert.ok(requests > 50, `${requests} requests`);
    assert.equal(await version(), served);
    if (code === 0) assert.notEqual(await id(), before);
    else {
      assert.match(result.stderr, /is unhealthy; the container that runs was left as it is/);
      assert.equal(await id(), before);
    }
    told.push(`${options.version}: ${requests} requests, 0 failed, ${took.toFixed(0)} ms`);
    const names = (await nyxd.client.containers.list({ all: true })).map((c) => c.name).sort();
    assert.deepEqual(names, ["shop-client-1", "shop-web-1"]);
    const byName = await app.compose("exec", "-T", "client", "wget", "-q", "-O", "-", "http://web/");
    assert.equal(byName.stdout.trim(), served, byName.stderr);
  }
  console.log(`redeploy under load: ${told.join("; ")}`);
  assert.match((await app.compose("plan")).stdout, /nothing to do/);
  assert.equal((await app.compose("port", "web", "80")).stdout.trim(), `127.0.0.1:${PORT}`);
  assert.equal((await app.compose("down")).code, 0);
});

/** Moments of a redeploy, as one sees them from outside. */
const MOMENTS: Record<string, (names: string[], served: string) => boolean> = {
  "the new container was made": (names) => names.some((name) => /^[0-9a-f]{8}_shop-web-1$/.test(name)),
  "the port has gone over": (_, served) => served === "new",
  "the old container has given up its name": (names) => names.some((name) => /^[0-9a-f]{12}_shop-web-1$/.test(name)),
};

Deno.test("compose redeploy: nyxd killed with kill -9 in its middle; the next up ends it, with one container and no lost port", async () => {
  await using world = await startWorld();
  const { baseDir, slot } = world.nyxd;
  const project = testProject(world.nyxd, `${world.dir}/shop`, shop(world.image, { version: "v0" }));
  const served = async () => (await (await fetch(`http://127.0.0.1:${PORT}/`)).text()).trim();
  const containers = async (nyxd: Nyxd) => (await nyxd.client.containers.list({ all: true })).map((c) => c.name).sort();
  assert.equal((await project.compose("up", "-d", "--wait")).code, 0);
  await using stack = new AsyncDisposableStack();
  let nyxd: Nyxd = world.nyxd;
  let version = 0;
  for (const [moment, reached] of Object.entries(MOMENTS)) {
    project.write("compose.yaml", shop(world.image, { version: `v${++version}` }));
    const cut = project.on(nyxd).compose("up", "-d");
    const until = Date.now() + 20_000;
    while (!reached(await containers(nyxd), await served() === `v${version}` ? "new" : "old")) {
      assert.ok(Date.now() < until, `it did not come to it that ${moment}`);
    }
    await nyxd.stop("SIGKILL");
    await cut;
    const next: Nyxd = await startNyxd({ baseDir, slot });
    nyxd = stack.use(next);
    const left = (await containers(next)).join(", ");
    const on = project.on(next);
    const again = await on.compose("up", "-d", "--wait");
    assert.equal(again.code, 0, `${moment}: ${left}\n${again.stderr}`);
    assert.deepEqual(await containers(next), ["shop-client-1", "shop-web-1"], `${moment}: ${left}`);
    assert.equal(await served(), `v${version}`, `${moment}: ${left}`);
    const inside = await on.compose("exec", "-T", "client", "wget", "-q", "-O", "-", "http://web/");
    assert.equal(inside.stdout.trim(), `v${version}`, `${moment}: ${left}\n${inside.stderr}`);
    assert.match((await on.compose("plan")).stdout, /nothing to do/, moment);
    console.log(`killed when ${moment}: ${left}`);
  }
  assert.equal((await project.on(nyxd).compose("down")).code, 0);
});

/** Two containers; of the version `bad` the second one to start never gets healthy. */
function pair(image: string, version: string): string {
  return `
name: shop
services:
  web:
    image: ${image}
    environment: {VERSION: ${version}}
    ports: ["127.0.0.1:${PORT + 1}-${PORT + 2}:80"]
    volumes: [shared:/shared]
    command:
      - sh
      - -c
      - |
        mkdir -p /www; echo $$VERSION >/www/index.html
        if [ $$VERSION = bad ]; then [ -e /shared/first ] && touch /never; touch /shared/first; fi
        httpd -f -p 80 -h /www & trap "kill $$!; exit 0" TERM; wait
    healthcheck: {test: "test ! -e /never && wget -q -O /dev/null http://127.0.0.1/", interval: 100ms, retries: 5,
      start_period: 1s, start_interval: 100ms}
    deploy: {replicas: 2, update_config: {order: start-first, failure_action: rollback}}
volumes: {shared: {}}
`;
}

Deno.test("compose redeploy, failure_action rollback: when the second container fails the first one goes back, and no request fails", async () => {
  await using world = await startWorld();
  const { image, nyxd } = world;
  const app = testProject(nyxd, `${world.dir}/shop`, pair(image, "good"));
  const first = await app.compose("up", "-d", "--wait");
  assert.equal(first.code, 0, first.stderr);
  const ids = async () => (await nyxd.client.containers.list({ all: true })).map((c) => `${c.name} ${c.id}`).sort();
  const before = await ids();
  const end = startLoad(`http://127.0.0.1:${PORT + 1}/`);
  await new Promise((r) => setTimeout(r, 300));
  app.write("compose.yaml", pair(image, "bad"));
  const failed = await app.compose("up", "-d");
  const { requests, errors } = await end();
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /recreate:shop-web-2: .*unhealthy/);
  assert.match(failed.stderr, /service web was rolled back: shop-web-1/);
  assert.deepEqual(errors, [], `${requests} requests`);
  assert.deepEqual(await ids(), before, "the very containers of before");
  for (const port of [PORT + 1, PORT + 2]) {
    assert.equal((await (await fetch(`http://127.0.0.1:${port}/`)).text()).trim(), "good");
  }
  app.write("compose.yaml", pair(image, "good"));
  assert.match((await app.compose("plan")).stdout, /nothing to do/);
  console.log(`rolled back under load: ${requests} requests, 0 failed`);
  assert.equal((await app.compose("down", "-v")).code, 0);
});
