import assert from "node:assert/strict";
import type { ComposePlan } from "../../daemon/spec/compose.ts";
import { serviceHash } from "../../daemon/compose/hash.ts";
import { isNoop, planProject } from "../../daemon/compose/plan/plan.ts";
import { printPlan } from "../../daemon/compose/plan/text.ts";
import { printModel } from "../../daemon/compose/print.ts";
import { imageOf } from "../../daemon/compose/print.ts";
import { applyPlan } from "../../daemon/compose/reconcile/apply.ts";
import { takeDownProject } from "../../daemon/compose/reconcile/down.ts";
import { observe } from "../../daemon/compose/reconcile/observe.ts";
import { FakeEngine } from "./engine.ts";
import { applied, emptyWorld, load, PLAN, upWorld } from "./memory.ts";

/** Small deterministic generator (mulberry32). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** A random project as JSON (which is YAML): every service depends on earlier ones only. */
function randomProject(seed: number): { text: string; reordered: string } {
  const next = random(seed);
  const chance = (p: number) => next() < p;
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T;
  const names = ["db", "cache", "api", "web", "worker", "job", "proxy", "mail"].slice(0, 1 + Math.floor(next() * 8));
  const services: Record<string, Record<string, unknown>> = {};
  for (const [index, name] of names.entries()) {
    const s: Record<string, unknown> = chance(0.15)
      ? { build: pick([".", { context: "./x", args: { A: null, B: 1 } }]) }
      : { image: pick(["a:1", "b", "c@sha256:" + "0".repeat(64)]) };
    const before = names.slice(0, index);
    if (before.length > 0 && chance(0.6)) {
      s["depends_on"] = chance(0.5) ? [pick(before)] : {
        [pick(before)]: {
          condition: pick(["service_started", "service_healthy"]),
          restart: chance(0.5),
          required: chance(0.7),
        },
      };
    }
    if (chance(0.5)) s["environment"] = chance(0.5) ? { A: 1, "B.c": "x$$y", N: null, E: "" } : ["A=1", "E=", "N"];
    if (chance(0.4)) {
      s["ports"] = pick([["80"], ["8080:80/udp", 443], [{ target: 1, published: "7000-7010" }], [
        "[::1]:9000-9002:9000-9002",
      ]]);
    }
    if (chance(0.5)) {
      s["volumes"] = pick([["v:/v"], ["/anon", "./rel:/rel:ro,z"], [{
        type: "tmpfs",
        target: "/t",
        tmpfs: { size: "1m", mode: 1023 },
      }]]);
    }
    if (chance(0.3)) s["networks"] = pick([["n"], { n: { aliases: ["x"] }, default: null }]);
    else if (before.length > 0 && chance(0.2)) s["network_mode"] = `service:${pick(before)}`;
    if (chance(0.3)) {
      s["deploy"] = { replicas: Math.floor(next() * 4), resources: { limits: { cpus: "0.25", memory: "64m" } } };
    }
    if (chance(0.3)) {
      s["healthcheck"] = pick([{ test: "true", interval: "90s" }, { disable: true }, {
        test: ["CMD", "a"],
        timeout: "1h",
      }]);
    }
    if (chance(0.3)) s["command"] = pick(["a 'b c' \"d\"", ["x", "y z"], null, "", []]);
    if (chance(0.3)) s["restart"] = pick(["no", "always", "on-failure:3"]);
    if (chance(0.2)) s["extra_hosts"] = pick([["h:1.2.3.4"], { h: "::1" }]);
    if (chance(0.2)) s["labels"] = pick([["l=1"], { l: true, m: "x" }]);
    if (chance(0.2)) s["configs"] = ["c"];
    services[name] = s;
  }
  const whole = {
    services,
    volumes: { v: { labels: { a: 1 } } },
    networks: { n: { internal: true } },
    configs: { c: { content: "x$$\n" } },
  };
  return { text: JSON.stringify(whole), reordered: JSON.stringify(reversed(whole), null, 1) };
}

/** The same project so that it can run: no two services ask for one port, and what is waited for to be healthy has its image's check. */
function runnable(text: string): string {
  const whole = JSON.parse(text) as { services: Record<string, { ports?: unknown; healthcheck?: unknown }> };
  for (const service of Object.values(whole.services)) {
    if (service.ports !== undefined) service.ports = ["80"];
    delete service.healthcheck;
  }
  return JSON.stringify(whole);
}

