import assert from "node:assert/strict";
import { containerName } from "../../daemon/compose/container.ts";
import { loadProject } from "../../daemon/compose/load.ts";
import { replicasOf } from "../../daemon/compose/normalise.ts";
import { isNoop, planProject } from "../../daemon/compose/plan/plan.ts";
import { printPlan } from "../../daemon/compose/plan/text.ts";
import { imageOf } from "../../daemon/compose/print.ts";
import type { ComposeProject } from "../../daemon/compose/project.ts";
import { applyPlan } from "../../daemon/compose/reconcile/apply.ts";
import { takeDownProject } from "../../daemon/compose/reconcile/down.ts";
import { observe } from "../../daemon/compose/reconcile/observe.ts";
import { toNyxError } from "../../daemon/spec/errors.ts";
import { FakeEngine, filesIn } from "./engine.ts";
import { dir, files } from "./corpus.ts";

/** Files that are parts of others, and cannot stand alone; and the one that asks for another kernel. */
const FRAGMENT = /neither an image nor a build|is not defined|no services are defined|Linux images only/;

/** A value that fits a variable's name; no two variables give the same port. */
function stub(name: string, index: number): string {
  if (/PATH|DIR|ROOT|FOLDER|LOCATION/.test(name)) return "/stub";
  return /(_IP|HOST_IP|ADDRESS)$|_IP_/.test(name) ? "10.0.0.1" : String(20_000 + index);
}

async function loaded(name: string): Promise<ComposeProject> {
  const path = `/srv/corpus/${name}`;
  const text = await Deno.readTextFile(`${dir}/${name}`);
  const reader = { read: (asked: string) => Promise.resolve(asked === path ? text : "") };
  const environment: Record<string, string> = {};
  const first = await loadProject({ files: [path], reader, environment });
  for (const [index, use] of first.variables.entries()) {
    if (use.defaultValue === undefined) environment[use.name] = stub(use.name, index);
  }
  return await loadProject({ files: [path], reader, environment });
}

/** An engine on which everything goes well: checks pass, jobs that others wait for end, images are there. */
function willing(project: ComposeProject): FakeEngine {
  const engine = new FakeEngine();
  const services = Object.entries(project.model.services);
  const awaited = services.flatMap(([, s]) =>
    Object.entries(s.depends_on ?? {}).filter(([, d]) => d.condition === "service_completed_successfully").map(([n]) =>
      n
    )
  );
  const checked = services.flatMap(([, s]) =>
    Object.entries(s.depends_on ?? {}).filter(([, d]) => d.condition === "service_healthy").map(([n]) => n)
  );
  for (const [name, service] of services) {
    if (service.build !== undefined) engine.images.set(imageOf(project.model, name), "sha256:built");
    for (let number = 1; number <= replicasOf(service); number++) {
      const behaviour = awaited.includes(name)
        ? { exits: 0 }
        : { health: "healthy" as const, imageCheck: checked.includes(name) };
      engine.behaviour.set(containerName(project, name, number), behaviour);
    }
  }
  return engine;
}

/** What goes wrong with one file between up and down; "blocked" where its plan says so beforehand. */
async function faults(name: string, filesDir: string): Promise<"blocked" | string[]> {
  const project = await loaded(name);
  const engine = willing(project);
  for (const object of Object.values(project.model.networks ?? {})) {
    if (object.external === true) await engine.createNetwork({ name: object.name });
  }
  for (const object of Object.values(project.model.volumes ?? {})) {
    if (object.external === true) await engine.createVolume({ name: object.name, labels: {} });
  }
  const external = engine.objects;
  const plan = planProject(project, await observe(engine, project), { filesDir, pull: "missing" });
  if (plan.blocked.length > 0) {
    const odd = plan.blocked.map((b) => b.message).filter((message) => !FRAGMENT.test(message));
    return odd.length === 0 ? "blocked" : odd;
  }
  const progress = { signal: AbortSignal.timeout(60_000), onEvent: () => {} };
  try {
    await applyPlan(plan, project, engine, { ...progress, files: filesIn(filesDir), action: "bring it up" });
    const settled = planProject(project, await observe(engine, project), { filesDir, pull: "missing" });
    if (!isNoop(settled)) return [`a second plan has work: ${printPlan(settled)}`];
    await takeDownProject(engine, { name: project.model.name, loaded: project }, { remove_volumes: true }, progress);
  } catch (e) {
    return [toNyxError(e).message];
  }
  const left = [...engine.names, ...engine.objects.filter((o) => !external.includes(o))];
  return left.length === 0 ? [] : [`left behind: ${left.join(", ")}`];
}

Deno.test({
  name: files.length > 0
    ? `corpus: each of ${files.length} files goes up on a simulated daemon, has then nothing to do, and goes down without a trace`
    : `corpus: files go up and down (not run: ${dir} holds none)`,
  ignore: files.length === 0,
  fn: async () => {
    const filesDir = Deno.makeTempDirSync({ prefix: "nyx-corpus-" });
    try {
      const results = await Promise.all(files.map(async (name) => ({ name, found: await faults(name, filesDir) })));
      const wrong = results.flatMap(({ name, found }) => found === "blocked" ? [] : found.map((f) => `${name}: ${f}`));
      assert.deepEqual(wrong, []);
      assert.ok(results.filter(({ found }) => found !== "blocked").length > files.length * 0.75);
    } finally {
      Deno.removeSync(filesDir, { recursive: true });
    }
  },
});
