/** The part of a plan that concerns networks, volumes and images: what is missing, what changed, what others own. */

import type { ComposePlan, ComposeService, PlanStep } from "../../spec/compose.ts";
import { own, sortedKeys } from "../dictionary.ts";
import { objectHash } from "../hash.ts";
import { LABEL } from "../labels.ts";
import { namedVolumes, serviceOfVolumesFrom } from "../normalise.ts";
import { imageOf } from "../print.ts";
import type { ComposeProject } from "../project.ts";
import { type ImageOptions, imageStep } from "./images.ts";
import { isUp, type ObservedContainer, type ObservedWorld, ownership } from "./world.ts";

/** Steps for what containers need, and what was found on the way. */
export interface ObjectsPlan extends Pick<ComposePlan, "steps" | "blocked" | "warnings"> {
  /** Networks that existing containers cannot stay in, with why: "is made anew", "was missing". */
  newNetworks: Map<string, string>;
}

/** What of the options concerns objects. */
export interface ObjectOptions extends ImageOptions {
  noRecreate?: boolean;
}

/** Whether a service has containers that nyx makes. */
export function hasImage(service: ComposeService): boolean {
  return service.provider === undefined && (service.image !== undefined || service.build !== undefined);
}

/** Keys of the volumes that a service mounts, those taken from other services too. */
function volumesOf(project: ComposeProject, name: string, seen = new Set<string>()): string[] {
  const service = own(project.model.services, name);
  if (service === undefined || seen.has(name)) return [];
  seen.add(name);
  const inherited = (service.volumes_from ?? []).flatMap((entry) =>
    volumesOf(project, serviceOfVolumesFrom(entry) ?? "", seen)
  );
  return [...namedVolumes(service), ...inherited];
}

function planNetworks(
  project: ComposeProject,
  world: ObservedWorld,
  selected: ReadonlySet<string>,
  options: ObjectOptions,
  out: ObjectsPlan,
): void {
  const used = new Set([...selected].flatMap((name) => Object.keys(own(project.model.services, name)?.networks ?? {})));
  for (const key of sortedKeys(project.model.networks)) {
    const network = own(project.model.networks, key);
    if (network === undefined || !used.has(key)) continue;
    const { name } = network;
    const found = world.networks.find((n) => n.name === name);
    const hash = own(found?.labels, LABEL.hash);
    if (network.external === true) {
      if (found === undefined) {
        out.blocked.push({ message: `the external network ${name} does not exist; make it first` });
      }
    } else if (found === undefined) {
      out.newNetworks.set(name, "was missing");
      out.steps.push({
        id: `create-network:${name}`,
        action: "create-network",
        target: name,
        reason: "it does not exist",
        after: [],
      });
    } else if (own(found.labels, LABEL.project) !== project.model.name) {
      out.warnings.push(`the network ${name} exists and was not made by this project; it is used as it is`);
    } else if (hash !== undefined && hash !== objectHash(network)) {
      const others = attachedTo(project.model.name, world, name).filter((c) =>
        !selected.has(ownership(c, project.model.name)?.service ?? "")
      );
      if (options.noRecreate === true || others.length > 0) {
        const why = others.length > 0 ? `${others.map((c) => c.name).join(", ")} use it` : "--no-recreate was given";
        out.warnings.push(`the settings of network ${name} changed; it is kept as it is, since ${why}`);
        continue;
      }
      out.newNetworks.set(name, "is made anew");
      out.steps.push(...recreateNetwork(project.model.name, world, name));
    }
  }
}

/** Containers of the project that are up in a network. */
function attachedTo(project: string, world: ObservedWorld, name: string): ObservedContainer[] {
  return world.containers.filter((c) => {
    return ownership(c, project) !== undefined && isUp(c.status) &&
      (c.config.networks ?? []).some((n) => n.network === name);
  }).sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** A network can go only when nothing in it runs. */
function recreateNetwork(project: string, world: ObservedWorld, name: string): PlanStep[] {
  const attached = attachedTo(project, world, name);
  const stops = attached.map((c): PlanStep => ({
    id: `stop:${c.name}`,
    action: "stop",
    target: c.name,
    observedId: c.id,
    ...ownership(c, project),
    reason: `its network ${name} is made anew`,
    after: [],
  }));
  const after = stops.map((s) => s.id);
  return [...stops, {
    id: `recreate-network:${name}`,
    action: "recreate-network",
    target: name,
    reason: "its settings changed",
    after,
  }];
}

function planVolumes(
  project: ComposeProject,
  world: ObservedWorld,
  selected: ReadonlySet<string>,
  out: ObjectsPlan,
): void {
  const used = new Set([...selected].flatMap((name) => volumesOf(project, name)));
  for (const key of sortedKeys(project.model.volumes)) {
    const volume = own(project.model.volumes, key);
    if (volume === undefined || !used.has(key)) continue;
    const { name } = volume;
    const found = world.volumes.find((v) => v.name === name);
    const hash = own(found?.labels, LABEL.hash);
    if (volume.external === true) {
      if (found === undefined) {
        out.blocked.push({ message: `the external volume ${name} does not exist; make it first` });
      }
    } else if (found === undefined) {
      out.steps.push({
        id: `create-volume:${name}`,
        action: "create-volume",
        target: name,
        reason: "it does not exist",
        after: [],
      });
    } else if (own(found.labels, LABEL.project) !== project.model.name) {
      out.warnings.push(`the volume ${name} exists and was not made by this project; it is used as it is`);
    } else if (hash !== undefined && hash !== objectHash(volume)) {
      out.warnings.push(
        `the settings of volume ${name} changed; it is kept as it is, since making it anew would lose its data`,
      );
    }
  }
}

function planImages(
  project: ComposeProject,
  world: ObservedWorld,
  selected: ReadonlySet<string>,
  options: ImageOptions,
  out: ObjectsPlan,
): void {
  const done = new Set<string>();
  for (const name of sortedKeys(project.model.services)) {
    const service = own(project.model.services, name);
    if (service === undefined || !selected.has(name) || !hasImage(service)) continue;
    const ref = imageOf(project.model, name);
    const { step, problem } = imageStep(name, service, ref, world.images.find((image) => image.ref === ref), options);
    if (problem !== undefined) out.blocked.push({ service: name, message: problem });
    if (step === undefined || done.has(step.id)) continue;
    out.steps.push(step);
    done.add(step.id);
  }
}

/** Plans what the containers of some services need. */
export function planObjects(
  project: ComposeProject,
  world: ObservedWorld,
  selected: ReadonlySet<string>,
  options: ObjectOptions,
): ObjectsPlan {
  const out: ObjectsPlan = { steps: [], blocked: [], warnings: [], newNetworks: new Map() };
  planNetworks(project, world, selected, options, out);
  planVolumes(project, world, selected, out);
  planImages(project, world, selected, options, out);
  // A container in two changed networks is stopped once.
  const seen = new Set<string>();
  out.steps = out.steps.filter((step) => !seen.has(step.id) && seen.add(step.id));
  return out;
}