/** The same data with all keys the other way round. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).reverse().map(([k, v]) => [k, reversed(v)]));
}

const SEEDS = Array.from({ length: 200 }, (_, i) => i + 1);

Deno.test("property: normalise(normalise(x)) is normalise(x)", async () => {
  for (const seed of SEEDS) {
    const once = printModel((await load(randomProject(seed).text)).model);
    assert.equal(printModel((await load(once)).model), once, `seed ${seed}`);
  }
});

Deno.test("property: order and formatting change neither model nor hash", async () => {
  for (const seed of SEEDS) {
    const { text, reordered } = randomProject(seed);
    const [a, b] = [await load(text), await load(reordered)];
    assert.equal(printModel(a.model), printModel(b.model), `seed ${seed}`);
    for (const name of Object.keys(a.model.services)) {
      assert.equal(serviceHash(a, name), serviceHash(b, name), `seed ${seed} ${name}`);
    }
  }
});

Deno.test("property: applying a plan to the world and planning again leaves nothing to do", async () => {
  for (const seed of SEEDS) {
    const project = await load(randomProject(seed).text);
    const world = upWorld(project);
    const again = planProject(project, world, PLAN);
    assert.ok(isNoop(again), `seed ${seed}\n${printPlan(again)}`);
    assert.deepEqual(planProject(project, world, PLAN), again, "the same input gives the same plan");
  }
});

Deno.test("property: from any project to any other, one plan suffices; steps come after what they need", async () => {
  for (const seed of SEEDS) {
    const [before, after] = [await load(randomProject(seed).text), await load(randomProject(seed + 1000).text)];
    const options = { ...PLAN, removeOrphans: true };
    const world = upWorld(before, options);
    const plan = planProject(after, world, options);
    const again: ComposePlan = planProject(after, applied(plan, after, world, options), options);
    assert.ok(isNoop(again), `seed ${seed}\n${printPlan(plan)}\n${printPlan(again)}`);
    const ids = plan.steps.map((s) => s.id);
    assert.equal(new Set(ids).size, ids.length, `seed ${seed}: ids are unique`);
  }
});

Deno.test("property: applied to a daemon that keeps state, a plan leaves nothing to do, from any project to any other, and down leaves nothing", async () => {
  for (const seed of SEEDS.slice(0, 60)) {
    const engine = new FakeEngine();
    const signal = new AbortController().signal;
    const texts = [seed, seed + 1000, seed].map((n) => runnable(randomProject(n).text));
    for (const text of texts) {
      const project = await load(text);
      for (const name of Object.keys(project.model.services)) {
        for (let n = 1; n < 5; n++) engine.behaviour.set(`shop-${name}-${n}`, { health: "healthy", imageCheck: true });
        // What is built is there already: this daemon builds nothing.
        engine.images.set(imageOf(project.model, name), "sha256:built");
      }
      const plan = async () =>
        planProject(project, await observe(engine, project), { ...PLAN, removeOrphans: true, pull: "missing" });
      await applyPlan(await plan(), project, engine, {
        files: { filesDir: "", secretsDir: "", layOut: () => Promise.resolve(), lost: () => Promise.resolve(false) },
        signal,
        onEvent: () => {},
        action: "bring it up",
      });
      const again = await plan();
      assert.ok(isNoop(again), `seed ${seed}\n${printPlan(again)}`);
    }
    await takeDownProject(engine, { name: "shop" }, { remove_volumes: true }, { signal, onEvent: () => {} });
    assert.deepEqual([engine.names, engine.objects], [[], []], `seed ${seed}`);
  }
});

Deno.test("property: the order in which a world is listed does not count", async () => {
  for (const seed of SEEDS.slice(0, 50)) {
    const project = await load(randomProject(seed).text);
    const world = upWorld(project);
    const other = {
      containers: [...world.containers].reverse(),
      networks: [...world.networks].reverse(),
      volumes: [...world.volumes].reverse(),
      images: [...world.images].reverse(),
    };
    assert.deepEqual(planProject(project, other, PLAN), planProject(project, world, PLAN));
  }
});

Deno.test("plan: twenty unchanged services are planned in a few milliseconds", async () => {
  const services = Object.fromEntries(
    Array.from(
      { length: 20 },
      (
        _,
        i,
      ) => [`s${i}`, {
        image: "x",
        environment: { A: 1 },
        ports: [`${9000 + i}:80`],
        depends_on: i === 0 ? [] : [`s${i - 1}`],
      }],
    ),
  );
  const text = JSON.stringify({ services });
  const project = await load(text);
  const world = upWorld(project, PLAN, emptyWorld());
  planProject(project, world, PLAN);
  const began = performance.now();
  for (let i = 0; i < 5; i++) assert.ok(isNoop(planProject(await load(text), world, PLAN)));
  const ms = (performance.now() - began) / 5;
  console.log(`load and plan of 20 unchanged services: ${ms.toFixed(1)} ms`);
});
