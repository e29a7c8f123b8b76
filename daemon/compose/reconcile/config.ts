/** `config`: the model as text, and the lists that are made from it. */

import type { ComposeModel } from "../../spec/compose.ts";
import type { ComposeConfigRequest, ComposeConfigResult } from "../../spec/compose_api.ts";
import { familiarReference, formatReference, tryParseReference } from "../../spec/reference.ts";
import { buildSpecs } from "../builds.ts";
import { mapValues, own, sortedKeys } from "../dictionary.ts";
import { withDependencies } from "../graph.ts";
import {
  distinctImages,
  listHashes,
  listNetworks,
  listProfiles,
  listServices,
  listVariables,
  listVolumes,
  printModel,
  printVariables,
} from "../print.ts";
import type { ComposeProject } from "../project.ts";
import { selectServices } from "../select.ts";
import { loadSource } from "./source.ts";

const lines = (list: readonly string[]) => list.map((line) => `${line}\n`).join("");

function buildServices(project: ComposeProject, { services, with_dependencies }: ComposeConfigRequest) {
  return services === undefined || with_dependencies !== true
    ? services
    : [...withDependencies(project.model, services)];
}

/** Its images with digests in place of tags, where they are known. */
function withDigests(model: ComposeModel, digests: Readonly<Record<string, string>>): ComposeModel {
  const services = mapValues(model.services, (service) => {
    const reference = service.image === undefined ? undefined : tryParseReference(service.image);
    const digest = reference === undefined ? undefined : own(digests, formatReference(reference));
    if (reference === undefined || digest === undefined) return service;
    const { tag: _, ...rest } = reference;
    return { ...service, image: familiarReference({ ...rest, digest }) };
  });
  return { ...model, services };
}

/** The model as it is asked for: whole or of some services, normalised or as written. */
function modelOf(project: ComposeProject, request: ComposeConfigRequest): ComposeModel {
  const all = request.no_normalize === true ? project.written : project.model;
  const asked = (request.services ?? []).filter((name) => Object.hasOwn(project.model.services, name));
  const model = asked.length === 0 ? all : selectServices(all, withDependencies(project.model, asked));
  const named = withDigests(model, request.image_digests ?? {});
  if (request.lock_image_digests !== true) return named;
  return {
    name: named.name,
    services: mapValues(named.services, ({ image }) => image === undefined ? {} : { image }),
  };
}

function text(project: ComposeProject, request: ComposeConfigRequest): string {
  const { model } = project;
  switch (request.show ?? "model") {
    case "model":
      return printModel(modelOf(project, request), {
        format: request.format ?? "yaml",
        escapeDollars: request.no_interpolate !== true,
      });
    case "models":
      return lines(sortedKeys(model.models));
    case "services":
      return lines(listServices(model));
    case "images":
      return lines(distinctImages(model));
    case "volumes":
      return lines(listVolumes(model));
    case "networks":
      return lines(listNetworks(model));
    case "profiles":
      return lines(listProfiles(project));
    case "hash":
      return lines(listHashes(project, request.services ?? ["*"]).map(([name, hash]) => `${name} ${hash}`));
    case "variables":
      return request.format === "json"
        ? `${JSON.stringify(Object.fromEntries(listVariables(project).map((use) => [use.name, use])), null, 2)}\n`
        : printVariables(project);
    case "environment":
      return lines([...project.environment].map(([name, value]) => `${name}=${value}`).sort());
    case "builds":
      return `${JSON.stringify(buildSpecs(project, buildServices(project, request)), null, 2)}\n`;
  }
}

/** What `config` answers. */
export function configResult(project: ComposeProject, request: ComposeConfigRequest): ComposeConfigResult {
  return {
    ok: true,
    project: project.model.name,
    text: text(project, request),
    diagnostics: project.diagnostics.filter((d) => d.severity !== "error"),
  };
}

/** Loads the project of a request and prints what was asked for. */
export async function loadConfig(request: ComposeConfigRequest): Promise<ComposeConfigResult> {
  const project = await loadSource(request, {
    action: "read the project",
    services: (request.services ?? []).filter((service) => service !== "*"),
    interpolate: request.no_interpolate !== true,
    resolvePaths: request.no_path_resolution !== true,
    resolveEnv: request.no_env_resolution !== true,
    checkConsistency: request.no_consistency !== true,
  });
  return configResult(project, request);
}
