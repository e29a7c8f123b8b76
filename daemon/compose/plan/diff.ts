/** Differences between two container configurations, field by field, for people: secret values never appear. */

import type { FieldChange } from "../../spec/compose.ts";
import type { ContainerConfig, Resources, RestartPolicy } from "../../spec/container.ts";
import { formatPublish } from "../../spec/parse/ports.ts";
import { formatRestart } from "../../spec/parse/restart.ts";
import { canonicalJson, defined, own, sortedKeys } from "../dictionary.ts";
import { isComposeLabel } from "../labels.ts";

/** Names whose values are not for other eyes. */
const SECRET_NAME =
  /pass(word|wd|phrase)?|secret|token|credential|private|api_?key|access_?key|auth|dsn|_key$|^key$|_pw$|salt|cookie/i;
/** Longest value shown. */
const MAX_SHOWN = 80;

/** Hides what should not be seen. */
export class Redaction {
  readonly #secrets: string[];

  /** @param secrets contents of secrets; shorter than four characters they cannot be told from other text */
  constructor(secrets: Iterable<string>) {
    this.#secrets = [...secrets].map((s) => s.trim()).filter((s) => s.length >= 4);
  }

  /** A value as it may be shown. */
  value(field: string, value: string): string {
    const name = field.slice(field.lastIndexOf(".") + 1);
    if ((field.startsWith("env.") || field.startsWith("labels.")) && SECRET_NAME.test(name)) return "(hidden)";
    const file = /\/(config|secret)s\/([0-9a-f]{32})$/.exec(value);
    if (file !== null) return file[1] === "secret" ? "(hidden content)" : `content ${file[2]?.slice(0, 12)}`;
    let text = value.replace(/([a-z][a-z0-9+.-]*:\/\/[^:/?#\s"]*:)[^@/\s"]+@/gi, "$1(hidden)@");
    for (const secret of this.#secrets) text = text.replaceAll(secret, "(hidden)");
    return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
  }
}

type Fields = Map<string, string>;

function addRecord(fields: Fields, prefix: string, record: { readonly [key: string]: unknown } | undefined): void {
  for (const key of sortedKeys(record)) {
    const value = own(record, key);
    if (value !== undefined) fields.set(`${prefix}.${key}`, typeof value === "string" ? value : canonicalJson(value));
  }
}

function addEnv(fields: Fields, env: readonly string[] | undefined): void {
  for (const entry of env ?? []) {
    const equals = entry.indexOf("=");
    fields.set(
      `env.${equals < 0 ? entry : entry.slice(0, equals)}`,
      equals < 0 ? "(removed)" : entry.slice(equals + 1),
    );
  }
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === false) return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** A configuration as flat fields. Lists whose order means nothing are sorted. */
function flatten(config: ContainerConfig): Fields {
  const { name: _, env, labels, mounts, publish, networks, resources, restart, entrypoint, args, ...rest } = config;
  const fields: Fields = new Map();
  if (entrypoint !== undefined) fields.set("entrypoint", canonicalJson(entrypoint));
  if (args !== undefined) fields.set("command", canonicalJson(args));
  addEnv(fields, env);
  for (const key of sortedKeys(labels)) if (!isComposeLabel(key)) fields.set(`labels.${key}`, own(labels, key) ?? "");
  for (const mount of mounts ?? []) {
    const { target, ...how } = mount;
    addRecord(fields, `mounts.${target}`, how);
  }
  for (const port of publish ?? []) fields.set(`ports.${formatPublish({ ...port, hostPort: 0 })}`, formatPublish(port));
  for (const attachment of networks ?? []) {
    const { network, aliases, ...how } = attachment;
    fields.set(`networks.${network}`, canonicalJson({ ...how, aliases: [...aliases ?? []].sort() }));
  }
  addRecord(fields, "resources", resources as Record<string, unknown> | undefined);
  fields.set("restart", formatRestart(restart ?? { name: "no" }));
  for (const [key, value] of Object.entries(rest)) {
    if (!isEmpty(value)) fields.set(key, typeof value === "string" ? value : canonicalJson(value));
  }
  return fields;
}

/** Fields that the daemon fills in by itself when nobody asks for them. */
function filledIn(field: string, desired: Fields, observed: ContainerConfig): boolean {
  if (field === "healthcheck") return !desired.has("healthcheck");
  const mount = (observed.mounts ?? []).find((m) => field.startsWith(`mounts.${m.target}.`));
  return mount?.type === "volume" && mount.source === undefined;
}

/**
 * What differs, by field name.
 *
 * @param desired what is asked for
 * @param observed what the container was made with
 */
export function diffConfigs(desired: ContainerConfig, observed: ContainerConfig, redaction: Redaction): FieldChange[] {
  const wanted = flatten(desired);
  const found = flatten(observed);
  const changes: FieldChange[] = [];
  for (const field of [...new Set([...wanted.keys(), ...found.keys()])].sort()) {
    const to = wanted.get(field);
    const from = found.get(field);
    if (to === from || (to === undefined && filledIn(field, wanted, observed))) continue;
    changes.push(defined({
      field,
      from: from === undefined ? undefined : redaction.value(field, from),
      to: to === undefined ? undefined : redaction.value(field, to),
    }));
  }
  return changes;
}

/** What can be changed on a running container, as the daemon's update takes it; undefined when nothing of it differs. */
export interface InPlaceUpdate {
  resources?: Resources;
  restart?: RestartPolicy;
}

/** Limits that the engine changes on a running container. */
const UPDATABLE: ReadonlySet<keyof Resources> = new Set([
  "memoryBytes",
  "memorySwapBytes",
  "memoryReservationBytes",
  "nanoCpus",
  "cpuShares",
  "cpuPeriodUs",
  "cpuQuotaUs",
  "cpusetCpus",
  "pidsLimit",
  "blkioWeight",
]);

/**
 * The update that makes an observed container's limits and restart policy the desired ones.
 *
 * @returns "recreate" when a limit is to go: an update can only set
 */
export function inPlaceUpdate(
  desired: ContainerConfig,
  observed: ContainerConfig,
): InPlaceUpdate | "recreate" | undefined {
  const wanted = desired.resources ?? {};
  const found = observed.resources ?? {};
  const resources: Resources = {};
  for (const key of UPDATABLE) {
    const value = wanted[key];
    if (value === found[key]) continue;
    if (value === undefined) return "recreate";
    Object.assign(resources, { [key]: value });
  }
  const update: InPlaceUpdate = {};
  if (Object.keys(resources).length > 0) update.resources = resources;
  const restart = desired.restart ?? { name: "no" };
  if (formatRestart(restart) !== formatRestart(observed.restart ?? { name: "no" })) update.restart = restart;
  return Object.keys(update).length === 0 ? undefined : update;
}
