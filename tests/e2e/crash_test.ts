/**
 * The crash matrix: nyxd, and separately a worker, dies at each step of each operation. Steps are not listed here: a run
 * without a fault records them (tests/support/faulty_nyxd.ts), so that a step added to an operation is covered by itself.
 */

import assert from "node:assert/strict";
import { type Nyxd, startNyxd } from "../support/daemon.ts";
import { arm, disarm, traced } from "../support/faults.ts";
import { untilTrue } from "../support/truth.ts";
import { startWorld, type World } from "../support/world.ts";

const ENTRY = "tests/support/faulty_nyxd.ts";
/** Prints at both ends, so that a lost line shows; its exit code is its own. */
const SCRIPT = "trap 'echo end; exit 7' TERM; echo begin; while :; do usleep 10000; done";

/** One operation under test. */
interface Operation {
  /** Brings a new container to where the operation begins; its id. */
  prepare(nyxd: Nyxd, image: string): Promise<string>;
  run(nyxd: Nyxd, id: string, image: string): Promise<unknown>;
  /** States that are true afterwards, whether it was finished or undone. */
  states: readonly (string | undefined)[];
}

const create = async (nyxd: Nyxd, image: string) =>
  (await nyxd.client.containers.create({
    image,
    args: ["sh", "-c", SCRIPT],
    publish: [{ hostIp: "127.0.0.1", hostPort: 0, containerPort: 80 }],
  })).id;

const running = async (nyxd: Nyxd, image: string) => {
  const id = await create(nyxd, image);
  await nyxd.client.containers.start(id);
  while (await logOf(nyxd, id) === "") await new Promise((r) => setTimeout(r, 5));
  return id;
};

const OPERATIONS: Record<string, Operation> = {
  create: {
    prepare: () => Promise.resolve(""),
    run: (nyxd, _id, image) => create(nyxd, image),
    states: [undefined, "created"],
  },
  start: {
    prepare: create,
    run: (nyxd, id) => nyxd.client.containers.start(id),
    states: ["created", "exited", "running"],
  },
  stop: {
    prepare: running,
    run: (nyxd, id) => nyxd.client.containers.stop(id),
    states: ["running", "exited"],
  },
  restart: {
    prepare: running,
    run: (nyxd, id) => nyxd.client.containers.restart(id),
    states: ["running", "exited"],
  },
  remove: {
    prepare: async (nyxd, image) => {
      const id = await running(nyxd, image);
      await nyxd.client.containers.stop(id);
      return id;
    },
    run: (nyxd, id) => nyxd.client.containers.remove(id),
    states: ["exited", undefined],
  },
  exec: {
    prepare: running,
    run: async (nyxd, id) => {
      using session = await nyxd.client.containers.exec(id, { argv: ["echo", "inside"] });
      for await (const _ of session);
    },
    states: ["running"],
  },
  pull: {
    prepare: async (nyxd, image) => {
      await nyxd.client.images.remove(image);
      return "";
    },
    run: (nyxd, _id, image) => nyxd.client.images.pull({ ref: image }),
    states: [undefined],
  },
};

async function logOf(nyxd: Nyxd, id: string): Promise<string> {
  let text = "";
  for await (const b of nyxd.client.containers.logs(id)) text += new TextDecoder().decode(b);
  return text;
}

/** Only these, for work on one of them: `crash_test.ts -- start`. `full` also strikes after each answer, not only during. */
const ONLY = new Set(Deno.args.filter((a) => a !== "full"));
const FULL = Deno.args.includes("full");
/** Steps whose answer matters so much that nyxd also dies between it and what follows. */
const PIVOTAL = new Set(["streams.launch", "streams.kill", "record.save", "record.remove", "extract.layer"]);

async function statusOf(nyxd: Nyxd, id: string): Promise<string | undefined> {
  const all = await nyxd.client.containers.list({ all: true });
  return (id === "" ? all[0] : all.find((c) => c.id === id))?.status;
}

