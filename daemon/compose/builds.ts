/** What is to be built for the services of a project: their build sections with names, contents and order settled. Pure. */

import type { ComposeBuild, ComposeModel, ComposeUlimit } from "../spec/compose.ts";
import type { ComposeBuildSecret, ComposeBuildSpec } from "../spec/compose_api.ts";
import { formatPlatform, hostPlatform, parsePlatform } from "../spec/platform.ts";
import { defined, own, sortedKeys } from "./dictionary.ts";
import { contentText } from "./files.ts";
import { LABEL } from "./labels.ts";
import { imageOf } from "./print.ts";
import type { ComposeProject } from "./project.ts";

const SERVICE = /^service:(.+)$/;

/** The platform of the one image that is kept: the host's own where the section names it. */
function platformOf(build: ComposeBuild, service: string | undefined): string | undefined {
  if (service !== undefined && service !== "") return service;
  const named = (build.platforms ?? []).flatMap((text) => {
    try {
      return [formatPlatform(parsePlatform(text))];
    } catch {
      return [];
    }
  });
  return named.includes(formatPlatform(hostPlatform())) ? undefined : named[0];
}

function ulimitText(name: string, limit: ComposeUlimit): string {
  return typeof limit === "number" ? `${name}=${limit}:${limit}` : `${name}=${limit.soft}:${limit.hard}`;
}

function secretOf(project: ComposeProject, name: string, id: string): ComposeBuildSecret | undefined {
  const source = own(project.whole.secrets ?? {}, name);
  if (source?.file !== undefined) return { id, file: source.file };
  const known = project.contents.get(`secrets.${name}`);
  const variable = source?.environment;
  const text = known !== undefined
    ? contentText(known)
    : variable === undefined
    ? source?.content
    : project.environment.get(variable);
  return text === undefined ? undefined : { id, content: text };
}

function secretsOf(project: ComposeProject, build: ComposeBuild): ComposeBuildSecret[] {
  return (build.secrets ?? []).flatMap(({ source, target }) =>
    secretOf(project, source, (target ?? source).replace(/^\/run\/secrets\//, "")) ?? []
  );
}

/** Services whose images a build uses. */
function usedServices(build: ComposeBuild): string[] {
  return Object.values(build.additional_contexts ?? {}).flatMap((value) => SERVICE.exec(value)?.[1] ?? []);
}

function contextsOf(model: ComposeModel, build: ComposeBuild): Record<string, string> {
  return Object.fromEntries(
    Object.entries(build.additional_contexts ?? {}).map(([name, value]) => {
      const service = SERVICE.exec(value)?.[1];
      return [name, service === undefined ? value : `docker-image://${imageOf(model, service)}`];
    }),
  );
}

function specOf(
  project: ComposeProject,
  name: string,
  build: ComposeBuild,
  platform: string | undefined,
): ComposeBuildSpec {
  const { whole } = project;
  const args = Object.entries(build.args ?? {}).flatMap(([key, value]) => value === null ? [] : [[key, value]]);
  const labels = {
    ...build.labels,
    [LABEL.project]: whole.name,
    [LABEL.service]: name,
  };
  return {
    service: name,
    image: imageOf(whole, name),
    after: usedServices(build),
    context: build.context ?? project.directory,
    args: Object.fromEntries(args),
    labels,
    secrets: secretsOf(project, build),
    contexts: contextsOf(whole, build),
    ssh: build.ssh ?? {},
    tags: build.tags ?? [],
    cache_from: build.cache_from ?? [],
    extra_hosts: build.extra_hosts ?? [],
    ulimits: Object.entries(build.ulimits ?? {}).map(([limit, value]) => ulimitText(limit, value)),
    ...defined({
      dockerfile: build.dockerfile_inline === undefined ? build.dockerfile : undefined,
      inline: build.dockerfile_inline,
      target: build.target,
      network: networkOf(whole, build.network),
      platform: platformOf(build, platform),
      no_cache: build.no_cache,
      pull: build.pull,
      privileged: build.privileged,
      shm_size_bytes: build.shm_size === undefined ? undefined : Number(build.shm_size),
    }),
  };
}

/** A network of the project by its whole name; others as they are. */
function networkOf(model: ComposeModel, network: string | undefined): string | undefined {
  return network === undefined ? undefined : own(model.networks ?? {}, network)?.name ?? network;
}

/**
 * Builds of some services, each behind those whose images it uses; these are built too.
 *
 * @param services default all that are enabled
 */
export function buildSpecs(project: ComposeProject, services?: readonly string[]): ComposeBuildSpec[] {
  const { whole, model } = project;
  const out = new Map<string, ComposeBuildSpec>();
  const visit = (name: string, path: readonly string[]): void => {
    const service = own(whole.services, name);
    if (service?.build === undefined || out.has(name) || path.includes(name)) return;
    for (const used of usedServices(service.build)) visit(used, [...path, name]);
    out.set(name, specOf(project, name, service.build, service.platform));
  };
  for (const name of services ?? sortedKeys(model.services)) visit(name, []);
  return [...out.values()];
}
