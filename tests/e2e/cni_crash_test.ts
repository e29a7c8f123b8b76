/**
 * nyxd with CNI networks dies at the steps of start, stop and remove that concern the network, or decide what the record says: no
 * namespace, link, rule, lease or cached result is left, and what runs is attached as it was. (crash_test.ts has all steps, with
 * nyx's own networks; cni_test.ts in tests/integration cuts between any two plugins.)
 */

import assert from "node:assert/strict";
import { type CniWorld, NOTHING, startCniWorld, traces } from "../support/cni_world.ts";
import { eventually } from "../support/eventually.ts";
import { arm, disarm, traced } from "../support/faults.ts";
import { untruths } from "../support/truth.ts";

const SERVE = ["sh", "-c", "trap 'exit 7' TERM; echo served >/tmp/i; httpd -f -p 80 -h /tmp & wait"];
const PIVOTAL = new Set(["streams.launch", "record.remove"]);

/** One operation on the container `c`: its states afterwards, whether it was finished or undone. */
interface Operation {
  prepare: "create" | "start" | "stop";
  states: readonly (string | undefined)[];
}

const OPERATIONS: Record<"start" | "stop" | "remove", Operation> = {
  start: { prepare: "create", states: ["created", "exited", "running"] },
  stop: { prepare: "start", states: ["running", "exited"] },
  remove: { prepare: "stop", states: ["exited", undefined] },
};

async function prepare({ nyxd, image }: CniWorld, upTo: Operation["prepare"]): Promise<void> {
  const { containers } = nyxd.client;
  await containers.create({ image, name: "c", args: SERVE, publish: [{ hostPort: 8080, containerPort: 80 }] });
  if (upTo === "create") return;
  await containers.start("c");
  if (upTo === "stop") await containers.stop("c", { timeoutS: 0 });
}

function run({ nyxd }: CniWorld, name: keyof typeof OPERATIONS): Promise<unknown> {
  const { containers } = nyxd.client;
  return name === "start" ? containers.start("c") : name === "stop" ? containers.stop("c") : containers.remove("c");
}

async function statusOf({ nyxd }: CniWorld): Promise<string | undefined> {
  return (await nyxd.client.containers.list({ all: true }))[0]?.status;
}

/** What is not as nyxd says: on the machine at large, and of what plugins made. */
async function wrong(world: CniWorld): Promise<string[]> {
  const told = (await untruths(world.nyxd)).filter((l) => !/port rules|links on bridges/.test(l));
  const found = traces(world);
  if (await statusOf(world) !== "running") {
    const left = Object.entries(found).filter(([, list]) => list.length > 0);
    return [...told, ...left.map(([what, list]) => `${what} left: ${list.join("; ")}`)];
  }
  const { leases, links, netns, results, rules } = found;
  const counts = { leases: leases.length, links: links.length, netns: netns.length, results: results.length };
  for (const [what, n] of Object.entries(counts)) if (n !== 1) told.push(`${n} ${what} of one container`);
  if (!rules.some((l) => l.includes("--dport 8080"))) told.push("no rule publishes its port");
  return told;
}

/** Waits until all is right; the last differences otherwise. */
async function settled(world: CniWorld): Promise<string[]> {
  for (const end = Date.now() + 10_000;;) {
    const found = await wrong(world);
    if (found.length === 0 || Date.now() > end) return found;
    await new Promise((r) => setTimeout(r, 100));
  }
}

async function clear(world: CniWorld): Promise<void> {
  if (await statusOf(world) !== undefined) await world.nyxd.client.containers.remove("c", { force: true });
}

Deno.test("kill -9 of nyxd with CNI networks during start, stop and remove: state true, nothing left, ports as they were", async () => {
  await using world = await startCniWorld({ entry: "tests/support/faulty_nyxd.ts" });
  for (const [name, { prepare: upTo, states }] of Object.entries(OPERATIONS)) {
    const operation = name as keyof typeof OPERATIONS;
    await prepare(world, upTo);
    const steps = await traced(world.nyxd, () => run(world, operation));
    await clear(world);
    const struck = steps.filter(({ step, nth }) => nth === 1 && (step.startsWith("network.") || PIVOTAL.has(step)));
    assert.ok(struck.some(({ step }) => step.startsWith("network.")), `${name}: ${JSON.stringify(steps)}`);
    for (const { step, nth } of struck) {
      const what = `${name}, during ${step} ${nth}`;
      await prepare(world, upTo);
      arm(world.nyxd, { step, nth, when: "during", victim: "nyxd" });
      await run(world, operation).catch(() => {});
      const dead = () => world.nyxd.client.system.ping().then(() => false, () => true);
      await eventually(`${what}: the death of nyxd`, dead, 10_000);
      await world.nyxd.stop("SIGKILL");
      disarm(world.nyxd);
      await world.again();
      assert.deepEqual(await settled(world), [], `${what}: after the crash`);
      const status = await statusOf(world);
      assert.ok(states.includes(status), `${what}: the container is ${status}`);
      if (status !== undefined) {
        await run(world, operation);
        assert.deepEqual(await settled(world), [], `${what}: done again`);
      }
      await clear(world);
      assert.deepEqual(traces(world), NOTHING, what);
    }
  }
});
