/** From the merged tree's plain data to the model: implicit networks, names and dependencies are written out. */

import type {
  ComposeBuild,
  ComposeDependency,
  ComposeFileSource,
  ComposeModel,
  ComposeNetwork,
  ComposeService,
  ComposeVolume,
} from "../spec/compose.ts";
import { mapValues } from "./dictionary.ts";

/** A model as the files have it: names may be missing, and so may be everything implicit. */
export interface WrittenModel {
  services?: Record<string, ComposeService>;
  networks?: Record<string, Partial<ComposeNetwork>>;
  volumes?: Record<string, Partial<ComposeVolume>>;
  configs?: Record<string, Partial<ComposeFileSource>>;
  secrets?: Record<string, Partial<ComposeFileSource>>;
  models?: ComposeModel["models"];
}

/** What normalising needs beside the files. */
export interface NormaliseOptions {
  /** Project name. */
  name: string;
  /** Project directory. */
  directory: string;
}

const SERVICE_PREFIX = "service:";

/** The service that a mode such as `service:db` names. */
export function serviceOfMode(mode: string | undefined): string | undefined {
  return mode?.startsWith(SERVICE_PREFIX) ? mode.slice(SERVICE_PREFIX.length) : undefined;
}

/** The service that an entry of `volumes_from` names; undefined for `container:…`. */
export function serviceOfVolumesFrom(entry: string): string | undefined {
  return entry.startsWith("container:") ? undefined : entry.split(":")[0];
}

function implicitDependencies(service: ComposeService): Map<string, ComposeDependency> {
  const found = new Map<string, ComposeDependency>();
  const add = (name: string | undefined, restart: boolean) => {
    if (name === undefined || name === "") return;
    found.set(name, { condition: "service_started", ...(restart ? { restart } : {}), required: true });
  };
  for (const entry of service.volumes_from ?? []) add(serviceOfVolumesFrom(entry), false);
  for (const link of service.links ?? []) add(link.split(":")[0], true);
  for (const mode of [service.network_mode, service.ipc, service.pid]) add(serviceOfMode(mode), true);
  return found;
}

function normaliseBuild(build: ComposeBuild, directory: string): ComposeBuild {
  const out = { ...build };
  if (out.context === undefined) out.context = directory;
  if (out.dockerfile === undefined && out.dockerfile_inline === undefined) out.dockerfile = "Dockerfile";
  return out;
}

function normaliseService(service: ComposeService, options: NormaliseOptions): ComposeService {
  const out: ComposeService = { ...service };
  if (out.command === null) delete out.command;
  if (out.entrypoint === null) delete out.entrypoint;
  if (out.build !== undefined) out.build = normaliseBuild(out.build, options.directory);
  const alone = out.network_mode === undefined && Object.keys(out.networks ?? {}).length === 0;
  // What a provider runs is no container, so it joins nothing.
  if (alone && out.provider === undefined) out.networks = { default: null };
  if (out.network_mode !== undefined && Object.keys(out.networks ?? {}).length === 0) delete out.networks;
  const implied = implicitDependencies(out);
  if (implied.size > 0) out.depends_on = { ...Object.fromEntries(implied), ...out.depends_on };
  for (const [key, value] of Object.entries(out)) {
    const empty = Array.isArray(value)
      ? value.length === 0 && key !== "command" && key !== "entrypoint"
      : typeof value === "object" && value !== null && Object.keys(value).length === 0;
    if (empty) delete out[key as keyof ComposeService];
  }
  return out;
}

/** Names of the volumes that a service mounts. */
export function namedVolumes(service: ComposeService): string[] {
  return (service.volumes ?? []).flatMap((m) =>
    m.type === "volume" && m.source !== undefined && m.source !== "" ? [m.source] : []
  );
}

/** A section with the objects that services use and nobody defined: the default network, and what was forgotten. */
function withImplicit<T extends object>(
  section: { [key: string]: T } | undefined,
  used: string[],
): { [key: string]: Partial<T> } {
  const missing = used.filter((name) =>
    !Object.hasOwn(section ?? {}, name) && /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name)
  );
  return { ...section, ...Object.fromEntries(missing.map((name) => [name, {}])) };
}

/**
 * The model of a project.
 *
 * @param written canonical plain data, merged
 */
export function normaliseModel(written: WrittenModel, options: NormaliseOptions): ComposeModel {
  const services = mapValues(written.services ?? {}, (service) => normaliseService(service, options));
  const named = <T extends { name?: string; external?: boolean }>(section: { [key: string]: T } | undefined) =>
    mapValues(section ?? {}, (value, key) => {
      const { external, ...rest } = value;
      const name = value.name ?? (external === true ? key : `${options.name}_${key}`);
      return { ...rest, ...(external === true ? { external } : {}), name };
    });
  const all = Object.values(services);
  const networks = withImplicit(written.networks, all.flatMap((service) => Object.keys(service.networks ?? {})));
  const volumes = withImplicit(written.volumes, all.flatMap((service) => namedVolumes(service)));
  const model: ComposeModel = { name: options.name, services };
  const sections = {
    networks: named(networks),
    volumes: named(volumes),
    configs: named(written.configs),
    secrets: named(written.secrets),
    models: written.models ?? {},
  };
  for (const [key, section] of Object.entries(sections)) {
    if (Object.keys(section).length > 0) Object.assign(model, { [key]: section });
  }
  return model;
}

/** Containers that a service asks for. */
export function replicasOf(service: ComposeService): number {
  return service.scale ?? service.deploy?.replicas ?? 1;
}
