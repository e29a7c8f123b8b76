import assert from "node:assert/strict";
import { formatDiagnostic } from "../../daemon/compose/diagnostics.ts";
import { loadProject } from "../../daemon/compose/load.ts";
import { isNoop, planProject } from "../../daemon/compose/plan/plan.ts";
import { printPlan } from "../../daemon/compose/plan/text.ts";
import { printModel } from "../../daemon/compose/print.ts";
import { applied, emptyWorld, PLAN } from "./memory.ts";
import { dir, files } from "./corpus.ts";

/** A value that fits a variable's name. */
function stub(name: string): string {
  if (/PATH|DIR|ROOT|FOLDER|LOCATION/.test(name)) return "/stub";
  return /(_IP|HOST_IP|ADDRESS)$|_IP_/.test(name) ? "10.0.0.1" : "8080";
}

/** Everything that is wrong with one file; empty when it parses, normalises, prints, plans and settles. */
async function faults(name: string): Promise<string[]> {
  const path = `/srv/corpus/${name}`;
  const text = await Deno.readTextFile(`${dir}/${name}`);
  // Files beside it are not part of the corpus: empty ones stand in. Variables without default get a value.
  const reader = { read: (asked: string) => Promise.resolve(asked === path ? text : "") };
  const environment: Record<string, string> = {};
  const first = await loadProject({ files: [path], reader, environment });
  for (const use of first.variables) if (use.defaultValue === undefined) environment[use.name] = stub(use.name);
  const project = await loadProject({ files: [path], reader, environment, profiles: ["*"] });
  const errors = project.diagnostics.filter((d) => d.severity === "error");
  if (errors.length > 0) return errors.map(formatDiagnostic);
  const printed = printModel(project.model);
  const again = await loadProject({
    files: ["/srv/corpus/again.yaml"],
    reader: { read: (asked: string) => Promise.resolve(asked === "/srv/corpus/again.yaml" ? printed : "") },
    profiles: ["*"],
  });
  const found: string[] = [];
  if (printModel(again.model) !== printed) found.push("printing and loading it again gives another model");
  const world = emptyWorld();
  for (const object of Object.values(project.model.networks ?? {})) {
    if (object.external === true) world.networks.push({ name: object.name, labels: {} });
  }
  for (const object of Object.values(project.model.volumes ?? {})) {
    if (object.external === true) world.volumes.push({ name: object.name, labels: {} });
  }
  const plan = planProject(project, world, PLAN);
  const known = new Set(project.diagnostics.filter((d) => d.blocks === true).map((d) => `${d.path}: ${d.message}`));
  found.push(...plan.blocked.filter((b) => !known.has(b.message)).map((b) => `blocked: ${b.message}`));
  const settled = planProject(project, applied(plan, project, world), PLAN);
  // pull_policy: always asks for a pull each time.
  const work = settled.steps.filter((step) => step.reason !== "pull_policy is always");
  if (!isNoop({ ...settled, steps: work })) found.push(`a second plan has work: ${printPlan(settled)}`);
  return found;
}

/** Errors of a file that stands alone, with nothing supplied: each must say what is missing. */
async function errorsAlone(name: string): Promise<string[]> {
  const path = `/srv/corpus/${name}`;
  const text = await Deno.readTextFile(`${dir}/${name}`);
  const reader = { read: (asked: string) => Promise.resolve(asked === path ? text : undefined) };
  const project = await loadProject({ files: [path], reader, profiles: ["*"] });
  planProject(project, emptyWorld(), PLAN);
  return project.diagnostics.filter((d) =>
    d.severity === "error" && !/required variable|does not exist/.test(d.message)
  ).map(formatDiagnostic);
}

Deno.test({
  name: files.length > 0
    ? "corpus: with no variable and no other file, only required variables and files are errors"
    : `corpus: files that stand alone (not run: ${dir} holds none)`,
  ignore: files.length === 0,
  async fn() {
    for (const name of files) assert.deepEqual(await errorsAlone(name), [], name);
  },
});

Deno.test({
  name: files.length > 0
    ? `corpus: all ${files.length} public compose files parse, normalise, print idempotently, plan and settle`
    : `corpus: public compose files (not run: ${dir} holds none; set NYX_COMPOSE_CORPUS to a directory of compose files)`,
  ignore: files.length === 0,
  async fn() {
    const bad: string[] = [];
    for (const name of files) {
      const found = await faults(name).catch((e) => [`it threw ${e}`]);
      if (found.length > 0) bad.push(`${name}\n${found.join("\n")}`);
    }
    console.log(`compose corpus: ${files.length - bad.length} of ${files.length}`);
    assert.equal(bad.length, 0, bad.join("\n\n"));
  },
});
