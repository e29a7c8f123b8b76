/** From a service to the container that the engine is asked for: names, labels, mounts, networks, limits. */

import type { ComposeModel, ComposeService } from "../spec/compose.ts";
import type { ContainerConfig, MountSpec, NetworkAttachment, PortMapping } from "../spec/container.ts";
import { parseCapability } from "../spec/parse/capability.ts";
import { parseName, parseNamespaceMode, parsePlatform, parseUser, parseWorkdir } from "../spec/parse/modes.ts";
import {
  parseExtraHost,
  parseHostname,
  parseIp,
  parseMac,
  parseNetwork,
  parseSearchDomain,
} from "../spec/parse/network.ts";
import { cleanAbsolute } from "../spec/parse/paths.ts";
import { parseTmpfs } from "../spec/parse/mounts.ts";
import { parseSecurityOpts } from "../spec/parse/security_opt.ts";
import { parseExpose } from "../spec/parse/ports.ts";
import { parseSignal } from "../spec/parse/signal.ts";
import { parseUlimit } from "../spec/parse/ulimit.ts";
import { parseSysctl } from "../spec/parse/sysctl.ts";
import { parseReference } from "../spec/reference.ts";
import { parseDevice, parseDeviceCgroupRule } from "../spec/parse/device.ts";
import { lifetimeOf } from "./container_lifetime.ts";
import { joinPorts, mountOf } from "./container_mounts.ts";
import { defined, own, sortedKeys } from "./dictionary.ts";
import { contentText } from "./files.ts";
import { serviceHash } from "./hash.ts";
import { COMPOSE_VERSION, LABEL } from "./labels.ts";
import { serviceOfMode, serviceOfVolumesFrom } from "./normalise.ts";
import { imageOf } from "./print.ts";
import type { ComposeProject } from "./project.ts";
import { type ServiceFile, serviceFiles } from "./service_files.ts";

/** What of a project the mapping needs. */
export type MappedProject = Pick<ComposeProject, "model" | "contents" | "files" | "directory">;

/** How services are mapped. */
export interface MappingOptions {
  /** Host directory in which the contents of configs and secrets are laid out; see {@linkcode ServiceFile}. */
  filesDir: string;
  /** The same for secrets; default `filesDir`. */
  secretsDir?: string;
}

/** A container that ought to be there. */
export interface DesiredContainer {
  service: string;
  /** com.docker.compose.container-number, from 1. */
  number: number;
  name: string;
  config: ContainerConfig;
  /** com.docker.compose.config-hash. */
  hash: string;
  /** To be written before the container starts. */
  files: ServiceFile[];
  /** Why it cannot be made; empty when it can. */
  problems: string[];
}

/** Name of a service's container. */
export function containerName(project: MappedProject, service: string, number: number): string {
  return own(project.model.services, service)?.container_name ?? `${project.model.name}-${service}-${number}`;
}

/** Found once for each model: every container of every service asks. */
const linked = new WeakMap<ComposeModel, Map<string, string[]>>();

/** Names by which services are linked to, by service. */
function linkAliases(model: ComposeModel): Map<string, string[]> {
  const known = linked.get(model);
  if (known !== undefined) return known;
  const found = new Map<string, string[]>();
  for (const link of Object.values(model.services).flatMap((service) => service.links ?? [])) {
    const [name = "", alias = ""] = link.split(":");
    if (alias !== "") found.set(name, [...found.get(name) ?? [], alias]);
  }
  linked.set(model, found);
  return found;
}

class Mapping {
  readonly problems: string[] = [];
  readonly #project: MappedProject;
  readonly #name: string;
  readonly #service: ComposeService;
  readonly #number: number;
  readonly #options: MappingOptions;

  constructor(project: MappedProject, name: string, service: ComposeService, number: number, options: MappingOptions) {
    this.#project = project;
    this.#name = name;
    this.#service = service;
    this.#number = number;
    this.#options = options;
  }

