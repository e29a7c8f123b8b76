/** From the options of `run` and `create` to the container's specification. */

import type { ContainerConfig, LogOptions, NetworkAttachment, Resources } from "../mod.ts";
import { invalid, NyxError } from "../mod.ts";
import { parseCapability } from "../daemon/spec/parse/capability.ts";
import { parseBlkioWeight, parseCpus, parseCpuset, parseCpuShares, parseInteger } from "../daemon/spec/parse/cpus.ts";
import { parseDevice, parseDeviceCgroupRule } from "../daemon/spec/parse/device.ts";
import { parseEnv, parseEnvFile } from "../daemon/spec/parse/env_file.ts";
import { type HealthFlags, parseHealthFlags } from "../daemon/spec/parse/healthcheck.ts";
import { parseAnnotation, parseLabel, parseLabelFile } from "../daemon/spec/parse/label_file.ts";
import { parseLogOpts } from "../daemon/spec/parse/log_opt.ts";
import { parseName, parseNamespaceMode, parsePlatform, parseUser, parseWorkdir } from "../daemon/spec/parse/modes.ts";
import { parseMount, parseTmpfs, parseVolume } from "../daemon/spec/parse/mounts.ts";
import { parseCgroupParent } from "../daemon/spec/parse/paths.ts";
import {
  parseExtraHost,
  parseHostname,
  parseIp,
  parseMac,
  parseNetwork,
  parseSearchDomain,
} from "../daemon/spec/parse/network.ts";
import { parseExpose, parsePublish } from "../daemon/spec/parse/ports.ts";
import { parseRestart } from "../daemon/spec/parse/restart.ts";
import { parseSecurityOpts } from "../daemon/spec/parse/security_opt.ts";
import { parseSignal } from "../daemon/spec/parse/signal.ts";
import { parseMemory, parseMemorySwap, parseSize } from "../daemon/spec/parse/size.ts";
import { parseSysctl } from "../daemon/spec/parse/sysctl.ts";
import { parseUlimit } from "../daemon/spec/parse/ulimit.ts";
import type { ContainerFlags } from "./container_flags.ts";

/** The outside world that some flags look at. */
export interface FlagSources {
  cwd: string;
  env: (name: string) => string | undefined;
  /** Content of a file. Throws with its own message. */
  readFile: (path: string) => Uint8Array;
}

/** Flags of `update`, which are a part of those of `run`. */
export interface ResourceFlags {
  memory?: string | undefined;
  "memory-swap"?: string | undefined;
  "memory-reservation"?: string | undefined;
  cpus?: string | undefined;
  "cpu-shares"?: string | undefined;
  "cpu-period"?: string | undefined;
  "cpu-quota"?: string | undefined;
  "cpuset-cpus"?: string | undefined;
  "cpuset-mems"?: string | undefined;
  "pids-limit"?: string | undefined;
  "blkio-weight"?: string | undefined;
  "oom-score-adj"?: string | undefined;
  "oom-kill-disable"?: boolean | undefined;
}

