/** `run`: a one-off container of a service, beside the service's own. */

import type { ProgressOptions } from "../../control/services.ts";
import type { ComposeRunRequest, ComposeRunResult } from "../../spec/compose_api.ts";
import type { ContainerConfig } from "../../spec/container.ts";
import { NyxError } from "../../spec/errors.ts";
import { desiredContainer } from "../container.ts";
import { defined, own } from "../dictionary.ts";
import { LABEL } from "../labels.ts";
import type { ComposeProject } from "../project.ts";
import { applyPlan } from "./apply.ts";
import type { ComposeEngine } from "./engine.ts";
import type { ProjectFiles } from "./files.ts";
import { oneOffPlan } from "./one_off_plan.ts";
import { refuseBuilds, wanted } from "./source.ts";
import { untilReady } from "./waiting.ts";

/** What the surroundings give. */
export interface OneOffOptions extends ProgressOptions {
  /** Configs and secrets. */
  files: ProjectFiles;
  /** What was said on the way here. */
  warnings: string[];
}

/** Eight hex digits. */
function suffix(): string {
  return crypto.randomUUID().slice(0, 8);
}

/** The service's configuration as `run` changes it. */
function configOf(service: ContainerConfig, project: string, request: ComposeRunRequest): ContainerConfig {
  const { publish: ports = [], restart: _restart, healthcheck, mounts: theirs = [], ...rest } = service;
  const publish = [...request.service_ports === true ? ports : [], ...request.publish ?? []];
  const mine = request.mounts ?? [];
  const mounts = [...theirs.filter((m) => !mine.some((other) => other.target === m.target)), ...mine];
  const capAdd = [...rest.capAdd ?? [], ...request.cap_add ?? []];
  const capDrop = [...rest.capDrop ?? [], ...request.cap_drop ?? []];
  const networks = rest.networks?.map(({ aliases, ip: _ip, ip6: _ip6, mac: _mac, ...how }) =>
    request.use_aliases === true && aliases !== undefined ? { ...how, aliases } : how
  );
  const args = request.command ?? (request.entrypoint === undefined ? rest.args : undefined);
  return {
    ...rest,
    name: request.name ?? `${project}-${request.service}-run-${suffix()}`,
    labels: {
      ...rest.labels,
      ...request.labels,
      [LABEL.oneoff]: "True",
      [LABEL.number]: "1",
    },
    env: [...rest.env ?? [], ...request.environment ?? []],
    tty: request.tty ?? false,
    openStdin: request.interactive ?? false,
    ...defined({
      args,
      networks,
      publish: publish.length === 0 ? undefined : publish,
      mounts: mounts.length === 0 ? undefined : mounts,
      capAdd: capAdd.length === 0 ? undefined : capAdd,
      capDrop: capDrop.length === 0 ? undefined : capDrop,
      entrypoint: request.entrypoint ?? rest.entrypoint,
      user: request.user ?? rest.user,
      workingDir: request.workdir ?? rest.workingDir,
      healthcheck,
      autoRemove: request.rm,
    }),
  };
}

/** Makes the container, with its image and what else it needs; the caller starts it. */
export async function makeOneOff(
  engine: ComposeEngine,
  project: ComposeProject,
  request: ComposeRunRequest,
  options: OneOffOptions,
): Promise<ComposeRunResult> {
  const { model } = project;
  const { service } = request;
  const action = `run a container of ${service}`;
  const desired = desiredContainer(project, service, 1, options.files);
  if (desired === undefined) throw new NyxError("not_found", `Could not ${action}: the project has no such service`);
  if (desired.problems.length > 0) {
    throw new NyxError("failed_precondition", `Could not ${action}: ${desired.problems.join("; ")}`);
  }
  const plan = await oneOffPlan(engine, project, service, defined({ build: request.build, built: request.built }));
  refuseBuilds(plan, project, { action, ask: request.ask === true });
  const pulls = plan.steps.filter((s) => s.action === "pull").map((s) => s.target);
  if (pulls.length > 0 && request.ask === true && request.credentials === undefined) {
    throw wanted(action, { images: pulls });
  }
  const { warnings } = await applyPlan(plan, project, engine, {
    ...options,
    action,
    ...defined({ credentials: request.credentials }),
  });
  await options.files.layOut(desired.files, false);
  if (request.no_deps !== true) {
    const waits = Object.entries(own(model.services, service)?.depends_on ?? {}).map(([name, d]) => ({
      service: name,
      condition: d.condition,
      required: d.required,
    }));
    await untilReady(engine, model.name, waits, {
      signal: options.signal,
      onWait: (message) => options.onEvent({ event: "warning", message: `${service} waits ${message}` }),
      onSkip: (message) => warnings.push(message),
    });
  }
  const config = configOf(desired.config, model.name, request);
  const made = await engine.create(config);
  return {
    ok: true,
    project: model.name,
    id: made.id,
    name: config.name ?? made.id,
    warnings: [...options.warnings, ...warnings, ...made.warnings],
  };
}
