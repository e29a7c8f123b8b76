/**
 * The crash matrix of `compose up`: nyxd, and separately a worker, dies at steps of bringing a project up, and of changing it. Then the
 * same `up` finishes what was begun, and `down` leaves nothing.
 */

import assert from "node:assert/strict";
import { type Nyxd, startNyxd } from "../support/daemon.ts";
import { arm, disarm, type Step, traced } from "../support/faults.ts";
import { untilTrue } from "../support/truth.ts";
import { startWorld } from "../support/world.ts";

const ENTRY = "tests/support/faulty_nyxd.ts";
/** All steps; otherwise the first of each kind whose loss would hurt: `compose_crash_test.ts -- full`. */
const FULL = Deno.args.includes("full");
const PIVOTAL = {
  nyxd: new Set(["record.save", "network.ensureNetwork", "streams.launch", "streams.kill", "record.remove"]),
  worker: new Set(["network.ensureNetwork", "rootfs.mount", "streams.kill"]),
};

/** A database on a volume, and an application that needs it; `level` changes the application alone. */
const project = (image: string, level: string) => ({
  yaml: `
name: shop
services:
  db:
    image: ${image}
    command: [sh, -c, "echo kept >>/data/log; trap 'exit 0' TERM; while :; do usleep 10000; done"]
    volumes: [data:/data]
    networks: [back]
    healthcheck: {test: [CMD, test, -s, /data/log], interval: 100ms}
  app:
    image: ${image}
    environment: {LEVEL: "${level}"}
    command: [sh, -c, "trap 'exit 0' TERM; while :; do usleep 10000; done"]
    networks: [back]
    ports: ["127.0.0.1::80"]
    depends_on: {db: {condition: service_healthy}}
    stop_grace_period: 1s
networks: {back: {}}
volumes: {data: {}}
`,
});

async function up(nyxd: Nyxd, image: string, level: string): Promise<void> {
  await nyxd.client.compose.up(project(image, level));
}

async function down(nyxd: Nyxd): Promise<void> {
  await nyxd.client.compose.down({ project: "shop", remove_volumes: true, timeout_s: 0 }).catch((e) => {
    // A crash before anything was kept leaves no project to take down.
    if ((e as { code?: string }).code !== "not_found") throw e;
  });
}

/** Steps at which a victim dies: the first that matter; later ones are the same code for another container. */
function chosen(steps: Step[], victim: keyof typeof PIVOTAL): Step[] {
  const possible = victim === "nyxd" ? steps : steps.filter(({ step }) => !step.startsWith("record."));
  return FULL ? possible : possible.filter(({ step, nth }) => PIVOTAL[victim].has(step) && nth === 1);
}

/** After a crash: what is said is true; the same request finishes; nothing is left by taking it down. */
async function check(nyxd: Nyxd, image: string, level: string): Promise<void> {
  assert.deepEqual(await untilTrue(nyxd), [], "after the crash");
  await up(nyxd, image, level);
  const all = await nyxd.client.containers.list({ all: true });
  assert.deepEqual(all.map((c) => `${c.name} ${c.status}`).sort(), ["shop-app-1 running", "shop-db-1 running"]);
  const app = await nyxd.client.containers.inspect("shop-app-1");
  assert.ok(app.config.env?.includes(`LEVEL=${level}`) === true, `the application is as asked for: ${app.config.env}`);
  const log = await nyxd.nyx(["exec", "shop-db-1", "cat", "/data/log"]);
  assert.match(log.stdout, /^(kept\n)+$/, log.stderr);
  assert.deepEqual(await untilTrue(nyxd), [], "after the second up");
  await down(nyxd);
  assert.deepEqual(await nyxd.client.containers.list({ all: true }), [], "containers after down");
  assert.deepEqual((await nyxd.client.networks.list()).filter((n) => !n.default), [], "networks after down");
  assert.deepEqual(await nyxd.client.volumes.list(), [], "volumes after down");
  assert.deepEqual(await untilTrue(nyxd), [], "after down");
}

for (const victim of ["nyxd", "worker"] as const) {
  Deno.test(`${victim} dies at each step of compose up, new and changed: up again finishes it, down leaves nothing`, async () => {
    const world = await startWorld({ entry: ENTRY });
    const { image } = world;
    let nyxd: Nyxd = world.nyxd;
    const failures: string[] = [];
    const strike = async (name: string, { step, nth }: Step, prepare: () => Promise<unknown>, level: string) => {
      const what = `${name}, ${victim} dies during ${step} ${nth}`;
      await prepare();
      arm(nyxd, { step, nth, when: "during", victim });
      await up(nyxd, image, level).catch(() => {});
      if (victim === "nyxd") {
        await nyxd.stop("SIGKILL");
        disarm(nyxd);
        nyxd = await startNyxd({ baseDir: nyxd.baseDir, slot: nyxd.slot, entry: ENTRY });
      } else disarm(nyxd);
      try {
        await check(nyxd, image, level);
      } catch (e) {
        failures.push(`${what}: ${e instanceof Error ? e.message : e}`);
        await down(nyxd).catch(() => {});
      }
    };
    try {
      const first = await traced(nyxd, () => up(nyxd, image, "1"));
      const second = await traced(nyxd, () => up(nyxd, image, "2"));
      await down(nyxd);
      for (const step of chosen(first, victim)) await strike("new", step, () => Promise.resolve(), "1");
      for (const step of chosen(second, victim)) await strike("changed", step, () => up(nyxd, image, "1"), "2");
      assert.deepEqual(failures, []);
    } finally {
      if (nyxd !== world.nyxd) {
        await down(nyxd).catch(() => {});
        await nyxd.stop();
      }
      await world[Symbol.asyncDispose]();
    }
  });
}
