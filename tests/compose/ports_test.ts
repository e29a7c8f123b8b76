/** Ports of the host that change hands between services in one `up`. */

import assert from "node:assert/strict";
import type { ComposePlan } from "../../daemon/spec/compose.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import { planProject } from "../../daemon/compose/plan/plan.ts";
import { applyPlan } from "../../daemon/compose/reconcile/apply.ts";
import { observe } from "../../daemon/compose/reconcile/observe.ts";
import { FakeEngine, filesIn } from "./engine.ts";
import { load, PLAN } from "./memory.ts";

/** A project of services with ports, each with what else it says. */
function shop(services: Record<string, [ports: string[], more?: string]>): string {
  const lines = Object.entries(services).map(([name, [ports, more = ""]]) =>
    `  ${name}: {image: ${name}, ports: ${JSON.stringify(ports)}${more === "" ? "" : `, ${more}`}}`
  );
  return `name: shop\nservices:\n${lines.join("\n")}\n`;
}

async function up(engine: FakeEngine, text: string, removeOrphans = false): Promise<ComposePlan> {
  const project = await load(text);
  const plan = planProject(project, await observe(engine, project), { ...PLAN, removeOrphans });
  await applyPlan(plan, project, engine, {
    files: filesIn(PLAN.filesDir),
    signal: new AbortController().signal,
    onEvent: () => {},
    action: "bring it up",
  });
  return plan;
}

/** Host ports of what runs. */
function open(engine: FakeEngine): Record<string, number[]> {
  return Object.fromEntries(
    engine.containers().filter((c) => c.status === "running").map((c) =>
      [c.name, (c.config.publish ?? []).map((p) => p.hostPort)] as const
    ).sort(),
  );
}

const stops = (plan: ComposePlan) => plan.steps.filter((s) => s.action === "stop").map((s) => `${s.id}: ${s.reason}`);

Deno.test("up: two services swap a port of the host, three pass theirs round; one of a circle is stopped first, said why", async () => {
  const engine = new FakeEngine();
  await up(engine, shop({ a: [["8080:80"]], b: [["8081:80"]] }));
  const swap = await up(engine, shop({ a: [["8081:80"]], b: [["8080:80"]] }));
  assert.deepEqual(open(engine), { "shop-a-1": [8081], "shop-b-1": [8080] });
  assert.deepEqual(stops(swap), ["stop:shop-a-1: port 8080 of the host goes to shop-b-1"]);
  const round = new FakeEngine();
  await up(round, shop({ a: [["1:1"]], b: [["2:1"]], c: [["3:1"]] }));
  const plan = await up(round, shop({ a: [["2:1"]], b: [["3:1"]], c: [["1:1"]] }));
  assert.deepEqual([open(round), stops(plan).length], [{ "shop-a-1": [2], "shop-b-1": [3], "shop-c-1": [1] }, 1]);
  assert.deepEqual((await up(round, shop({ a: [["2:1"]], b: [["3:1"]], c: [["1:1"]] }))).steps.map((s) => s.action), [
    "keep",
    "keep",
    "keep",
  ]);
});

Deno.test("up: a port that one service gives up goes to another afterwards, whether that is new, replaced, or waits for it", async () => {
  const cases: [giver: string, had: string[], has: string[], taker: string, takes: string[]][] = [
    ["a", ["8080:80"], ["9090:80"], "b", ["8080:80"]],
    ["b", ["8080:80"], ["9090:80"], "a", ["8080:80"]],
    ["b", ["8080:80/udp", "7000-7009:80-89"], [], "a", ["8080:80/udp", "7005:80"]],
    ["a", ["1.2.3.4:8080:80"], [], "b", ["8080:80"]],
  ];
  for (const [giver, had, has, taker, takes] of cases) {
    const engine = new FakeEngine();
    await up(engine, shop({ [giver]: [had] }));
    const plan = await up(engine, shop({ [giver]: [has], [taker]: [takes] }));
    assert.deepEqual(stops(plan), [], takes.join());
    const at = (name: string) => plan.steps.findIndex((s) => s.service === name && s.action.endsWith("create"));
    assert.ok(at(giver) >= 0 && at(giver) < at(taker), takes.join());
    assert.ok(plan.steps[at(taker)]?.after.includes(`recreate:shop-${giver}-1`), takes.join());
  }
  // a takes the port of b, which depends on a: b is stopped first, a starts, then b is made anew.
  const engine = new FakeEngine();
  await up(engine, shop({ a: [["1:1"]], b: [["8080:80"], "depends_on: [a]"] }));
  engine.log.length = 0;
  const plan = await up(engine, shop({ a: [["8080:80"]], b: [["9090:80"], "depends_on: [a]"] }));
  assert.deepEqual(stops(plan), ["stop:shop-b-1: port 8080 of the host goes to shop-a-1"]);
  const at = (entry: string) => engine.log.indexOf(entry);
  assert.ok(at("stop shop-b-1") >= 0 && at("stop shop-b-1") < at("start shop-a-1"), engine.log.join("; "));
  assert.ok(at("start shop-a-1") < at("start shop-b-1"), engine.log.join("; "));
  assert.deepEqual(open(engine), { "shop-a-1": [8080], "shop-b-1": [9090] });
});

Deno.test("up: ports of orphans and of replicas too many are free before another takes them; a holder that stays is in the way", async () => {
  const engine = new FakeEngine();
  await up(engine, shop({ a: [["8080:80"]], b: [["8081:80"]] }));
  await up(engine, shop({ c: [["8080:80"]], b: [["8081:80"]] }), true);
  assert.deepEqual(open(engine), { "shop-b-1": [8081], "shop-c-1": [8080] });
  await assert.rejects(
    up(engine, shop({ a: [["8081:80"]], c: [["8080:80"]], b: [["8081:80"]] })),
    (e) => e instanceof NyxError && /8081\/tcp is taken/.test(e.message),
  );
  assert.deepEqual(open(engine), { "shop-b-1": [8081], "shop-c-1": [8080] });
});

Deno.test("up: when the other half of a swap fails, what was stopped for it is started again and the error says so", async () => {
  const engine = new FakeEngine();
  await up(engine, shop({ a: [["8080:80"]], b: [["8081:80"]] }));
  engine.behaviour.set("shop-b-1", { fails: "bad" });
  await assert.rejects(
    up(engine, shop({ a: [["8081:80"]], b: [["8080:80"]] }).replace("image: b", "image: bad")),
    /no program in shop-b-1; the container that ran.*; container shop-a-1, which was stopped, was started again/,
  );
  assert.deepEqual(open(engine), { "shop-a-1": [8080], "shop-b-1": [8081] });
});
