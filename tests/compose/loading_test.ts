import assert from "node:assert/strict";
import { LOADING_PERMISSIONS, startLoadingWorker } from "../../daemon/compose/loading/permissions.ts";
import { ProjectLoading } from "../../daemon/compose/loading/loading.ts";
import type { LoadingStage } from "../../daemon/compose/loading/protocol.ts";
import { loadSource } from "../../daemon/compose/reconcile/source.ts";
import { planProject } from "../../daemon/compose/plan/plan.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import { WorkerHost } from "../../workers/host.ts";
import { emptyWorld, PLAN } from "./memory.ts";

/** A loading with real workers, and how many were started. */
function loading(options: { limitMs?: number; idleMs?: number } = {}) {
  const hosts: WorkerHost<LoadingStage>[] = [];
  const made = new ProjectLoading({
    ...options,
    start: () => {
      const host = new WorkerHost<LoadingStage>({ name: "compose", start: startLoadingWorker });
      hosts.push(host);
      return host;
    },
  });
  return { made, hosts, [Symbol.dispose]: () => hosts.forEach((host) => host.terminate()) };
}

const SOURCE = {
  yaml: "services: {web: {image: x, secrets: [s]}}\nsecrets: {s: {environment: S}}",
  context_dir: "/srv/shop",
  env: { S: "hush" },
};

/** A text within all bounds that takes long: thousands of services that each have the same merged body. */
function slowText(services: number): string {
  const body = Array.from({ length: 8 }, (_, i) => `      V${i}: "\${A:-\${B:-\${C:-\${D:-x}}}}"`).join("\n");
  const list = Array.from({ length: services }, (_, i) => `  s${i}: {<<: *base, depends_on: [s${Math.max(0, i - 1)}]}`);
  return `x-base: &base\n  image: x\n  environment:\n${body}\nservices:\n  s0: {image: x}\n${
    list.slice(1).join("\n")
  }\n`;
}

Deno.test("ProjectLoading: what the worker gives is what loading in place gives; one worker serves all, and ends when idle", async () => {
  using used = loading({ idleMs: 1 });
  const there = await used.made.load({ ...SOURCE, env: SOURCE.env }, { action: "load" });
  assert.deepEqual(there, await loadSource(SOURCE, { action: "load" }));
  const plan = await used.made.plan(there, emptyWorld(), PLAN);
  assert.equal(plan.steps.at(-1)?.id, "create:shop-web-1");
  assert.match((await used.made.config(SOURCE)).text, /environment: S/);
  assert.equal(used.hosts.length, 1);
  const refused = used.made.load({ yaml: "services: {a: {image: x, imgae: 1, volumes: 7}}" }, { action: "load it" });
  await assert.rejects(refused, (e) => e instanceof NyxError && e.code === "invalid_argument" && /:1:/.test(e.message));
  const asked = used.made.load({ ...SOURCE, yaml: "include: [a.yaml]", ask: true }, { action: "load it" });
  await assert.rejects(
    asked,
    (e) => e instanceof NyxError && e.details.context?.["wanted"] === `["/srv/shop/.env","/srv/shop/a.yaml"]`,
  );
  await new Promise((r) => setTimeout(r, 50));
  await used.made.load(SOURCE, { action: "load" });
  assert.equal(used.hosts.length, 2, "the idle worker was ended, and another one started");
});

Deno.test("hostile compose file: one that takes long to read and to plan does not hold up the main thread", async () => {
  using used = loading();
  await used.made.load(SOURCE, { action: "load" });
  const text = slowText(3000);
  let last = performance.now();
  let gap = 0;
  const timer = setInterval(() => {
    gap = Math.max(gap, performance.now() - last);
    last = performance.now();
  }, 1);
  const began = performance.now();
  const project = await used.made.load({ yaml: text, context_dir: "/srv/shop" }, { action: "load" });
  const plan = await used.made.plan(project, emptyWorld(), PLAN);
  const took = performance.now() - began;
  clearInterval(timer);
  assert.equal(plan.steps.filter((s) => s.action === "create").length, 3000);
  console.log(`slow file: ${took.toFixed(0)} ms in the worker, longest gap of the main thread ${gap.toFixed(0)} ms`);
  assert.ok(gap < took / 2, `${gap} ms of ${took} ms`);
});

Deno.test("hostile compose file: one that takes too long is given up with a reason, and the next one is read", async () => {
  using used = loading({ limitMs: 300 });
  const slow = used.made.load({ yaml: slowText(9000), context_dir: "/srv/shop" }, { action: "bring it up" });
  const error = await slow.then(() => undefined, (e) => e);
  assert.equal(error?.code, "resource_exhausted", String(error));
  assert.match(error.message, /Could not bring it up: its files were not understood within 0\.3 s/);
  assert.equal(used.hosts.length, 1);
  for (let i = 0; i < 30; i++) {
    const ok = await used.made.load(SOURCE, { action: "load" }).then(() => true, (e) => {
      // A loaded machine may take longer for the start of a worker than this test allows.
      assert.equal(e.code, "resource_exhausted");
      return false;
    });
    if (ok) return;
  }
  assert.fail("no worker after the one that was ended");
});

Deno.test("compose worker: files, programs, libraries, network, variables and more rights are refused", async () => {
  const attempts: Record<string, string> = {
    read: `Deno.readTextFileSync("/etc/hostname")`,
    write: `Deno.writeTextFileSync("/tmp/nyx-test", "x")`,
    run: `new Deno.Command("/bin/true").outputSync()`,
    ffi: `Deno.dlopen("/lib/x86_64-linux-gnu/libc.so.6", {})`,
    net: `await Deno.connect({ transport: "unix", path: "/run/nyxd/nyxd.sock" })`,
    env: `Deno.env.get("HOME")`,
    sys: `Deno.hostname()`,
    import: `await import("file:///etc/passwd")`,
  };
  const cases = Object.entries(attempts).map(([name, code]) =>
    `try { await (async () => { ${code} })(); out.push(${
      JSON.stringify(name)
    }); } catch (e) { if (e.name !== "NotCapable" &&
      e.name !== "TypeError") out.push(${JSON.stringify(name)} + " " + e.name); }`
  );
  const source = `const out = []; ${cases.join("\n")} postMessage(out);`;
  const worker = new Worker(`data:text/javascript,${encodeURIComponent(source)}`, {
    type: "module",
    deno: { permissions: LOADING_PERMISSIONS },
  });
  try {
    assert.deepEqual(await new Promise((resolve) => worker.onmessage = (e) => resolve(e.data)), []);
  } finally {
    worker.terminate();
  }
});

Deno.test("hostile compose file: a billion replicas are refused without being planned", async () => {
  const project = await loadSource({ yaml: "services: {a: {image: x, deploy: {replicas: 1000000000}}}" }, {
    action: "load",
  });
  const plan = planProject(project, emptyWorld(), PLAN);
  assert.deepEqual(plan.blocked, [{
    service: "a",
    message: "1000000000 containers are more than 10000; ask for fewer",
  }]);
});
