import assert from "node:assert/strict";
import type { ComposeEvent } from "../../daemon/spec/compose_api.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import { planProject } from "../../daemon/compose/plan/plan.ts";
import { applyPlan } from "../../daemon/compose/reconcile/apply.ts";
import { startInOrder } from "../../daemon/compose/reconcile/boot.ts";
import { runGraph } from "../../daemon/compose/reconcile/graph_run.ts";
import { observe } from "../../daemon/compose/reconcile/observe.ts";
import { takeDownProject } from "../../daemon/compose/reconcile/down.ts";
import { FakeEngine, filesIn } from "./engine.ts";
import { load, PLAN } from "./memory.ts";

const CHECK = "healthcheck: {test: [CMD, 'true']}";

async function up(
  engine: FakeEngine,
  text: string,
  options: Partial<typeof PLAN> & { signal?: AbortSignal; onEvent?: (event: ComposeEvent) => void } = {},
) {
  const project = await load(text);
  const { signal = new AbortController().signal, onEvent = () => {}, ...more } = options;
  const plan = planProject(project, await observe(engine, project), { ...PLAN, ...more });
  return await applyPlan(plan, project, engine, {
    files: filesIn(PLAN.filesDir),
    signal,
    onEvent,
    action: "bring it up",
  });
}

function refused(code: string, pattern: RegExp) {
  return (e: unknown) => {
    assert.ok(e instanceof NyxError);
    assert.equal(e.code, code, e.message);
    assert.match(e.message, pattern);
    return true;
  };
}

const APP = `
name: shop
services:
  db: {image: db, ${CHECK}, volumes: [data:/data]}
  job: {image: job, depends_on: {db: {condition: service_healthy}}}
  web: {image: web, depends_on: {job: {condition: service_completed_successfully}}, scale: 2}
volumes: {data: {}}
`;

function prepared(): FakeEngine {
  const engine = new FakeEngine();
  engine.behaviour.set("shop-db-1", { health: "healthy" });
  engine.behaviour.set("shop-job-1", { exits: 0 });
  return engine;
}

Deno.test("applyPlan: images first, then networks and volumes, then services when what they depend on is as they ask", async () => {
  const engine = prepared();
  await up(engine, APP);
  const at = (entry: string) => {
    const found = engine.log.indexOf(entry);
    assert.ok(found >= 0, `${entry} in ${engine.log.join("; ")}`);
    return found;
  };
  assert.deepEqual(engine.log.slice(0, 3).sort(), ["pull db", "pull job", "pull web"]);
  assert.ok(at("network shop_default") < at("create shop-db-1"));
  assert.ok(at("start shop-db-1") < at("start shop-job-1"));
  assert.ok(at("start shop-job-1") < at("start shop-web-1"));
  assert.deepEqual(engine.running, ["shop-db-1", "shop-web-1", "shop-web-2"]);
  assert.deepEqual(engine.objects, ["shop_data", "shop_default"]);
});

Deno.test("applyPlan: after it the plan is empty, and applying that does nothing", async () => {
  const engine = prepared();
  await up(engine, APP);
  const before = engine.log.length;
  assert.deepEqual((await up(engine, APP)).done, []);
  assert.equal(engine.log.length, before);
});

Deno.test("applyPlan: an image that cannot be pulled touches no container", async () => {
  const engine = prepared();
  await up(engine, APP);
  const running = engine.running;
  engine.unreachable.add("other");
  const changed = APP.replace("image: web", "image: other").replace("image: db", "image: db, environment: {A: b}");
  await assert.rejects(
    up(engine, changed),
    refused("unavailable", /pull:other: cannot reach.*; no container was touched/),
  );
  assert.deepEqual(engine.running, running);
});

Deno.test("applyPlan: a replacement that does not start gives way to the container before it, with its name and ports", async () => {
  const engine = new FakeEngine();
  const text = (a: string) => `name: shop\nservices: {web: {image: web, environment: {A: ${a}}, ports: ["80:80"]}}`;
  await up(engine, text("one"));
  const [old] = engine.containers();
  engine.behaviour.set("shop-web-1", { fails: true });
  const start = engine.start.bind(engine);
  // Only what is new fails.
  engine.start = (id) => {
    if (id === old?.id) engine.behaviour.delete("shop-web-1");
    return start(id);
  };
  await assert.rejects(
    up(engine, text("two")),
    refused("failed_precondition", /recreate:shop-web-1: .*the container that ran before was started again/),
  );
  assert.deepEqual(engine.containers().map((c) => [c.id, c.name, c.status]), [[old?.id, "shop-web-1", "running"]]);
});

Deno.test("applyPlan: a replaced container hands on its anonymous volumes, also twice", async () => {
  const engine = new FakeEngine();
  const text = (a: string) => `name: shop\nservices: {web: {image: web, environment: {A: ${a}}, volumes: [/data]}}`;
  await up(engine, text("one"));
  const before = engine.containers()[0]?.anonymous;
  assert.deepEqual(Object.keys(before ?? {}), ["/data"]);
  await up(engine, text("two"));
  await up(engine, text("three"));
  assert.deepEqual(engine.containers().map((c) => c.anonymous), [before]);
});