/** Steps of an operation, in order. */
async function stepsOf(world: World, operation: Operation): Promise<{ step: string; nth: number }[]> {
  const { nyxd, image } = world;
  const id = await operation.prepare(nyxd, image);
  const steps = await traced(nyxd, () => operation.run(nyxd, id, image));
  await clear(nyxd);
  return steps;
}

async function clear(nyxd: Nyxd): Promise<void> {
  for (const c of await nyxd.client.containers.list({ all: true })) {
    await nyxd.client.containers.remove(c.id, { force: true });
  }
}

/** Everything is as it was said to be; the operation can be done (again); nothing stays behind. */
async function check(nyxd: Nyxd, image: string, operation: Operation, id: string, what: string): Promise<void> {
  assert.deepEqual(await untilTrue(nyxd), [], `${what}: after the crash`);
  const status = await statusOf(nyxd, id);
  assert.ok(operation.states.includes(status), `${what}: the container is ${status}`);
  if (status === "exited" || status === "running") {
    const log = await logOf(nyxd, id);
    assert.match(log, /^(begin\n(end\n)?)*$/, `${what}: lines are whole and in order`);
    if (id !== "" && status === "exited" && log !== "") {
      const { state } = await nyxd.client.containers.inspect(id);
      assert.ok([7, 125, 137, 143].includes(state.exit_code ?? -1), `${what}: exit code ${state.exit_code}`);
    }
  }
  if (status !== undefined && operation !== OPERATIONS["create"]) {
    await operation.run(nyxd, id, image);
  } else if (operation === OPERATIONS["pull"]) {
    await operation.run(nyxd, id, image);
    const again = await running(nyxd, image);
    assert.equal(await statusOf(nyxd, again), "running", `${what}: the image can be used`);
  }
  await clear(nyxd);
  assert.deepEqual(await untilTrue(nyxd), [], `${what}: after the containers were removed`);
}

/** What went wrong, and what nyxd had to say. */
function describe(what: string, e: unknown, nyxd: Nyxd): string {
  const lines = nyxd.log.filter((l) => /"level":"(warn|error)"/.test(l)).slice(-3);
  const message = e instanceof Error ? e.message : String(e);
  return [`${what}: ${message}`, ...lines.map((l) => l.slice(0, 400))].join("\n");
}

for (const [name, operation] of Object.entries(OPERATIONS)) {
  if (ONLY.size > 0 && !ONLY.has(name)) continue;
  Deno.test(`kill -9 of nyxd at each step of ${name}: state true, nothing left, nothing lost`, async () => {
    const world = await startWorld({ entry: ENTRY });
    const { image } = world;
    let nyxd: Nyxd = world.nyxd;
    const failures: string[] = [];
    try {
      for (const { step, nth } of await stepsOf(world, operation)) {
        // A restart is a stop and a start, which have tests of their own.
        if (name === "restart" && !FULL && (nth > 1 || !PIVOTAL.has(step))) continue;
        for (const when of ["during", "after"] as const) {
          if (when === "after" && !FULL && !PIVOTAL.has(step)) continue;
          const what = `${name}, ${when} ${step} ${nth}`;
          const id = await operation.prepare(nyxd, image);
          arm(nyxd, { step, nth, when, victim: "nyxd" });
          await operation.run(nyxd, id, image).catch(() => {});
          await nyxd.stop("SIGKILL");
          disarm(nyxd);
          nyxd = await startNyxd({ baseDir: nyxd.baseDir, slot: nyxd.slot, entry: ENTRY });
          await check(nyxd, image, operation, id, what).catch((e) => failures.push(describe(what, e, nyxd)));
          await clear(nyxd);
        }
      }
      assert.deepEqual(failures, []);
    } finally {
      if (nyxd !== world.nyxd) {
        await clear(nyxd).catch(() => {});
        await nyxd.stop();
      }
      await world[Symbol.asyncDispose]();
    }
  });

  Deno.test(`a worker dies at each step of ${name}: state true, nothing left, and nyxd lives on`, async () => {
    await using world = await startWorld({ entry: ENTRY });
    const { nyxd, image } = world;
    const failures: string[] = [];
    for (const { step, nth } of await stepsOf(world, operation)) {
      if (step.startsWith("record.")) continue;
      const what = `${name}, the worker dies during ${step} ${nth}`;
      const id = await operation.prepare(nyxd, image);
      arm(nyxd, { step, nth, when: "during", victim: "worker" });
      await operation.run(nyxd, id, image).catch(() => {});
      disarm(nyxd);
      await check(nyxd, image, operation, id, what).catch((e) => failures.push(describe(what, e, nyxd)));
      await clear(nyxd);
    }
    assert.deepEqual(failures, []);
  });
}

