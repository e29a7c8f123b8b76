/** `config`: the model as text, and the lists that are made from it. */

import type { ComposeConfigRequest, ComposeConfigResult } from "../../spec/compose_api.ts";
import { buildSpecs } from "../builds.ts";
import { withDependencies } from "../graph.ts";
import {
  distinctImages,
  listHashes,
  listNetworks,
  listProfiles,
  listServices,
  listVolumes,
  printModel,
  printVariables,
} from "../print.ts";
import type { ComposeProject } from "../project.ts";
import { loadSource } from "./source.ts";

const lines = (list: readonly string[]) => list.map((line) => `${line}\n`).join("");

function buildServices(project: ComposeProject, { services, with_dependencies }: ComposeConfigRequest) {
  return services === undefined || with_dependencies !== true
    ? services
    : [...withDependencies(project.model, services)];
}

function text(project: ComposeProject, request: ComposeConfigRequest): string {
  const { model } = project;
  switch (request.show ?? "model") {
    case "model":
      return printModel(model, { format: request.format ?? "yaml", escapeDollars: request.no_interpolate !== true });
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
      return printVariables(project);
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