/** Copies the values that are there; undefined ones stay away, as the API's documents have no nulls. */
function present<T extends object>(values: { [K in keyof T]?: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;
}

function some<T>(list: readonly T[]): T[] | undefined {
  return list.length === 0 ? undefined : [...list];
}

function given<T>(text: string | undefined, parse: (text: string) => T): T | undefined {
  return text === undefined ? undefined : parse(text);
}

/**
 * Limits of a command line; undefined when none is given.
 *
 * @throws NyxError invalid_argument, also for combinations that contradict each other
 */
export function resourcesOf(flags: ResourceFlags): Resources | undefined {
  const resources = present<Resources>({
    memoryBytes: given(flags.memory, parseMemory),
    memorySwapBytes: given(flags["memory-swap"], parseMemorySwap),
    memoryReservationBytes: given(flags["memory-reservation"], (text) => parseSize(text, "memory-reservation")),
    nanoCpus: given(flags.cpus, parseCpus),
    cpuShares: given(flags["cpu-shares"], parseCpuShares),
    cpuPeriodUs: given(flags["cpu-period"], (text) => parseInteger(text, "cpu-period", 1000, 1_000_000)),
    cpuQuotaUs: given(flags["cpu-quota"], (text) => text === "-1" ? -1 : parseInteger(text, "cpu-quota", 1000)),
    cpusetCpus: given(flags["cpuset-cpus"], parseCpuset),
    cpusetMems: given(flags["cpuset-mems"], (text) => parseCpuset(text, "cpuset-mems")),
    pidsLimit: given(flags["pids-limit"], (text) => parseInteger(text, "pids-limit", -1, 4_194_304)),
    blkioWeight: given(flags["blkio-weight"], parseBlkioWeight),
    oomScoreAdj: given(flags["oom-score-adj"], (text) => parseInteger(text, "oom-score-adj", -1000, 1000)),
    oomKillDisable: flags["oom-kill-disable"],
  });
  checkResources(resources, flags);
  return Object.keys(resources).length === 0 ? undefined : resources;
}

function checkResources(resources: Resources, flags: ResourceFlags): void {
  const { memoryBytes: memory, memorySwapBytes: swap, memoryReservationBytes: reservation } = resources;
  if (resources.nanoCpus !== undefined && (resources.cpuPeriodUs !== undefined || resources.cpuQuotaUs !== undefined)) {
    throw new NyxError("invalid_argument", "--cpus conflicts with --cpu-period and --cpu-quota: give one or the other");
  }
  if (swap !== undefined && swap > 0 && memory !== undefined && swap < memory) {
    throw invalid("memory-swap", flags["memory-swap"], "it counts memory plus swap and cannot be less than --memory");
  }
  if (reservation !== undefined && memory !== undefined && memory > 0 && reservation > memory) {
    throw invalid("memory-reservation", flags["memory-reservation"], "it cannot be more than --memory");
  }
}

function healthFlags(flags: ContainerFlags): HealthFlags {
  return present<HealthFlags>({
    disabled: flags["no-healthcheck"],
    cmd: flags["health-cmd"],
    interval: flags["health-interval"],
    timeout: flags["health-timeout"],
    retries: flags["health-retries"],
    startPeriod: flags["health-start-period"],
    startInterval: flags["health-start-interval"],
  });
}

/** Network mode and attachments; `--ip`, `--mac-address` and aliases go with the only network that is named. */
function networkPart(flags: ContainerFlags): Pick<ContainerConfig, "networkMode" | "networks"> {
  const choices = flags.network.map((text) => parseNetwork(text));
  const modes = choices.flatMap((choice) => choice.kind === "mode" ? [choice.mode] : []);
  const attachments = choices.flatMap((choice) => choice.kind === "attachment" ? [choice.attachment] : []);
  const exclusive = modes.find((mode) => mode !== "bridge");
  if (modes.length > 1 || (exclusive !== undefined && attachments.length > 0)) {
    throw invalid("network", flags.network.join(" "), `${modes[0]} cannot be combined with another network`);
  }
  const refined = present<Omit<NetworkAttachment, "network">>({
    ip: given(flags.ip, (text) => parseIp(text, "ip", 4)),
    ip6: given(flags.ip6, (text) => parseIp(text, "ip6", 6)),
    mac: given(flags["mac-address"], parseMac),
    aliases: some(flags["network-alias"]),
  });
  if (Object.keys(refined).length > 0) {
    if (exclusive !== undefined) {
      throw new NyxError(
        "invalid_argument",
        `--ip, --ip6, --mac-address and --network-alias do not work with --network ${exclusive}: it has no address of its own`,
      );
    }
    if (choices.length > 1) {
      throw new NyxError(
        "invalid_argument",
        "With several networks give address and aliases with each: --network name=NET,ip=ADDRESS,alias=NAME",
      );
    }
    if (attachments[0] === undefined) attachments.push({ network: "bridge", ...refined });
    else attachments[0] = { ...attachments[0], ...refined };
  }
  const mode = modes[0] ?? (attachments[0]?.network === "bridge" ? "bridge" : attachments[0]?.network);
  return present<Pick<ContainerConfig, "networkMode" | "networks">>({ networkMode: mode, networks: some(attachments) });
}

function environment(flags: ContainerFlags, sources: FlagSources): string[] {
  const files = flags["env-file"].flatMap((path) => parseEnvFile(sources.readFile(path), path, sources.env));
  return [...files, ...flags.env.map((text) => parseEnv(text, sources.env))];
}

function labels(flags: ContainerFlags, sources: FlagSources): Record<string, string> | undefined {
  const pairs = [
    ...flags["label-file"].flatMap((path) => parseLabelFile(sources.readFile(path), path)),
    ...flags.label.map((text) => parseLabel(text)),
  ];
  return pairs.length === 0 ? undefined : Object.fromEntries(pairs);
}

function pairs(
  texts: readonly string[],
  parse: (text: string) => [string, string],
): Record<string, string> | undefined {
  return texts.length === 0 ? undefined : Object.fromEntries(texts.map((text) => parse(text)));
}

function mountPart(flags: ContainerFlags, sources: FlagSources): ContainerConfig["mounts"] {
  const mounts = [
    ...flags.volume.map((text) => parseVolume(text, { cwd: sources.cwd })),
    ...flags.mount.map((text) => parseMount(text, { cwd: sources.cwd })),
    ...flags.tmpfs.map((text) => parseTmpfs(text)),
  ];
  const seen = new Set<string>();
  for (const { target } of mounts) {
    if (seen.has(target)) throw invalid("mount target", target, "it is mounted over twice; give each target once");
    seen.add(target);
  }
  return some(mounts);
}

function securityPart(flags: ContainerFlags, sources: FlagSources): Partial<ContainerConfig> {
  const decoder = new TextDecoder();
  return {
    ...parseSecurityOpts(flags["security-opt"], (path) => decoder.decode(sources.readFile(path))),
    ...present<Pick<ContainerConfig, "privileged" | "capAdd" | "capDrop" | "devices" | "deviceCgroupRules">>({
      privileged: flags.privileged,
      capAdd: some(flags["cap-add"].map((text) => parseCapability(text))),
      capDrop: some(flags["cap-drop"].map((text) => parseCapability(text, "cap-drop"))),
      devices: some(flags.device.map((text) => parseDevice(text))),
      deviceCgroupRules: some(flags["device-cgroup-rule"].map((text) => parseDeviceCgroupRule(text))),
    }),
  };
}

function namespacePart(flags: ContainerFlags): Partial<ContainerConfig> {
  if (flags.userns !== undefined && flags.userns !== "host" && flags.userns !== "") {
    throw invalid(
      "userns",
      flags.userns,
      "user namespaces are not supported: containers share the host's (--userns host)",
    );
  }
  return present<Pick<ContainerConfig, "pidMode" | "ipcMode" | "utsMode" | "cgroupnsMode" | "cgroupParent">>({
    pidMode: given(flags.pid, (text) => parseNamespaceMode(text, "pid")),
    ipcMode: given(flags.ipc, (text) => parseNamespaceMode(text, "ipc")),
    utsMode: given(flags.uts, (text) => parseNamespaceMode(text, "uts")),
    cgroupnsMode: given(flags.cgroupns, (text) => parseNamespaceMode(text, "cgroupns")),
    cgroupParent: given(flags["cgroup-parent"], (text) => parseCgroupParent(text)),
  });
}

function addressPart(flags: ContainerFlags): Partial<ContainerConfig> {
  return {
    ...networkPart(flags),
    ...present<
      Pick<ContainerConfig, "publish" | "publishAll" | "expose" | "dns" | "dnsSearch" | "dnsOptions" | "extraHosts">
    >({
      publish: some(flags.publish.map((text) => parsePublish(text))),
      publishAll: flags["publish-all"],
      expose: some(flags.expose.map((text) => parseExpose(text))),
      dns: some(flags.dns.map((text) => parseIp(text, "dns"))),
      dnsSearch: some(flags["dns-search"].map((text) => parseSearchDomain(text))),
      dnsOptions: some(flags["dns-option"]),
      extraHosts: some(flags["add-host"].map((text) => parseExtraHost(text))),
    }),
  };
}

function processPart(flags: ContainerFlags, sources: FlagSources): Partial<ContainerConfig> {
  const log: LogOptions = parseLogOpts(flags["log-opt"], flags["log-driver"]);
  return present<Partial<ContainerConfig>>({
    entrypoint: given(flags.entrypoint, (text) => text === "" ? [] : [text]),
    env: some(environment(flags, sources)),
    workingDir: given(flags.workdir, parseWorkdir),
    user: given(flags.user, parseUser),
    groupAdd: some(flags["group-add"]),
    hostname: given(flags.hostname, parseHostname),
    domainname: flags.domainname,
    tty: flags.tty,
    openStdin: flags.interactive,
    init: flags.init,
    readOnly: flags["read-only"],
    shmSizeBytes: given(flags["shm-size"], (text) => parseSize(text, "shm-size")),
    mounts: mountPart(flags, sources),
    ulimits: some(flags.ulimit.map((text) => parseUlimit(text))),
    sysctls: pairs(flags.sysctl, parseSysctl),
    resources: resourcesOf(flags),
    log: Object.keys(log).length === 0 ? undefined : log,
  });
}

/**
 * The container that a command line describes.
 *
 * @param image reference or id as typed
 * @param args command and arguments; none keeps the image's
 * @throws NyxError invalid_argument with option, value and fix
 */
export function containerConfig(
  flags: ContainerFlags,
  image: string,
  args: readonly string[],
  sources: FlagSources,
): ContainerConfig {
  const restart = given(flags.restart, parseRestart);
  if (flags.rm === true && restart !== undefined && restart.name !== "no") {
    throw new NyxError(
      "invalid_argument",
      `--rm conflicts with --restart ${flags.restart}: a container that is removed cannot be restarted`,
    );
  }
  return {
    image,
    ...present<Partial<ContainerConfig>>({
      name: given(flags.name, parseName),
      platform: given(flags.platform, parsePlatform),
      args: some(args),
      labels: labels(flags, sources),
      annotations: pairs(flags.annotation, parseAnnotation),
      restart,
      autoRemove: flags.rm,
      stopSignal: given(flags["stop-signal"], (text) => parseSignal(text, "stop-signal").name),
      stopTimeoutS: given(flags["stop-timeout"], (text) => parseInteger(text, "stop-timeout", -1, 2_147_483)),
      healthcheck: parseHealthFlags(healthFlags(flags)),
    }),
    ...processPart(flags, sources),
    ...addressPart(flags),
    ...securityPart(flags, sources),
    ...namespacePart(flags),
  };
}

/** Value of `--pull`. */
export function parsePullPolicy(text: string | undefined): "always" | "missing" | "never" {
  if (text === undefined || text === "missing") return "missing";
  if (text === "always" || text === "never") return text;
  throw invalid("pull", text, "use always, missing or never");
}