  map(): DesiredContainer {
    const hash = serviceHash(this.#project, this.#name);
    const name = containerName(this.#project, this.#name, this.#number);
    const { files, problems } = serviceFiles(
      this.#project,
      this.#name,
      this.#options.filesDir,
      this.#options.secretsDir,
    );
    this.problems.push(...problems);
    const config: ContainerConfig = {
      name,
      image: imageOf(this.#project.model, this.#name),
      ...this.#process(),
      ...lifetimeOf(this.#service, (field, read) => this.#try(field, read)),
      ...this.#network(),
      ...this.#storage(files),
      ...this.#isolation(),
      labels: this.#labels(hash),
    };
    this.#try("image", () => parseReference(config.image));
    this.#try("container_name", () => parseName(name, "container name"));
    return { service: this.#name, number: this.#number, name, config, hash, files, problems: this.problems };
  }

  #try<T>(field: string, read: () => T): T | undefined {
    try {
      return read();
    } catch (e) {
      this.problems.push(`services.${this.#name}.${field}: ${e instanceof Error ? e.message : String(e)}`);
      return undefined;
    }
  }

  /** An optional text, checked by its parser. */
  #text<R>(field: string, value: string | undefined, read: (text: string) => R): R | undefined {
    return value === undefined || value === "" ? undefined : this.#try(field, () => read(value));
  }

  #each<T, R>(field: string, values: readonly T[] | undefined, read: (value: T) => R): R[] | undefined {
    const out = values?.flatMap((value, index): R[] => {
      const read1 = this.#try(`${field}[${index}]`, () => read(value));
      return read1 === undefined ? [] : [read1];
    });
    return out === undefined || out.length === 0 ? undefined : out;
  }

  #labels(hash: string): Record<string, string> {
    const dependencies = Object.entries(this.#service.depends_on ?? {}).map(([name, d]) =>
      `${name}:${d.condition}:${d.restart ?? false}`
    );
    return {
      ...this.#service.labels,
      [LABEL.project]: this.#project.model.name,
      [LABEL.service]: this.#name,
      [LABEL.number]: String(this.#number),
      [LABEL.oneoff]: "False",
      [LABEL.hash]: hash,
      [LABEL.workingDir]: this.#project.directory,
      [LABEL.configFiles]: this.#project.files.join(","),
      [LABEL.dependsOn]: dependencies.sort().join(","),
      [LABEL.version]: COMPOSE_VERSION,
    };
  }

  #process(): Partial<ContainerConfig> {
    const s = this.#service;
    const env = sortedKeys(s.environment).map((key) => {
      const value = own(s.environment, key);
      return value === null || value === undefined ? key : `${key}=${value}`;
    });
    return defined({
      // Other systems are reported when the project is loaded.
      platform: s.platform?.includes("/") && !s.platform.startsWith("linux/")
        ? undefined
        : this.#text("platform", s.platform, (text) => parsePlatform(text)),
      entrypoint: s.entrypoint ?? undefined,
      args: s.command ?? undefined,
      env: env.length === 0 ? undefined : env,
      workingDir: this.#text("working_dir", s.working_dir, (text) => parseWorkdir(text)),
      user: this.#text("user", s.user, (text) => parseUser(text)),
      groupAdd: s.group_add,
      hostname: this.#text("hostname", s.hostname, (text) => parseHostname(text)),
      domainname: this.#text("domainname", s.domainname, (text) => parseHostname(text)),
      tty: s.tty,
      openStdin: s.stdin_open,
      annotations: s.annotations,
      init: s.init,
      stopSignal: this.#text("stop_signal", s.stop_signal, (text) => parseSignal(text).name),
    });
  }

  #namespace(mode: string | undefined): string | undefined {
    const other = serviceOfMode(mode);
    return other === undefined ? mode : `container:${containerName(this.#project, other, 1)}`;
  }

