/** Builds a container's config.json (OCI runtime specification v1.0.2) from what the user asked for, the image and the host. */

import { invalid, NyxError } from "../../daemon/spec/errors.ts";
import type { ContainerConfig } from "../../daemon/spec/container.ts";
import type { BundleStage, HostFacts, ResolvedMount } from "../protocol.ts";
import { capabilitySets, resolveCapabilities } from "./capabilities.ts";
import { requireNodes, resolveDevices } from "./devices.ts";
import { checkHostname } from "./etc_files.ts";
import { resolveRlimits, resolveSysctls } from "./limits.ts";
import { type EtcFiles, resolveMounts, rootPropagation } from "./mounts.ts";
import { type NamespacePlan, planNamespaces } from "./namespaces.ts";
import { parseSignal, resolveArgv, resolveCwd, resolveEnv } from "./process.ts";
import { resolveOomScore, resolveResources } from "./resources.ts";
import type { OciProcess, OciResources, OciSeccomp, RuntimeSpec } from "./runtime_spec.ts";
import { kernelAtLeast, resolveSeccomp } from "./seccomp.ts";
import { FILTER_ANNOTATION, filterKey } from "./seccomp_filter.ts";
import { resolveUser } from "./user.ts";

/** Request of the generate operation. */
export type GenerateRequest = BundleStage["ops"]["generate"]["request"];

/** Result of the generate operation. */
export type GenerateResult = BundleStage["ops"]["generate"]["result"];

/** Facts of the thread that generates. */
export interface Machine {
  /** CPUs. */
  cpus: number;
  /** As Deno.build.arch. */
  arch: string;
}

/** Paths that show or steer the host; unreadable inside. */
export const MASKED_PATHS: readonly string[] = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
];

/** Paths that may be read but not written inside. */
export const READONLY_PATHS: readonly string[] = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
];

const DEFAULT_STOP_SIGNAL = "SIGTERM";

function apparmorProfile(config: ContainerConfig, host: HostFacts): string | undefined {
  const profile = config.apparmor;
  if (profile === undefined || profile === "" || profile === "unconfined") return undefined;
  if (!host.apparmor) {
    throw new NyxError(
      "failed_precondition",
      `Could not apply AppArmor profile ${JSON.stringify(profile)}: AppArmor is not enabled on this host; leave it out`,
      { context: { field: "apparmor", value: profile } },
    );
  }
  return profile;
}

function checkNames(request: GenerateRequest): void {
  if (request.hostname !== "") checkHostname("hostname", request.hostname);
  if (request.config.domainname !== undefined && request.config.domainname !== "") {
    checkHostname("domainname", request.config.domainname);
  }
  if (request.config.init === true && request.initPath === undefined) {
    throw new NyxError(
      "failed_precondition",
      "Could not use --init: no init program was found on this host; install tini or leave it out",
      { context: { field: "init", value: true } },
    );
  }
}

function makeProcess(
  request: GenerateRequest,
  capabilities: readonly string[],
  warnings: string[],
): OciProcess {
  const { config, image, host } = request;
  const privileged = config.privileged === true;
  const { home, ...user } = resolveUser(
    config.user ?? image.User ?? "",
    request.passwd,
    request.group,
    config.groupAdd,
  );
  const tty = config.tty === true;
  const apparmor = apparmorProfile(config, host);
  return {
    terminal: tty,
    user: { ...user, umask: 0o022 },
    args: resolveArgv(config, image),
    env: resolveEnv({ image: image.Env ?? [], user: config.env ?? [], hostname: request.hostname, tty, home }),
    cwd: resolveCwd(config.workingDir, image.WorkingDir),
    capabilities: capabilitySets(capabilities, user.uid),
    rlimits: resolveRlimits(config.ulimits ?? [], host, warnings),
    ...(apparmor === undefined ? {} : { apparmorProfile: apparmor }),
    noNewPrivileges: config.noNewPrivileges ?? !privileged,
    oomScoreAdj: resolveOomScore(config.resources?.oomScoreAdj, host),
  };
}

