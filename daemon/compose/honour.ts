/** Keys of the specification that nyx knows but cannot honour: each is named, with what happens instead. */

import type { ComposeBuild, ComposeModel, ComposeNetwork, ComposeService } from "../spec/compose.ts";
import { own, sortedKeys } from "./dictionary.ts";
import type { Diagnostics } from "./diagnostics.ts";
import { locate, type ModelPath, pathText } from "./locate.ts";
import type { MapNode } from "./node.ts";

const WITHOUT_EFFECT: readonly (readonly [keyof ComposeService, string])[] = [
  ["cpu_count", "it exists on Windows only; use cpus"],
  ["cpu_percent", "it exists on Windows only; use cpus"],
  ["cpu_rt_period", "the kernel's real-time groups are not used"],
  ["cpu_rt_runtime", "the kernel's real-time groups are not used"],
  ["credential_spec", "it exists on Windows only"],
  ["gpus", "nyx hands no GPUs to containers; name the devices under devices:"],
  ["isolation", "it exists on Windows only"],
  ["mem_swappiness", "cgroup v2 has no such setting"],
  ["models", "nyx runs no model runner"],
  ["provider", "nyx runs no provider plugins; the service has no container"],
  ["pull_refresh_after", "use pull_policy: every_<duration>"],
  ["runtime", "nyx runs all containers with its own runtime"],
  ["storage_opt", "nyx's image store has no per-container options"],
  ["use_api_socket", "nyx hands its socket to no container; mount it under volumes: if you must"],
];

/** Keys of `build` without effect. */
const BUILD_WITHOUT_EFFECT: readonly (readonly [keyof ComposeBuild, string])[] = [
  ["cache_to", "the daemon keeps the steps of builds itself"],
  ["entitlements", "use privileged: true"],
  ["isolation", "it exists on Windows only"],
  ["provenance", "the builder makes no attestations"],
  ["sbom", "the builder makes no attestations"],
];

/** Network drivers that there are; the first three are nyx's own bridges. */
const NETWORK_DRIVERS = new Set(["bridge", "default", "nat", "macvlan", "ipvlan"]);
/** Log drivers that come down to nyx's own files, or to nothing. */
const LOG_DRIVERS = new Set(["json-file", "local", "json", "none"]);

/** What may become of an update when a container fails. */
const FAILURE_ACTIONS = new Set(["pause", "continue", "rollback"]);

type Say = (path: ModelPath, reason: string, blocks?: boolean) => void;

function sayService(name: string, service: ComposeService, say: Say): void {
  const at = (...rest: (string | number)[]): ModelPath => ["services", name, ...rest];
  for (const [key, reason] of WITHOUT_EFFECT) if (service[key] !== undefined) say(at(key), reason);
  if (service.platform?.includes("/") && !service.platform.startsWith("linux/")) {
    say(at("platform"), `nyx runs Linux images only, none for ${service.platform}`, true);
  }
  if (service.userns_mode !== undefined && service.userns_mode !== "host" && service.userns_mode !== "") {
    say(at("userns_mode"), "containers use the host's user namespace");
  }
  const driver = service.logging?.driver;
  if (driver !== undefined && !LOG_DRIVERS.has(driver)) {
    say(
      at("logging", "driver"),
      `there is no log driver ${driver}; nyx keeps the log itself, so that nyx logs shows it`,
    );
  }
  for (const key of sortedKeys(service.blkio_config)) {
    if (key !== "weight") say(at("blkio_config", key), "limits of single disks are not set; weight is");
  }
  const { placement, endpoint_mode, resources, restart_policy } = service.deploy ?? {};
  if (restart_policy?.window !== undefined) {
    say(at("deploy", "restart_policy", "window"), "a container counts as up when it ran for ten seconds");
  }
  if (placement !== undefined) say(at("deploy", "placement"), "there is one host only");
  if (endpoint_mode !== undefined) {
    say(at("deploy", "endpoint_mode"), "names always resolve to the containers' own addresses");
  }
  for (const key of ["update_config", "rollback_config"] as const) {
    const action = service.deploy?.[key]?.failure_action;
    if (action !== undefined && !FAILURE_ACTIONS.has(action)) {
      say(
        at("deploy", key, "failure_action"),
        `${JSON.stringify(action)} is none of pause, continue and rollback; pause is meant`,
      );
    }
  }
  if (resources?.reservations?.generic_resources !== undefined) {
    say(at("deploy", "resources", "reservations", "generic_resources"), "there is one host only");
  }
  if (resources?.reservations?.devices !== undefined) {
    say(
      at("deploy", "resources", "reservations", "devices"),
      "nyx hands no GPUs to containers; name the devices under devices:",
    );
  }
  if (resources?.reservations?.cpus !== undefined) {
    say(at("deploy", "resources", "reservations", "cpus"), "there is one host only, so nothing is reserved");
  }
  sayBuild(service, say, at);
  sayPlumbing(service, say, at);
}

