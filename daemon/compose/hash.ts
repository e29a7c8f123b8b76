/**
 * Hashes by which a change is seen: over what a service or object means, not over how it is written. Contents of configs, secrets and
 * env files count; order of keys, comments and formatting do not.
 */

import { createHash } from "node:crypto";
import type { ComposeNetwork, ComposeService, ComposeVolume } from "../spec/compose.ts";
import { canonicalJson, own } from "./dictionary.ts";
import type { FileContent } from "./files.ts";
import type { ComposeProject } from "./project.ts";

/** Hex SHA-256 of a text or bytes. */
export function sha256(content: FileContent): string {
  return createHash("sha256").update(content).digest("hex");
}

/**
 * Keys that say nothing about a container itself: how many there are, in which order they start, who builds or pulls the image, how
 * they are watched; and limits that are changed on the running container.
 */
const LEFT_OUT: ReadonlySet<keyof ComposeService> = new Set([
  "attach",
  "build",
  "depends_on",
  "deploy",
  "develop",
  "env_file",
  "label_file",
  "profiles",
  "pull_policy",
  "pull_refresh_after",
  "restart",
  "scale",
  "blkio_config",
  "cpu_period",
  "cpu_quota",
  "cpu_shares",
  "cpus",
  "cpuset",
  "mem_limit",
  "mem_reservation",
  "memswap_limit",
  "pids_limit",
]);

/** What a service means, with the digests of its files' contents. */
export function serviceMeaning(
  project: Pick<ComposeProject, "model" | "contents">,
  name: string,
): { [key: string]: unknown } {
  const service = own(project.model.services, name);
  if (service === undefined) return {};
  const fields = Object.entries(service).filter(([key]) => !LEFT_OUT.has(key as keyof ComposeService));
  const digests = (kind: "configs" | "secrets") =>
    (service[kind] ?? []).map((reference) => {
      const content = project.contents.get(`${kind}.${reference.source}`);
      return [reference.target, content === undefined ? "" : sha256(content)];
    });
  return {
    ...Object.fromEntries(fields),
    "content of configs": digests("configs"),
    "content of secrets": digests("secrets"),
    "content of profiles": [...project.contents].flatMap(([key, content]) =>
      key.startsWith("security.") && (service.security_opt ?? []).some((option) => option.startsWith("seccomp"))
        ? [[key, sha256(content)]]
        : []
    ),
    // Names decide what is mounted and joined.
    "volume names": (service.volumes ?? []).map((mount) =>
      mount.type === "volume" && mount.source !== undefined ? own(project.model.volumes, mount.source)?.name : undefined
    ),
    "network names": Object.keys(service.networks ?? {}).sort().map((key) => own(project.model.networks, key)?.name),
  };
}

/** com.docker.compose.config-hash of a service. Every container of it carries it. */
export function serviceHash(project: Pick<ComposeProject, "model" | "contents">, name: string): string {
  return sha256(canonicalJson(serviceMeaning(project, name)));
}

/** Hash of a network's or volume's own settings. */
export function objectHash(object: ComposeNetwork | ComposeVolume): string {
  return sha256(canonicalJson(object));
}
