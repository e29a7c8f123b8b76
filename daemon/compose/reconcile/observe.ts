/** The world that plans are made from, as it is now. */

import { own, sortedKeys } from "../dictionary.ts";
import { LABEL } from "../labels.ts";
import { imageOf } from "../print.ts";
import { hasImage } from "../plan/objects.ts";
import type { ObservedWorld } from "../plan/world.ts";
import type { ComposeProject } from "../project.ts";
import { containerName } from "../container.ts";
import type { ComposeEngine, EngineContainer } from "./engine.ts";

/** Containers of a project, one-off ones too. */
export function membersOf(engine: ComposeEngine, project: string): EngineContainer[] {
  return engine.containers().filter((c) => own(c.labels, LABEL.project) === project);
}

/** Images that the services of a project name, each once. */
export function imagesOf(project: ComposeProject): string[] {
  const { model } = project;
  const names = sortedKeys(model.services).filter((name) => {
    const service = own(model.services, name);
    return service !== undefined && hasImage(service);
  });
  return [...new Set(names.map((name) => imageOf(model, name)))];
}

/** What the plan of a project looks at: its own containers and those that have a name it asks for. */
export async function observe(engine: ComposeEngine, project: ComposeProject): Promise<ObservedWorld> {
  const { model } = project;
  const wanted = new Set(sortedKeys(model.services).map((name) => containerName(project, name, 1)));
  const prefix = `${model.name}-`;
  const containers = engine.containers().filter((c) =>
    own(c.labels, LABEL.project) === model.name || wanted.has(c.name) || c.name.startsWith(prefix)
  );
  const [networks, volumes, images] = await Promise.all([
    engine.networks(),
    engine.volumes(),
    Promise.all(imagesOf(project).map((ref) => engine.image(ref))),
  ]);
  const networkNames = new Set(Object.values(model.networks ?? {}).map((n) => n.name));
  const volumeNames = new Set(Object.values(model.volumes ?? {}).map((v) => v.name));
  const mine = (o: { name: string; labels: Record<string, string> }) => own(o.labels, LABEL.project) === model.name;
  return {
    containers,
    networks: networks.filter((n) => networkNames.has(n.name) || mine(n)),
    volumes: volumes.filter((v) => volumeNames.has(v.name) || mine(v)),
    images: images.filter((i) => i !== undefined),
  };
}

/** The world of a project that is known by name alone. */
export async function observeByName(engine: ComposeEngine, project: string): Promise<ObservedWorld> {
  const mine = (o: { labels: Record<string, string> }) => own(o.labels, LABEL.project) === project;
  const [networks, volumes] = await Promise.all([engine.networks(), engine.volumes()]);
  return {
    containers: membersOf(engine, project),
    networks: networks.filter(mine),
    volumes: volumes.filter(mine),
    images: [],
  };
}