  #network(): Partial<ContainerConfig> {
    const s = this.#service;
    const attachments = this.#attachments();
    const mode = this.#networkMode();
    const shared = mode === "host" || mode?.startsWith("container:") === true;
    return defined({
      networkMode: mode ?? attachments[0]?.network,
      networks: attachments.length === 0 ? undefined : attachments,
      publish: shared ? undefined : this.#ports(),
      expose: this.#each("expose", s.expose, (port) => parseExpose(port)),
      dns: this.#each("dns", s.dns, (ip) => parseIp(ip, "dns")),
      dnsSearch: this.#each("dns_search", s.dns_search, (domain) => parseSearchDomain(domain)),
      dnsOptions: s.dns_opt,
      extraHosts: this.#each("extra_hosts", s.extra_hosts, (host) => parseExtraHost(host)),
    });
  }

  #networkMode(): string | undefined {
    const mode = this.#namespace(this.#service.network_mode);
    if (mode === undefined || mode === "") return undefined;
    return this.#try("network_mode", () => {
      const choice = parseNetwork(mode, "network_mode");
      return choice.kind === "mode" ? choice.mode : choice.attachment.network;
    });
  }

  /** Networks, the one that gives the default route first. */
  #attachments(): NetworkAttachment[] {
    const entries = Object.entries(this.#service.networks ?? {});
    const rank = (a: { priority?: number } | null) => a?.priority ?? 0;
    entries.sort(([a, x], [b, y]) => rank(y) - rank(x) || (a < b ? -1 : 1));
    const mac = this.#service.mac_address;
    return entries.map(([key, attachment], index) => {
      const ownMac = attachment?.mac_address ?? (index === 0 ? mac : undefined);
      const network = own(this.#project.model.networks, key)?.name ?? key;
      this.#try(`networks.${key}`, () => parseName(network, "network name"));
      const aliases = [
        this.#name,
        ...attachment?.aliases ?? [],
        ...linkAliases(this.#project.model).get(this.#name) ?? [],
      ];
      return defined({
        network,
        ip: this.#text(
          `networks.${key}.ipv4_address`,
          attachment?.ipv4_address,
          (text) => parseIp(text, "ipv4_address", 4),
        ),
        ip6: this.#text(
          `networks.${key}.ipv6_address`,
          attachment?.ipv6_address,
          (text) => parseIp(text, "ipv6_address", 6),
        ),
        mac: this.#text("mac_address", ownMac, (text) => parseMac(text)),
        aliases: [...new Set(aliases)],
        gatewayPriority: attachment?.gw_priority,
      });
    });
  }

  #ports(): PortMapping[] | undefined {
    const mappings = (this.#service.ports ?? []).flatMap((port): PortMapping[] => {
      const [first, last] = (port.published ?? "0").split("-").map(Number);
      // From a range each container takes the port of its own number.
      const hostPort = last === undefined ? first ?? 0 : (first ?? 0) + this.#number - 1;
      if (last !== undefined && hostPort > last) {
        this.problems.push(
          `services.${this.#name}.ports: the range ${port.published} has no port for container ${this.#number}; widen it`,
        );
        return [];
      }
      const mapping: PortMapping = {
        hostPort,
        containerPort: port.target,
        protocol: port.protocol as "tcp" | "udp" | "sctp",
      };
      if (port.host_ip !== undefined && port.host_ip !== "") mapping.hostIp = port.host_ip;
      return [mapping];
    });
    return mappings.length === 0 ? undefined : joinPorts(mappings);
  }

  #storage(files: readonly ServiceFile[]): Partial<ContainerConfig> {
    const byTarget = new Map<string, MountSpec>();
    const add = (mount: MountSpec | undefined) => {
      if (mount !== undefined) byTarget.set(mount.target, mount);
    };
    this.#inheritedMounts([this.#name]).forEach(add);
    for (const [index, mount] of (this.#service.volumes ?? []).entries()) {
      add(this.#try(`volumes[${index}]`, () => mountOf(mount, this.#project.model.volumes)));
    }
    for (const tmpfs of this.#each("tmpfs", this.#service.tmpfs, (text) => parseTmpfs(text)) ?? []) add(tmpfs);
    for (const file of files) add({ type: "bind", source: file.hostPath, target: file.target, readOnly: true });
    const shm = this.#service.shm_size;
    return defined({
      mounts: byTarget.size === 0 ? undefined : [...byTarget.values()],
      readOnly: this.#service.read_only,
      shmSizeBytes: shm === undefined ? undefined : Number(shm),
    });
  }

  /** Mounts taken from other services (volumes_from), nearest last. */
  #inheritedMounts(chain: readonly string[]): MountSpec[] {
    const from = own(this.#project.model.services, chain.at(-1) ?? "")?.volumes_from ?? [];
    return from.flatMap((entry) => {
      const other = serviceOfVolumesFrom(entry);
      const service = other === undefined ? undefined : own(this.#project.model.services, other);
      if (other === undefined || service === undefined || chain.includes(other)) return [];
      const mounts = [
        ...this.#inheritedMounts([...chain, other]),
        ...(service.volumes ?? []).flatMap((mount) =>
          this.#try("volumes_from", () => mountOf(mount, this.#project.model.volumes)) ?? []
        ),
      ];
      return entry.endsWith(":ro") ? mounts.map((mount) => ({ ...mount, readOnly: true })) : mounts;
    });
  }

  #isolation(): Partial<ContainerConfig> {
    const s = this.#service;
    return defined({
      privileged: s.privileged,
      capAdd: this.#each("cap_add", s.cap_add, (name) => parseCapability(name)),
      capDrop: this.#each("cap_drop", s.cap_drop, (name) => parseCapability(name)),
      ...this.#security(),
      devices: this.#each("devices", s.devices, (d) => parseDevice(`${d.source}:${d.target}:${d.permissions}`)),
      deviceCgroupRules: this.#each(
        "device_cgroup_rules",
        s.device_cgroup_rules,
        (rule) => parseDeviceCgroupRule(rule),
      ),
      ulimits: this.#each("ulimits", Object.entries(s.ulimits ?? {}), ([name, limit]) => {
        const { soft, hard } = typeof limit === "number" ? { soft: limit, hard: limit } : limit;
        return parseUlimit(`${name}=${soft}:${hard}`);
      }),
      sysctls: this.#sysctls(),
      pidMode: this.#text("pid", this.#namespace(s.pid), (text) => parseNamespaceMode(text, "pid")),
      ipcMode: this.#text("ipc", this.#namespace(s.ipc), (text) => parseNamespaceMode(text, "ipc")),
      utsMode: this.#text("uts", s.uts, (text) => parseNamespaceMode(text, "uts")),
      cgroupnsMode: s.cgroup,
      cgroupParent: s.cgroup_parent,
    });
  }

  #security(): Partial<ContainerConfig> {
    const values = (this.#service.security_opt ?? []).filter((value) => !/^label[:=]/.test(value));
    return this.#try("security_opt", () =>
      parseSecurityOpts(values, (path) => {
        const content = this.#project.contents.get(`security.${securityPath(path, this.#project.directory)}`);
        const text = content === undefined ? undefined : contentText(content);
        if (text === undefined) throw new Error(`the seccomp profile ${path} does not exist`);
        return text;
      })) ?? {};
  }

  #sysctls(): Record<string, string> | undefined {
    const pairs = this.#each(
      "sysctls",
      Object.entries(this.#service.sysctls ?? {}),
      ([key, value]) => parseSysctl(`${key}=${value}`),
    );
    return pairs === undefined ? undefined : Object.fromEntries(pairs);
  }
}

/** Where a seccomp profile lies. */
export function securityPath(path: string, directory: string): string {
  return cleanAbsolute(path.startsWith("/") ? path : `${directory}/${path}`);
}

/**
 * The container with one number of a service.
 *
 * @returns undefined when there is no such service, or it has no containers (provider)
 */
export function desiredContainer(
  project: MappedProject,
  service: string,
  number: number,
  options: MappingOptions,
): DesiredContainer | undefined {
  const found = own(project.model.services, service);
  if (found === undefined || found.provider !== undefined) return undefined;
  return new Mapping(project, service, found, number, options).map();
}
