/** From what the user asked for to a container record: defaults resolved, names checked, nothing started yet. */

import { type ContainerRecord, RECORD_VERSION } from "../persist/record.ts";
import {
  type ContainerConfig,
  type Healthcheck,
  type MountSpec,
  OBJECT_NAME,
  type PortMapping,
} from "../spec/container.ts";
import { invalid, NyxError } from "../spec/errors.ts";
import type { ImageExecConfig } from "../spec/image.ts";
import type { ImageHandle, NetworkSource } from "./deps.ts";
import { checkAnnotations, checkImageVolumes, checkPublished, MIN_IMAGE_INTERVAL_MS } from "./image_limits.ts";

/** Checks a container name. */
export function checkName(name: string): void {
  if (!OBJECT_NAME.test(name)) {
    throw invalid("name", name, "use letters, digits, '_', '.' and '-', beginning with a letter or digit, at most 128");
  }
  if (/^[0-9a-f]{64}$/.test(name)) throw invalid("name", name, "it reads as a container id; choose another name");
}

/** Image volumes that no mount of the user covers, as anonymous volumes. */
function imageVolumes(exec: ImageExecConfig, mounts: MountSpec[]): MountSpec[] {
  const covered = new Set(mounts.map((m) => trimSlash(m.target)));
  const targets = Object.keys(exec.Volumes ?? {}).filter((t) => t.startsWith("/") && !covered.has(trimSlash(t)));
  checkImageVolumes(targets);
  return targets.map((target) => ({ type: "volume", target }));
}

function trimSlash(path: string): string {
  return path.length > 1 ? path.replace(/\/+$/, "") : path;
}

/** Ports that an image or `--expose` names, for `-P`. */
function exposedPorts(config: ContainerConfig, exec: ImageExecConfig): PortMapping[] {
  const ports = [...Object.keys(exec.ExposedPorts ?? {}), ...(config.expose ?? [])];
  const seen = new Set<string>();
  return ports.flatMap((text) => {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/.exec(text);
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (match === null || first < 1 || last > 65535 || last < first) {
      throw invalid("expose", text, 'use "80", "80/udp" or "7000-7010/tcp"');
    }
    const protocol = (match[3] ?? "tcp") as "tcp" | "udp" | "sctp";
    const mappings: PortMapping[] = [];
    for (let port = first; port <= last; port++) {
      const key = `${port}/${protocol}`;
      const published = (config.publish ?? []).some((p) =>
        (p.protocol ?? "tcp") === protocol && port >= p.containerPort && port < p.containerPort + (p.count ?? 1)
      );
      if (!seen.has(key) && !published) mappings.push({ hostPort: 0, containerPort: port, protocol });
      seen.add(key);
      checkPublished(seen.size);
    }
    return mappings;
  });
}

/** The image's HEALTHCHECK in nyx's terms; undefined when it has none. */
export function imageHealthcheck(exec: ImageExecConfig): Healthcheck | undefined {
  const check = exec.Healthcheck;
  const kind = check?.Test?.[0];
  if (check === undefined || kind === undefined || kind === "NONE") return undefined;
  const command = check.Test?.slice(1) ?? [];
  const ms = (ns: number | undefined) => (ns === undefined || ns === 0 ? undefined : Math.round(ns / 1e6));
  const atLeast = (given: number | undefined) =>
    given === undefined ? undefined : Math.max(given, MIN_IMAGE_INTERVAL_MS);
  const timing = {
    intervalMs: atLeast(ms(check.Interval)),
    timeoutMs: ms(check.Timeout),
    startPeriodMs: ms(check.StartPeriod),
    startIntervalMs: atLeast(ms(check.StartInterval)),
    retries: check.Retries === 0 ? undefined : check.Retries,
  };
  const known = Object.fromEntries(Object.entries(timing).filter(([, v]) => v !== undefined));
  return { type: "exec", command, shell: kind === "CMD-SHELL", ...known };
}

/** Settings that override parts of the image's check; the flags of `nyx run` may give timing alone. */
function mergeHealthcheck(own: Healthcheck | undefined, image: Healthcheck | undefined): Healthcheck | undefined {
  if (own === undefined) return image;
  if (own.type === "none") return undefined;
  if (own.type === "exec" && (own.command === undefined || own.command.length === 0)) {
    if (image === undefined) {
      throw new NyxError(
        "invalid_argument",
        "Health check timing was given, but neither the flags nor the image name a health check command; add --health-cmd",
      );
    }
    return { ...image, ...own, command: image.command ?? [], shell: image.shell ?? false };
  }
  return own;
}

/**
 * Replaces what networks are called by their names, so that every later look-up is by name.
 *
 * @returns the configuration, and the names of its networks
 * @throws NyxError not_found for an unknown network, invalid_argument for networks beside a mode that excludes them
 */
