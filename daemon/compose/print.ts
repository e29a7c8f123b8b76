/** `nyx compose config`: the normalised model and views of it, as Docker Compose prints them. */

import type { ComposeModel } from "../spec/compose.ts";
import { familiarReference, tryParseReference } from "../spec/reference.ts";
import { own, sortedKeys } from "./dictionary.ts";
import { emitYaml } from "./emit_yaml.ts";
import type { VariableUse } from "./interpolate.ts";
import type { Plain } from "./node.ts";
import type { ComposeProject } from "./project.ts";
import { serviceHash } from "./hash.ts";

/** How a model is printed. */
export interface PrintOptions {
  /** Default yaml. */
  format?: "yaml" | "json";
  /** Default true: `$` is doubled, so that the text can be loaded again. False for a model that was not interpolated. */
  escapeDollars?: boolean;
}

const SECTIONS = ["name", "services", "networks", "volumes", "configs", "secrets", "models"];

function sorted(value: unknown, escape: boolean): Plain {
  if (Array.isArray(value)) return value.map((item) => sorted(item, escape));
  if (typeof value === "string") return escape ? value.replaceAll("$", "$$$$") : value;
  if (typeof value !== "object" || value === null) return (value ?? null) as Plain;
  const record = value as { [key: string]: unknown };
  const keys = sortedKeys(record).filter((key) => record[key] !== undefined);
  return Object.fromEntries(keys.map((key) => [key, sorted(record[key], escape)]));
}

/** The model in canonical form: sections in the usual order, keys sorted. */
export function canonicalModel(model: ComposeModel, options: PrintOptions = {}): { [key: string]: Plain } {
  const entries = SECTIONS.flatMap((key): [string, Plain][] => {
    const value = model[key as keyof ComposeModel];
    return value === undefined ? [] : [[key, sorted(value, options.escapeDollars !== false)]];
  });
  return Object.fromEntries(entries);
}

/** The model as text. Loading it again gives the same model. */
export function printModel(model: ComposeModel, options: PrintOptions = {}): string {
  const canonical = canonicalModel(model, options);
  return options.format === "json" ? `${JSON.stringify(canonical, null, 2)}\n` : emitYaml(canonical);
}

/** `config --services`. */
export function listServices(model: ComposeModel): string[] {
  return sortedKeys(model.services);
}

/** `config --volumes`. */
export function listVolumes(model: ComposeModel): string[] {
  return sortedKeys(model.volumes);
}

/** `config --networks`. */
export function listNetworks(model: ComposeModel): string[] {
  return sortedKeys(model.networks);
}

/** `config --profiles`: all that the project has, enabled or not. */
export function listProfiles(project: ComposeProject): string[] {
  const all = Object.values(project.whole.services).flatMap((service) => service.profiles ?? []);
  return [...new Set(all)].sort();
}

/** Image of a service: what it names, else the name that its build gets. */
export function imageOf(model: ComposeModel, name: string): string {
  return own(model.services, name)?.image ?? `${model.name}-${name}`;
}

/** `config --images`. */
export function listImages(model: ComposeModel): string[] {
  return sortedKeys(model.services).filter((name) => own(model.services, name)?.provider === undefined)
    .map((name) => imageOf(model, name));
}

/** Image references as tools show them, without repeats. */
export function distinctImages(model: ComposeModel): string[] {
  const references = listImages(model).map((image) => {
    const reference = tryParseReference(image);
    return reference === undefined ? image : familiarReference(reference);
  });
  return [...new Set(references)].sort();
}

/** `config --hash`: service and hash. */
export function listHashes(project: ComposeProject, services: readonly string[] = ["*"]): [string, string][] {
  const names = services.includes("*") ? listServices(project.model) : services;
  return names.flatMap((name): [string, string][] =>
    own(project.model.services, name) === undefined ? [] : [[name, serviceHash(project, name)]]
  );
}

/** `config --variables`: each variable once, by name. */
export function listVariables(project: ComposeProject): VariableUse[] {
  const byName = new Map<string, VariableUse>();
  for (const use of project.variables) {
    const before = byName.get(use.name);
    byName.set(use.name, {
      ...use,
      ...before,
      required: use.required || (before?.required ?? false),
    });
  }
  return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The table of `config --variables`. */
export function printVariables(project: ComposeProject): string {
  const rows = [["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"]];
  for (const use of listVariables(project)) {
    rows.push([use.name, String(use.required), use.defaultValue ?? "", use.alternate ?? ""]);
  }
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  return rows.map((row) => `${row.map((cell, i) => cell.padEnd((widths[i] ?? 0) + 3)).join("").trimEnd()}\n`).join("");
}
