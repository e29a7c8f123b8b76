/** Redeploys on a simulated daemon: order, turns, pauses, ways back, and what an interrupted one leaves. */

import assert from "node:assert/strict";
import { isNoop, planProject } from "../../daemon/compose/plan/plan.ts";
import { printPlan } from "../../daemon/compose/plan/text.ts";
import { applyPlan } from "../../daemon/compose/reconcile/apply.ts";
import { observe } from "../../daemon/compose/reconcile/observe.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import { FakeEngine, filesIn } from "./engine.ts";
import { load, PLAN } from "./memory.ts";

const CHECK = "healthcheck: {test: [CMD, 'true']}";

async function up(engine: FakeEngine, text: string) {
  const project = await load(text);
  const plan = planProject(project, await observe(engine, project), PLAN);
  return await applyPlan(plan, project, engine, {
    files: filesIn(PLAN.filesDir),
    signal: new AbortController().signal,
    onEvent: () => {},
    action: "bring it up",
  });
}

/** What the next `up` would do. */
async function planned(engine: FakeEngine, text: string): Promise<string> {
  const project = await load(text);
  return printPlan(planProject(project, await observe(engine, project), PLAN));
}

async function settled(engine: FakeEngine, text: string): Promise<void> {
  const project = await load(text);
  const plan = planProject(project, await observe(engine, project), PLAN);
  assert.ok(isNoop(plan), printPlan(plan));
}

function shop(a: string, deploy: string, more = CHECK): string {
  return `
name: shop
services:
  web:
    image: web
    ports: ["8080-8082:80"]
    environment: {A: ${a}}
    deploy: {${deploy}}
    ${more}
`;
}

const rejected = (pattern: RegExp) => (e: unknown) => {
  assert.ok(e instanceof NyxError, String(e));
  assert.match(e.message, pattern);
  return true;
};

/** Containers with what of the configuration tells versions apart. */
const versions = (engine: FakeEngine) =>
  engine.containers().map((c) =>
    `${c.name} ${c.config.env?.[0]} ${c.config.publish?.map((p) => p.hostPort)} ${c.status}`
  )
    .sort();

Deno.test("start-first: the ports go over when the new one is healthy, the old one is drained and goes; an unhealthy one changes nothing", async () => {
  const engine = new FakeEngine();
  engine.behaviour.set("shop-web-1", { health: "healthy" });
  const deploy = "update_config: {order: start-first}";
  await up(engine, shop("one", deploy));
  engine.log.length = 0;
  engine.connections.push(3, 1);
  await up(engine, shop("two", deploy));
  assert.deepEqual(engine.log, [
    "create next_shop-web-1",
    "start next_shop-web-1",
    "flip shop-web-1",
    "rename shop-web-1 old_shop-web-1",
    "rename next_shop-web-1 shop-web-1",
    "drain old_shop-web-1",
    "drain old_shop-web-1",
    "drain old_shop-web-1",
    "stop old_shop-web-1",
    "remove old_shop-web-1",
  ]);
  assert.deepEqual(versions(engine), ["shop-web-1 A=two 8080 running"]);
  assert.deepEqual(engine.containers()[0]?.config.networks?.[0]?.aliases, ["web"]);
  await settled(engine, shop("two", deploy));
  engine.behaviour.set("shop-web-1", { health: "unhealthy" });
  const before = engine.containers();
  await assert.rejects(
    up(engine, shop("three", deploy)),
    rejected(/unhealthy; the container that runs was left as it is/),
  );
  assert.deepEqual(engine.containers(), before);
});

Deno.test("start-first without a check: the new one has to accept connections as the old one does", async () => {
  const engine = new FakeEngine();
  const deploy = "update_config: {order: start-first}";
  await up(engine, shop("one", deploy, ""));
  const before = engine.containers();
  engine.behaviour.set("shop-web-1", { exits: 7 });
  engine.deaf.add("next_shop-web-1");
  await assert.rejects(
    up(engine, shop("two", deploy, "")),
    rejected(/ended with code 7 before it accepted connections; the container that runs was left as it is/),
  );
  assert.deepEqual(engine.containers(), before);
  engine.behaviour.delete("shop-web-1");
  engine.deaf.delete("next_shop-web-1");
  await up(engine, shop("two", deploy, ""));
  assert.deepEqual(versions(engine), ["shop-web-1 A=two 8080 running"]);
});