export function resolveNetworks(
  config: ContainerConfig,
  source: Pick<NetworkSource, "resolve">,
): { config: ContainerConfig; names: string[] } {
  const [first] = config.networks ?? [];
  const mode = config.networkMode ?? first?.network ?? "bridge";
  if (mode === "none" || mode === "host" || mode.startsWith("container:")) {
    if (first === undefined) return { config, names: [] };
    throw new NyxError(
      "invalid_argument",
      `Could not combine network mode "${mode}" with network "${first.network}": choose one of them`,
    );
  }
  const isDefault = mode === "bridge" || mode === "default";
  const main = source.resolve(mode);
  const networks = (config.networks ?? []).map((a) => ({ ...a, network: source.resolve(a.network) }));
  const names = [...new Set([main, ...networks.map((a) => a.network)])];
  const twice = networks.find((a, i) => networks.findIndex((b) => b.network === a.network) !== i);
  if (twice !== undefined) throw invalid("networks", twice.network, "the container is attached to it twice");
  const resolved: ContainerConfig = { ...config, ...(networks.length === 0 ? {} : { networks }) };
  if (config.networkMode !== undefined || first !== undefined) resolved.networkMode = isDefault ? "bridge" : main;
  return { config: resolved, names };
}

/** What is known before the record is made. */
export interface Identity {
  id: string;
  name: string;
  created: string;
}

/**
 * Makes the record of a new container.
 *
 * @param config what the user asked for, already valid in form
 * @param image the image, present
 * @param identity id, name, time
 * @param host the daemon's base directory, the host's own name, and its architecture as images name it
 * @throws NyxError invalid_argument for combinations that cannot be honoured
 */
export function newRecord(
  config: ContainerConfig,
  image: ImageHandle,
  identity: Identity,
  host: { baseDir: string; hostname: string; architecture?: string },
): ContainerRecord {
  const exec = image.config.config ?? {};
  const warnings: string[] = [];
  checkAnnotations(config.annotations);
  const { architecture } = image.config;
  if (config.platform === undefined && architecture !== (host.architecture ?? architecture)) {
    warnings.push(
      `The image is for linux/${architecture} and this host is linux/${host.architecture}: its programs run under ` +
        "emulation or not at all; pull it for this host, or give --platform to say that it is meant",
    );
  }
  const mode = config.networkMode ?? "bridge";
  const ownNetwork = mode !== "host" && !mode.startsWith("container:");
  const publish = [...(config.publish ?? []), ...(config.publishAll === true ? exposedPorts(config, exec) : [])];
  if (publish.length > 0 && mode === "host") {
    warnings.push("Published ports are discarded: the container uses the host's network, so its ports are the host's");
  } else if (publish.length > 0 && mode !== "bridge" && !ownNetwork) {
    throw new NyxError(
      "invalid_argument",
      `Could not publish ports with network mode "${mode}": publish them on the container that owns the network`,
    );
  } else if (publish.length > 0 && mode === "none") {
    throw new NyxError(
      "invalid_argument",
      'Could not publish ports with network mode "none": the container has no network',
    );
  }
  if (mode.startsWith("container:") && config.hostname !== undefined) {
    throw new NyxError(
      "invalid_argument",
      `Could not set hostname "${config.hostname}": with network mode "${mode}" the other container's is used`,
    );
  }
  if (mode.startsWith("container:")) {
    const kept = { "--dns": config.dns, "--dns-search": config.dnsSearch, "--dns-option": config.dnsOptions };
    for (const [flag, value] of Object.entries({ ...kept, "--add-host": config.extraHosts })) {
      if (value === undefined || value.length === 0) continue;
      throw new NyxError(
        "invalid_argument",
        `Could not combine ${flag} with network mode "${mode}": the other container's hosts and resolv.conf are used`,
      );
    }
  }
  if (config.autoRemove === true && config.restart !== undefined && config.restart.name !== "no") {
    throw new NyxError(
      "invalid_argument",
      `Could not combine --rm with restart policy "${config.restart.name}": choose one`,
    );
  }
  const mounts = [...(config.mounts ?? []), ...imageVolumes(exec, config.mounts ?? [])];
  const targets = new Set<string>();
  for (const m of mounts) {
    const target = trimSlash(m.target);
    if (!target.startsWith("/") || target === "/") {
      throw invalid("mount target", m.target, "use an absolute path other than /");
    }
    if (targets.has(target)) throw invalid("mount target", m.target, "it is used by two mounts; remove one");
    targets.add(target);
  }
  const healthcheck = mergeHealthcheck(config.healthcheck, imageHealthcheck(exec));
  const spec: ContainerConfig = { ...config, name: identity.name, mounts, publish: ownNetwork ? publish : [] };
  if (healthcheck === undefined) delete spec.healthcheck;
  else spec.healthcheck = healthcheck;
  return {
    v: RECORD_VERSION,
    ...identity,
    spec,
    image: { ref: image.ref, id: image.imageId, manifestDigest: image.manifestDigest, layers: image.layers, exec },
    hostname: config.hostname ?? (mode === "host" ? host.hostname : identity.id.slice(0, 12)),
    mounts: [],
    ports: [],
    bundleDir: `${host.baseDir}/bundles/${identity.id}`,
    rootFS: `${host.baseDir}/overlay/${identity.id}/merged`,
    argv: [
      ...(config.entrypoint ?? exec.Entrypoint ?? []),
      ...(config.args ?? (config.entrypoint === undefined ? exec.Cmd ?? [] : [])),
    ],
    stopSignal: config.stopSignal ?? exec.StopSignal ?? "TERM",
    warnings,
    state: { status: "created", pid: 0, oomKilled: false, restartCount: 0, attempts: 0, stoppedByUser: false },
  };
}
