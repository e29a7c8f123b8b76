/** Projects from texts in memory, and a simulated world on which plans are applied. */

import type { ComposeDiagnostic, ComposeModel, ComposePlan } from "../../daemon/spec/compose.ts";
import { desiredContainer } from "../../daemon/compose/container.ts";
import { formatDiagnostic } from "../../daemon/compose/diagnostics.ts";
import type { FileContent } from "../../daemon/compose/files.ts";
import { objectHash } from "../../daemon/compose/hash.ts";
import { LABEL } from "../../daemon/compose/labels.ts";
import { loadProject } from "../../daemon/compose/load.ts";
import { type PlanOptions, planProject } from "../../daemon/compose/plan/plan.ts";
import type { ObservedContainer, ObservedWorld } from "../../daemon/compose/plan/world.ts";
import type { ComposeProject, LoadRequest } from "../../daemon/compose/project.ts";

/** Directory in which the projects of the tests live. */
export const DIR = "/srv/shop";

/** Options of {@linkcode project} beside the files. */
export type ProjectOptions = Omit<Partial<LoadRequest>, "reader">;

/** Loads a project from contents by path; relative paths lie in {@linkcode DIR}. The first is the compose file unless `files` says otherwise. */
export function project(contents: Record<string, FileContent>, options: ProjectOptions = {}): Promise<ComposeProject> {
  const absolute = (path: string) => path.startsWith("/") ? path : `${DIR}/${path}`;
  const files = new Map(Object.entries(contents).map(([path, content]) => [absolute(path), content]));
  const [first = "compose.yaml"] = Object.keys(contents);
  return loadProject({
    ...options,
    files: (options.files ?? [first]).map(absolute),
    reader: { read: (path) => Promise.resolve(files.get(path)) },
  });
}

/** Like {@linkcode project}, for one compose file that has no errors. */
export async function load(
  text: string,
  options: ProjectOptions = {},
  more: Record<string, FileContent> = {},
): Promise<ComposeProject> {
  const loaded = await project({ "compose.yaml": text, ...more }, options);
  const errors = loaded.diagnostics.filter((d) => d.severity === "error");
  if (errors.length > 0) throw new Error(errors.map(formatDiagnostic).join("\n"));
  return loaded;
}

/** The model of one compose file that has no errors. */
export async function model(text: string, options: ProjectOptions = {}): Promise<ComposeModel> {
  return (await load(text, options)).model;
}

/** Errors as `line:column path message`, in the order of the file. */
export function errorLines(
  diagnostics: readonly ComposeDiagnostic[],
  severity: ComposeDiagnostic["severity"] = "error",
): string[] {
  return diagnostics.filter((d) => d.severity === severity)
    .sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0))
    .map((d) => `${d.line ?? "-"}:${d.column ?? "-"} ${d.path}: ${d.message}`);
}

/** Options that plans of the tests share. */
export const PLAN: PlanOptions = { filesDir: "/run/nyxd/compose/shop" };

/** A world without anything. */
export function emptyWorld(): ObservedWorld {
  return { containers: [], networks: [], volumes: [], images: [] };
}

let serial = 0;

function made(
  loaded: ComposeProject,
  service: string,
  number: number,
  world: ObservedWorld,
  options: PlanOptions,
): ObservedContainer {
  const desired = desiredContainer(loaded, service, number, options);
  if (desired === undefined) throw new Error(`no container for ${service}`);
  const image = world.images.find((i) => i.ref === desired.config.image);
  // The daemon's record adds what the image brings.
  const config = {
    ...desired.config,
    mounts: [...desired.config.mounts ?? [], { type: "volume" as const, target: "/from-image" }],
  };
  serial++;
  return {
    id: serial.toString(16).padStart(64, "0"),
    name: desired.name,
    labels: { ...desired.config.labels },
    status: options.noStart === true ? "created" : "running",
    ...(image === undefined ? {} : { imageId: image.id }),
    config,
  };
}

/** Does what a plan says, in its order; checks that every step comes after those it names. */
export function applied(
  plan: ComposePlan,
  loaded: ComposeProject,
  before: ObservedWorld,
  options: PlanOptions = PLAN,
): ObservedWorld {
  const world: ObservedWorld = structuredClone(before);
  const done = new Set<string>();
  const replace = (name: string, container?: ObservedContainer) => {
    world.containers = world.containers.filter((c) => c.name !== name);
    if (container !== undefined) world.containers.push(container);
  };
  const find = (id: string | undefined) => world.containers.find((c) => c.id === id);
  for (const step of plan.steps) {
    for (const id of step.after) if (!done.has(id)) throw new Error(`${step.id} comes before ${id}`);
    done.add(step.id);
    const project = { [LABEL.project]: plan.project };
    const container = find(step.observedId);
    switch (step.action) {
      case "pull":
      case "build":
        world.images = [...world.images.filter((i) => i.ref !== step.target), {
          ref: step.target,
          id: `sha256:${step.target}`,
          pulledAtMs: 0,
        }];
        break;
      case "create-network":
      case "recreate-network": {
        const network = Object.values(loaded.model.networks ?? {}).find((n) => n.name === step.target);
        if (network === undefined) throw new Error(step.id);
        world.networks = [...world.networks.filter((n) => n.name !== step.target), {
          name: step.target,
          labels: { ...project, [LABEL.hash]: objectHash(network) },
        }];
        break;
      }
      case "create-volume": {
        const volume = Object.values(loaded.model.volumes ?? {}).find((v) => v.name === step.target);
        if (volume === undefined) throw new Error(step.id);
        world.volumes.push({ name: step.target, labels: { ...project, [LABEL.hash]: objectHash(volume) } });
        break;
      }
      case "create":
        replace(step.target, made(loaded, step.service ?? "", step.number ?? 0, world, options));
        break;
      case "recreate":
        world.containers = world.containers.filter((c) => c.id !== step.observedId);
        replace(step.target, made(loaded, step.service ?? "", step.number ?? 0, world, options));
        break;
      case "update": {
        const desired = desiredContainer(loaded, step.service ?? "", step.number ?? 0, options);
        if (container === undefined || desired === undefined) throw new Error(step.id);
        if (desired.config.resources !== undefined) container.config.resources = desired.config.resources;
        if (desired.config.restart !== undefined) container.config.restart = desired.config.restart;
        else delete container.config.restart;
        container.name = step.target;
        break;
      }
      case "start":
      case "restart":
        if (container !== undefined) container.status = "running";
        break;
      case "stop":
        if (container !== undefined) container.status = "exited";
        break;
      case "remove":
        world.containers = world.containers.filter((c) => c.id !== step.observedId);
        break;
      case "remove-network":
        world.networks = world.networks.filter((n) => n.name !== step.target);
        break;
      case "remove-volume":
        world.volumes = world.volumes.filter((v) => v.name !== step.target);
        break;
      case "keep":
        break;
    }
  }
  return world;
}

/** The world in which a project is up. */
export function upWorld(
  loaded: ComposeProject,
  options: PlanOptions = PLAN,
  from: ObservedWorld = emptyWorld(),
): ObservedWorld {
  return applied(planProject(loaded, from, options), loaded, from, options);
}