Deno.test("start-first: a paused container, one with a fixed address, and a port that comes to lead elsewhere are stopped first", async () => {
  const deploy = "deploy: {update_config: {order: start-first}}";
  const text = (a: string, more: string) => `
name: shop
services: {web: {image: web, environment: {A: ${a}}, ${deploy}, ${more}}}
networks: {default: {ipam: {config: [{subnet: 10.1.0.0/24}]}}}
`;
  const cases = {
    "it has a fixed address": ["networks: {default: {ipv4_address: 10.1.0.9}}"],
    "port 8080 of the host now leads to another port": ["ports: ['8080:80']", "ports: ['8080:81']"],
  };
  for (const [why, [before = "", after = before]] of Object.entries(cases)) {
    const engine = new FakeEngine();
    await up(engine, text("one", before));
    engine.log.length = 0;
    const { warnings } = await up(engine, text("two", after));
    assert.match(warnings.join(), new RegExp(why));
    assert.deepEqual(engine.log.filter((l) => /^(stop|start|flip)/.test(l)), ["stop shop-web-1", "start shop-web-1"]);
  }
  const engine = new FakeEngine();
  await up(engine, text("one", "ports: ['8080:80']"));
  await engine.pause(engine.containers()[0]?.id ?? "");
  engine.log.length = 0;
  await up(engine, text("two", "ports: ['8080:80']"));
  assert.deepEqual(engine.log.filter((l) => /^(stop|start|flip)/.test(l)), ["stop shop-web-1", "start shop-web-1"]);
});

Deno.test("update_config: without parallelism one at a time; 0 means all at once; two take turns in pairs", async () => {
  const engine = new FakeEngine();
  for (const n of [1, 2, 3]) engine.behaviour.set(`shop-web-${n}`, { health: "healthy" });
  const order = async (deploy: string, a: string) => {
    engine.log.length = 0;
    await up(engine, shop(a, `replicas: 3, update_config: {${deploy}}`));
    return engine.log.filter((line) => /^(stop|start) shop/.test(line)).map((line) => line.replace("shop-web-", ""));
  };
  await order("delay: 0s", "one");
  assert.deepEqual(await order("delay: 0s", "two"), ["stop 1", "start 1", "stop 2", "start 2", "stop 3", "start 3"]);
  assert.deepEqual((await order("parallelism: 0", "three")).slice(0, 3), ["stop 1", "stop 2", "stop 3"]);
  const pairs = await order("parallelism: 2", "four");
  assert.deepEqual(pairs.slice(0, 2), ["stop 1", "stop 2"]);
  assert.equal(pairs.indexOf("stop 3") > pairs.indexOf("start 1"), true, pairs.join());
  const began = performance.now();
  await order("delay: 60ms", "five");
  assert.ok(performance.now() - began >= 110, "two pauses");
});

Deno.test("failure_action: pause stops there, continue goes on with a warning, rollback puts the earlier ones back", async () => {
  for (const order of ["stop-first", "start-first"]) {
    const engine = new FakeEngine();
    for (const n of [1, 2, 3]) engine.behaviour.set(`shop-web-${n}`, { health: "healthy" });
    const text = (a: string, action: string) =>
      shop(a, `replicas: 3, update_config: {order: ${order}, failure_action: ${action}}`);
    await up(engine, text("one", "pause"));
    engine.behaviour.set("shop-web-2", { fails: true });
    const error = await up(engine, text("two", "pause")).catch((e) => e as NyxError);
    assert.ok(error instanceof NyxError);
    assert.match(error.message, /the update of the service stopped there.*not done: recreate:shop-web-3/);
    const env = engine.containers().map((c) => `${c.name.slice(-1)}${c.config.env?.[0]}`).sort();
    assert.deepEqual(env, ["1A=two", "2A=one", "3A=one"], order);

    const { warnings } = await up(engine, text("three", "continue"));
    assert.match(warnings.join(), /recreate:shop-web-2 failed/);
    assert.deepEqual(engine.containers().map((c) => `${c.name.slice(-1)}${c.config.env?.[0]}`).sort(), [
      "1A=three",
      "2A=one",
      "3A=three",
    ]);
    engine.behaviour.set("shop-web-2", { health: "healthy" });
    await up(engine, text("four", "pause"));
    await settled(engine, text("four", "pause"));

    const ids = engine.containers().map((c) => c.id).sort();
    engine.behaviour.set("shop-web-3", { fails: true });
    const back = await up(engine, text("five", "rollback")).catch((e) => e as NyxError);
    assert.ok(back instanceof NyxError);
    assert.match(back.message, /service web was rolled back: shop-web-1, shop-web-2/, order);
    assert.deepEqual(engine.containers().map((c) => c.id).sort(), ids, "the very containers of before");
    engine.behaviour.set("shop-web-3", { health: "healthy" });
    assert.deepEqual(
      versions(engine).map((line) => line.replace("exited", "running")),
      [1, 2, 3].map((n) => `shop-web-${n} A=four ${8079 + n} running`),
    );
    await up(engine, text("four", "pause"));
    await settled(engine, text("four", "pause"));
  }
});