for (const victim of ["monitor", "crun"] as const) {
  if (ONLY.size > 0 && !ONLY.has(victim)) continue;
  Deno.test(`kill -9 of ${victim} while its container starts, runs and stops: state true, nothing left`, async () => {
    await using world = await startWorld({ entry: ENTRY });
    const { nyxd, image } = world;
    const failures: string[] = [];
    const cases = [
      { name: "start", step: "streams.launch", when: "during" },
      { name: "start", step: "streams.launch", when: "after" },
      { name: "stop", step: "streams.kill", when: "during" },
      { name: "stop", step: "streams.acknowledge", when: "during" },
      { name: "restart", step: "streams.launch", when: "during" },
    ] as const;
    for (const { name, step, when } of cases) {
      const what = `${name}, ${victim} dies ${when} ${step}`;
      const operation = OPERATIONS[name] as Operation;
      const id = await operation.prepare(nyxd, image);
      arm(nyxd, { step, when, victim });
      await operation.run(nyxd, id, image).catch(() => {});
      disarm(nyxd);
      try {
        assert.deepEqual(await untilTrue(nyxd, { withoutMonitor: true }), [], "after the crash");
        await nyxd.client.containers.stop(id, { timeoutS: 1 });
        assert.equal(await statusOf(nyxd, id), "exited");
      } catch (e) {
        failures.push(describe(what, e, nyxd));
      }
      await clear(nyxd);
      const left = await untilTrue(nyxd);
      if (left.length > 0) failures.push(`${what}: at the end: ${left.join("; ")}`);
    }
    assert.deepEqual(failures, []);
  });
}

if (ONLY.size === 0 || ONLY.has("monitor")) {
  Deno.test("a monitor dies while nyxd is away: the container is taken over, its unknown exit code is said to be unknown", async () => {
    const world = await startWorld({ entry: ENTRY });
    let nyxd: Nyxd = world.nyxd;
    try {
      const id = await running(nyxd, world.image);
      await nyxd.stop("SIGKILL");
      killMonitors(nyxd.baseDir);
      nyxd = await startNyxd({ baseDir: nyxd.baseDir, slot: nyxd.slot, entry: ENTRY });
      assert.equal(await statusOf(nyxd, id), "running");
      assert.deepEqual(await untilTrue(nyxd, { withoutMonitor: true }), []);
      await nyxd.client.containers.stop(id);
      const { state } = await nyxd.client.containers.inspect(id);
      assert.deepEqual([state.status, state.exit_code], ["exited", 255]);
      assert.match(state.error ?? "", /monitor .* killed/);
      await clear(nyxd);
      assert.deepEqual(await untilTrue(nyxd), []);
    } finally {
      if (nyxd !== world.nyxd) {
        await clear(nyxd).catch(() => {});
        await nyxd.stop();
      }
      await world[Symbol.asyncDispose]();
    }
  });
}

function killMonitors(baseDir: string): void {
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const cwd = Deno.readLinkSync(`/proc/${name}/cwd`);
      const command = Deno.readTextFileSync(`/proc/${name}/comm`).trim();
      if (/\/run\/monitor\/[0-9a-f]{64}$/.test(cwd) && cwd.startsWith(baseDir) && command === "sh") {
        Deno.kill(Number(name), "SIGKILL");
      }
    } catch {
      // It has ended.
    }
  }
}
