/** Which services of a model take part: profiles, and the objects that they use. */

import type { ComposeModel, ComposeService } from "../spec/compose.ts";
import { filtered, mapValues, own } from "./dictionary.ts";

/** Services that some profiles enable. `*` enables all. */
export function enabledServices(
  model: ComposeModel,
  profiles: readonly string[],
  named: readonly string[],
): Set<string> {
  const active = new Set([...profiles, ...named.flatMap((name) => own(model.services, name)?.profiles ?? [])]);
  const enabled = Object.entries(model.services).filter(([, service]) =>
    active.has("*") || (service.profiles ?? []).length === 0 || (service.profiles ?? []).some((p) => active.has(p))
  );
  return new Set(enabled.map(([name]) => name));
}

/** Names of the objects of one kind that a service uses. */
function usesOf(
  service: ComposeService,
): { networks: string[]; volumes: string[]; configs: string[]; secrets: string[]; models: string[] } {
  return {
    networks: Object.keys(service.networks ?? {}),
    volumes: (service.volumes ?? []).flatMap((m) => m.type === "volume" && m.source !== undefined ? [m.source] : []),
    configs: (service.configs ?? []).map((c) => c.source),
    secrets: [...service.secrets ?? [], ...service.build?.secrets ?? []].map((s) => s.source),
    models: Object.keys(service.models ?? {}),
  };
}

/** A model with these services only, and the objects that they use. Optional dependencies on others are dropped. */
export function selectServices(model: ComposeModel, enabled: ReadonlySet<string>): ComposeModel {
  const services = filtered(model.services, (name) => enabled.has(name)) ?? {};
  const uses = Object.values(services).map(usesOf);
  const used = (kind: keyof ReturnType<typeof usesOf>) => {
    const names = new Set(uses.flatMap((use) => use[kind]));
    return (name: string) => names.has(name);
  };
  const out: ComposeModel = {
    name: model.name,
    services: mapValues(services, (service) => {
      if (service.depends_on === undefined) return service;
      const kept = filtered(
        service.depends_on,
        (name) => enabled.has(name) || service.depends_on?.[name]?.required !== false,
      );
      const { depends_on: _, ...rest } = service;
      return kept === undefined ? rest : { ...rest, depends_on: kept };
    }),
  };
  const networks = filtered(model.networks, used("networks"));
  const volumes = filtered(model.volumes, used("volumes"));
  const configs = filtered(model.configs, used("configs"));
  const secrets = filtered(model.secrets, used("secrets"));
  const models = filtered(model.models, used("models"));
  if (networks !== undefined) out.networks = networks;
  if (volumes !== undefined) out.volumes = volumes;
  if (configs !== undefined) out.configs = configs;
  if (secrets !== undefined) out.secrets = secrets;
  if (models !== undefined) out.models = models;
  return out;
}