Deno.test("monitor: a container that fails soon after it took over counts as failed; max_failure_ratio lets some", async () => {
  const engine = new FakeEngine();
  const text = (a: string, more: string) =>
    shop(a, `replicas: 2, update_config: {monitor: 50ms, failure_action: rollback, ${more}}`, "");
  await up(engine, text("one", ""));
  engine.behaviour.set("shop-web-2", { exits: 9 });
  const failed = await up(engine, text("two", "")).catch((e) => e as NyxError);
  assert.ok(failed instanceof NyxError);
  assert.match(failed.message, /shop-web-2 is exited with code 9 within 0\.05 s after it took over/);
  assert.match(failed.message, /rolled back: shop-web-1, shop-web-2/);
  assert.deepEqual(engine.containers().map((c) => c.config.env?.[0]), ["A=one", "A=one"]);
  engine.behaviour.delete("shop-web-2");
  await up(engine, text("one", ""));
  engine.behaviour.set("shop-web-2", { exits: 9 });
  const { warnings } = await up(engine, text("three", "max_failure_ratio: 0.5"));
  assert.match(warnings.join(), /shop-web-2 is exited/);
  assert.deepEqual(engine.containers().map((c) => c.config.env?.[0]), ["A=three", "A=three"]);
});

Deno.test("rollback: containers replaced side by side all go back, whether the others are still watched or already well when one fails", async () => {
  const text = (a: string) =>
    shop(a, "replicas: 2, update_config: {parallelism: 2, monitor: 100ms, failure_action: rollback}", "");
  for (const late of [false, true]) {
    const engine = new FakeEngine();
    await up(engine, text("one"));
    const before = engine.containers().map((c) => c.id).sort();
    if (!late) engine.behaviour.set("shop-web-2", { exits: 9 });
    const start = engine.start.bind(engine);
    let failed = !late;
    engine.start = async (id) => {
      const fails = !failed && engine.container(id)?.name === "shop-web-2";
      failed ||= fails;
      // The other one is watched from now on, and no longer when this one ends.
      if (fails) await new Promise((resolve) => setTimeout(resolve, 60));
      await start(id);
      if (fails) setTimeout(() => void engine.stop(id), 70);
    };
    await assert.rejects(up(engine, text("two")), rejected(/rolled back: shop-web-1, shop-web-2/));
    assert.deepEqual(engine.containers().map((c) => c.id).sort(), before, `late: ${late}`);
  }
});

Deno.test("interrupted redeploy: the next up goes on with the one that took over, or does it again", async () => {
  const deploy = "update_config: {order: start-first}";
  for (const stage of ["start", "flip", "rename", "drain"]) {
    const engine = new FakeEngine();
    engine.behaviour.set("shop-web-1", { health: "healthy" });
    await up(engine, shop("one", deploy));
    engine.dieAfter = stage;
    await up(engine, shop("two", deploy)).catch(() => {});
    engine.dieAfter = "";
    assert.equal(engine.names.length, 2, stage);
    const text = await planned(engine, shop("two", deploy));
    if (stage !== "start") assert.doesNotMatch(text, /recreate/, `${stage}: nothing is made a third time`);
    await up(engine, shop("two", deploy));
    assert.deepEqual(versions(engine), ["shop-web-1 A=two 8080 running"], stage);
    assert.deepEqual(engine.containers()[0]?.config.networks?.[0]?.aliases, ["web"], stage);
    await settled(engine, shop("two", deploy));
  }
});