function makeLinux(
  request: GenerateRequest,
  plan: NamespacePlan,
  capabilities: readonly string[],
  machine: Machine,
  warnings: string[],
): RuntimeSpec["linux"] {
  const { config, host } = request;
  const privileged = config.privileged === true;
  const asked = (config.devices?.length ?? 0) + (privileged ? 1 : 0);
  const { devices, rules } = resolveDevices({
    privileged,
    nodes: requireNodes(asked, request.devices),
    rules: config.deviceCgroupRules ?? [],
  });
  const resources: OciResources = {
    devices: rules,
    ...resolveResources(config.resources ?? {}, { host, cpus: machine.cpus }, warnings),
  };
  const seccomp = privileged && config.seccomp === undefined ? undefined : resolveSeccomp(config.seccomp, {
    capabilities,
    kernel: host.kernel,
    arch: machine.arch,
  });
  const sysctl = resolveSysctls(config.sysctls ?? {}, plan.own);
  return {
    cgroupsPath: request.cgroupsPath,
    namespaces: plan.namespaces,
    devices,
    resources,
    ...(Object.keys(sysctl).length > 0 ? { sysctl } : {}),
    ...(seccomp === undefined ? {} : { seccomp }),
    maskedPaths: config.maskedPaths ?? (privileged ? [] : [...MASKED_PATHS]),
    readonlyPaths: config.readonlyPaths ?? (privileged ? [] : [...READONLY_PATHS]),
  };
}

/** Takes `rro` (read-only for mounts below, too) off where the kernel has no mount_setattr: `ro` stays, for the top mount. */
function withoutRecursiveReadOnly({ mounts, host }: GenerateRequest, warnings: string[]): readonly ResolvedMount[] {
  if (kernelAtLeast(host.kernel, "5.12") || !mounts.some((m) => m.options.includes("rro"))) return mounts;
  warnings.push("What is mounted below a read-only mount stays writable: this takes Linux 5.12");
  return mounts.map((m) => ({ ...m, options: m.options.filter((o) => o !== "rro") }));
}

/** The user's, and the ready-made filter of the profile where there is one. */
function makeAnnotations(
  config: ContainerConfig,
  seccomp: OciSeccomp | undefined,
  host: HostFacts,
): Record<string, string> | undefined {
  const filter = seccomp === undefined ? undefined : host.seccompFilters?.[filterKey(seccomp)];
  if (filter === undefined) return config.annotations;
  return { ...config.annotations, [FILTER_ANNOTATION]: filter };
}

/**
 * Builds config.json.
 *
 * @param request what the supervisor asks for
 * @param etc host paths of the files over /etc
 * @param machine CPUs and architecture
 * @throws NyxError invalid_argument or failed_precondition, naming the field, for what cannot be honoured
 */
export function buildSpec(
  request: GenerateRequest,
  etc: EtcFiles,
  machine: Machine,
): { spec: RuntimeSpec; result: GenerateResult } {
  const { config, image } = request;
  const warnings: string[] = [];
  checkNames(request);
  if (!request.rootfs.startsWith("/")) throw invalid("rootfs", request.rootfs, "it is an absolute path");
  const privileged = config.privileged === true;
  const capabilities = resolveCapabilities(
    { add: config.capAdd ?? [], drop: config.capDrop ?? [], privileged },
    request.host.capabilities,
    warnings,
  );
  const plan = planNamespaces(request);
  const process = makeProcess(request, capabilities, warnings);
  const readonly = config.readOnly === true;
  const mounts = resolveMounts({
    user: withoutRecursiveReadOnly(request, warnings),
    etc,
    shm: plan.shm,
    ...(config.shmSizeBytes === undefined ? {} : { shmSizeBytes: config.shmSizeBytes }),
    privileged,
    readOnlyRoot: readonly,
    ...(config.init === true && request.initPath !== undefined ? { initPath: request.initPath } : {}),
  });
  const linux = makeLinux(request, plan, capabilities, machine, warnings);
  const propagation = rootPropagation(mounts);
  if (propagation !== undefined) linux.rootfsPropagation = propagation;
  const spec: RuntimeSpec = {
    ociVersion: "1.0.2",
    process,
    root: { path: request.rootfs, readonly },
    mounts,
    linux,
  };
  if (plan.own.uts && request.hostname !== "") spec.hostname = request.hostname;
  if (config.domainname !== undefined && config.domainname !== "") {
    if (!plan.own.uts) {
      throw invalid("domainname", config.domainname, "the container shares its uts namespace; give it its own");
    }
    spec.domainname = config.domainname;
  }
  const annotations = makeAnnotations(config, linux.seccomp, request.host);
  if (annotations !== undefined) spec.annotations = annotations;
  const stop = config.stopSignal ?? image.StopSignal ?? "";
  return {
    spec,
    result: {
      argv: process.args,
      warnings,
      stopSignal: stop === "" ? DEFAULT_STOP_SIGNAL : parseSignal("stopSignal", stop),
      uid: process.user.uid,
      gid: process.user.gid,
    },
  };
}