function sayBuild(service: ComposeService, say: Say, at: (...rest: (string | number)[]) => ModelPath): void {
  const { build } = service;
  for (const [key, reason] of BUILD_WITHOUT_EFFECT) {
    const value = build?.[key];
    if (value !== undefined && value !== "false") say(at("build", key), reason);
  }
  if ((build?.platforms ?? []).length > 1) {
    say(at("build", "platforms"), "an image has one platform here: this host's where it is listed, else the first");
  }
}

function sayPlumbing(service: ComposeService, say: Say, at: (...rest: (string | number)[]) => ModelPath): void {
  for (const [index, mount] of (service.volumes ?? []).entries()) {
    if (mount.type === "cluster" || mount.type === "npipe" || mount.type === "image") {
      say(at("volumes", index), `mounts of type ${mount.type} do not exist here; the mount is left out`);
    }
    if (mount.bind?.selinux !== undefined) say(at("volumes", index), "SELinux labels are not set");
  }
  for (const [name, attachment] of Object.entries(service.networks ?? {})) {
    for (const key of ["link_local_ips", "interface_name", "driver_opts"] as const) {
      if (attachment?.[key] !== undefined) say(at("networks", name, key), "nyx's network backend has no such setting");
    }
  }
  for (const [index, option] of (service.security_opt ?? []).entries()) {
    if (/^label[:=]/.test(option) && !/^label[:=]disable$/.test(option)) {
      say(at("security_opt", index), "SELinux labels are not set");
    }
  }
  for (const [index, link] of (service.external_links ?? []).entries()) {
    say(
      at("external_links", index),
      `use a shared external network: containers on it find "${link.split(":")[0]}" by name`,
    );
  }
  for (const [index, from] of (service.volumes_from ?? []).entries()) {
    if (from.startsWith("container:")) {
      say(at("volumes_from", index), "mounts are taken from services of the project only");
    }
  }
}

function sayNetwork(name: string, network: ComposeNetwork, say: Say): void {
  if (network.attachable !== undefined) say(["networks", name, "attachable"], "any container may join the network");
}

/** Warns about every known key that has no effect here. */
export function checkHonoured(model: ComposeModel, tree: MapNode, diagnostics: Diagnostics): void {
  const say: Say = (path, reason, blocks = false) =>
    diagnostics.warn(locate(tree, path), {
      code: "not-honoured",
      path: pathText(path),
      message: `it is not honoured: ${reason}`,
      ...(blocks ? { blocks } : {}),
    });
  for (const name of sortedKeys(model.services)) {
    const service = own(model.services, name);
    if (service !== undefined) sayService(name, service, say);
  }
  for (const [name, network] of Object.entries(model.networks ?? {})) {
    if (network.external === true) continue;
    if (network.driver !== undefined && !NETWORK_DRIVERS.has(network.driver)) {
      say(["networks", name, "driver"], `there is no driver ${network.driver}; the network is a bridge on this host`);
    }
    sayNetwork(name, network, say);
  }
  for (const [name, volume] of Object.entries(model.volumes ?? {})) {
    if (volume.external !== true && volume.driver !== undefined && volume.driver !== "local") {
      say(["volumes", name, "driver"], `there is no driver ${volume.driver}; the volume is a local directory`);
    }
  }
  for (const kind of ["configs", "secrets"] as const) {
    for (const [name, source] of Object.entries(model[kind] ?? {})) {
      if (source.external === true) {
        say([kind, name, "external"], "nyx keeps no configs or secrets of its own; use file: or environment:");
      } else if (source.driver !== undefined) {
        say([kind, name, "driver"], "there are no drivers for it; use file: or environment:");
      }
      if (source.template_driver !== undefined) say([kind, name, "template_driver"], "contents are taken as they are");
    }
  }
}