Deno.test("applyPlan: a dependency that fails keeps dependents down, unless it is not required", async () => {
  const engine = prepared();
  engine.behaviour.set("shop-db-1", { health: "unhealthy" });
  await assert.rejects(
    up(engine, APP),
    refused(
      "failed_precondition",
      /create:shop-job-1: its dependency db failed: container shop-db-1 is unhealthy.*not done: .*shop-web-1/s,
    ),
  );
  assert.deepEqual(engine.running, ["shop-db-1"]);

  const other = new FakeEngine();
  other.behaviour.set("shop-extra-1", { fails: true });
  const events: ComposeEvent[] = [];
  const text = `
name: shop
services:
  extra: {image: extra}
  web: {image: web, depends_on: {extra: {condition: service_started, required: false}}}
`;
  const { warnings } = await up(other, text, { onEvent: (event) => events.push(event) });
  assert.deepEqual(other.running, ["shop-web-1"]);
  assert.match(warnings.join(), /create:shop-extra-1 failed: no program/);
});

Deno.test("applyPlan: aborted while it waits, it begins nothing more and says what was not done", async () => {
  const engine = prepared();
  engine.behaviour.delete("shop-db-1");
  const abort = new AbortController();
  const onEvent = (event: ComposeEvent) => {
    if (event.event === "step" && event.state === "waiting") abort.abort();
  };
  await assert.rejects(
    up(engine, APP, { signal: abort.signal, onEvent }),
    refused("canceled", /not done: .*shop-web-1/),
  );
  assert.deepEqual(engine.running, ["shop-db-1"]);
});

Deno.test("applyPlan: a network made anew lets go of its containers first; a surplus container frees its name", async () => {
  const engine = new FakeEngine();
  const text = (subnet: string) =>
    `name: shop\nservices: {web: {image: web}}\nnetworks: {default: {ipam: {config: [{subnet: ${subnet}}]}}}`;
  await up(engine, text("10.1.0.0/24"));
  await up(engine, text("10.2.0.0/24"));
  assert.deepEqual(engine.running, ["shop-web-1"]);
  assert.deepEqual(engine.objects, ["shop_default"]);
  assert.deepEqual((await up(engine, text("10.2.0.0/24"))).done, []);
});

Deno.test("takeDownProject: dependents stop first; with volumes nothing is left; a network in use is a warning", async () => {
  const engine = prepared();
  await up(engine, APP);
  engine.log.length = 0;
  const progress = { signal: new AbortController().signal, onEvent: () => {} };
  const loaded = await load(APP);
  await takeDownProject(engine, { name: "shop", loaded }, { remove_volumes: true }, progress);
  assert.ok(engine.log.indexOf("stop shop-web-1") < engine.log.indexOf("stop shop-db-1"));
  assert.deepEqual([engine.names, engine.objects], [[], []]);

  await up(engine, APP);
  await engine.create({ name: "guest", image: "web", networks: [{ network: "shop_default" }] });
  const result = await takeDownProject(engine, { name: "shop" }, {}, progress);
  assert.match(result.warnings.join(), /guest uses shop_default/);
  assert.deepEqual(engine.objects, ["shop_data", "shop_default"]);
});

Deno.test("startInOrder: at boot a container waits for those it depends on, and not for ever", async () => {
  const engine = prepared();
  await up(engine, APP);
  const ids = engine.containers().filter((c) => c.status === "running").map((c) => c.id);
  const { signal } = new AbortController();
  const warned: string[] = [];
  const log = { warn: (_: string, fields?: Record<string, unknown>) => void warned.push(String(fields?.["reason"])) };
  engine.powerCut();
  await startInOrder(engine, ids, { signal, log });
  assert.equal(engine.log[0], "start shop-db-1");
  assert.deepEqual(engine.running, ["shop-db-1", "shop-web-1", "shop-web-2"]);
  assert.deepEqual(warned, []);

  await new Promise((resolve) => setTimeout(resolve, 10));
  // db never gets healthy now, and job, which web waits for, is to be run again.
  engine.powerCut();
  engine.behaviour.delete("shop-db-1");
  const all = engine.containers().map((c) => c.id);
  await startInOrder(engine, all, { signal, log, waitMs: 30 });
  assert.ok(engine.running.includes("shop-web-2"), "up and complaining beats down");
  assert.match(warned.join(), /it was not so within 0.03 s/);

  for (const id of ids) await engine.stop(id);
  await startInOrder(engine, ids, { signal, log, waitMs: 30 });
  assert.deepEqual(engine.running, [], "a user's stop is final");
});

Deno.test("runGraph: jobs run side by side where nothing orders them, and a circle of waits cannot be made by a failure", async () => {
  const log: string[] = [];
  const job = (id: string, after: string[], run: () => Promise<void>) => ({
    id,
    after,
    optional: new Set<string>(),
    run,
  });
  const gate = Promise.withResolvers<void>();
  const options = { signal: new AbortController().signal, tolerated: () => false, onState: () => {} };
  const outcomes = await runGraph([
    job("a", [], async () => {
      await gate.promise;
      log.push("a");
    }),
    job("b", [], () => {
      log.push("b");
      gate.resolve();
      return Promise.resolve();
    }),
    job("c", ["a", "gone"], () => Promise.reject(new NyxError("internal", "no"))),
    job("d", ["c"], () => Promise.reject(new Error("never"))),
  ], options);
  assert.deepEqual(log, ["b", "a"]);
  assert.deepEqual([...outcomes].map(([id, o]) => [id, o.state]), [
    ["b", "done"],
    ["a", "done"],
    ["c", "failed"],
    ["d", "skipped"],
  ]);
});
