/** Redeploy without a failed request, on the real kernel: wrk sends requests to a published port all the while. */

import assert from "node:assert/strict";
import { testProject } from "../support/compose.ts";
import { startLoad } from "../support/wrk.ts";
import { startWorld } from "../support/world.ts";

const PORT = 20_000 + Math.floor(Math.random() * 10_000);

function shop(image: string, { version, healthy = true, check = true }: {
  version: string;
  healthy?: boolean;
  check?: boolean;
}): string {
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
  for (
    const [options, served, code] of [
      [{ version: "two" }, "two", 0],
      [{ version: "bad", healthy: false }, "two", 1],
      [{ version: "three", check: false }, "three", 0],
    ] as const
  ) {
    const before = await id();
    const end = startLoad(url);
    await new Promise((r) => setTimeout(r, 300));
    app.write("compose.yaml", shop(image, options));
    const began = performance.now();
    const result = await up();
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
