/**
 * The start of a container, steps R05 to R08: rootfs ∥ network, then bundle, then crun under its monitor; and the way
 * back. Everything is keyed by the container's id and idempotent, so that a half-done start can be taken down or redone.
 */

import { registrationOf } from "../dns/registration.ts";
import type { ContainerRecord } from "../persist/record.ts";
import { settleAll } from "../settle.ts";
import { NyxError, toNyxError } from "../spec/errors.ts";
import type { HostDevice, NetworkDns, NetworkResult, ResolvedMount } from "../../workers/protocol.ts";
import { untilAvailable } from "./available.ts";
import type { SupervisorDeps } from "./deps.ts";
import { hostsLines, resolvConf } from "./etc_files.ts";

/** Facts about another container that this one joins. */
export interface Joined {
  network?: { netnsPath: string; bundleDir: string; addresses: string[]; hostname: string };
  pids: { pid?: number; ipc?: number; uts?: number };
  /** /dev/shm of the container whose IPC namespace is joined. */
  shmPath?: string;
}

/** How the process is connected. */
export interface LaunchOptions {
  consoleSize?: { rows: number; cols: number };
  /** Gives the start up: the runtime is killed when it hangs. */
  signal?: AbortSignal;
}

/** Longest that the runtime may take until the process is there: a machine may be slow, a runtime that hangs says nothing. */
const RUNTIME_DEADLINE_MS = 60_000;

const ETC_PASSWD = "/etc/passwd";
const ETC_GROUP = "/etc/group";
/** Docker's size of /dev/shm. */
const DEFAULT_SHM_BYTES = 64 * 1024 * 1024;

/** Whether the container gets a network namespace that the network worker makes. */
export function ownsNetwork(mode: string): boolean {
  return mode !== "host" && !mode.startsWith("container:");
}

/** Network mode with its default filled in. */
export function networkMode(record: ContainerRecord): string {
  return record.spec.networkMode ?? "bridge";
}

/** The request that sets up, or reserves for, a container's network. */
export function networkRequest(record: Pick<ContainerRecord, "id" | "name" | "spec">, defaultNetwork: string) {
  const mode = record.spec.networkMode ?? "bridge";
  // `bridge` and `default` are what users of Docker call the default network.
  const named = (network: string) => network === "bridge" || network === "default" ? defaultNetwork : network;
  const listed = (record.spec.networks ?? []).map((a) => ({ ...a, network: named(a.network) }));
  const main = named(mode);
  const attachments = mode === "none"
    ? []
    : listed.some((a) => a.network === main)
    ? listed
    : [{ network: main }, ...listed];
  return {
    id: record.id,
    name: record.name,
    mode: mode === "none" ? "none" as const : "bridge" as const,
    attachments,
    ports: mode === "none" ? [] : record.spec.publish ?? [],
  };
}

function sysctlsOfNetwork(record: ContainerRecord): Record<string, string> {
  return Object.fromEntries(Object.entries(record.spec.sysctls ?? {}).filter(([k]) => k.startsWith("net.")));
}

async function setupNetwork(deps: SupervisorDeps, record: ContainerRecord): Promise<NetworkResult | undefined> {
  if (!ownsNetwork(networkMode(record))) return undefined;
  const request = networkRequest(record, deps.defaults.network);
  await deps.networks.ready(request.attachments.map((a) => a.network));
  const sysctls = sysctlsOfNetwork(record);
  return await untilAvailable(() => deps.stages.network.call("setup", { ...request, sysctls }));
}

async function prepareRootfs(
  deps: SupervisorDeps,
  record: ContainerRecord,
): Promise<{ files: Record<string, Uint8Array>; mounts: ResolvedMount[]; shmPath?: string }> {
  const workingDir = record.spec.workingDir ?? record.image.exec.WorkingDir ?? "/";
  const { rootfs, files, shmPath } = await untilAvailable(() =>
    deps.stages.rootfs.call("mount", {
      id: record.id,
      baseDir: deps.baseDir,
      layers: record.image.layers,
      volatile: record.spec.autoRemove === true,
      ensureDirs: workingDir === "/" || workingDir === "" ? [] : [workingDir],
      readFiles: [ETC_PASSWD, ETC_GROUP],
      ...(record.spec.ipcMode === "shareable" ? { shmSizeBytes: record.spec.shmSizeBytes ?? DEFAULT_SHM_BYTES } : {}),
    })
  );
  record.rootFS = rootfs;
  const shm = shmPath === undefined ? {} : { shmPath };
  if ((record.spec.mounts ?? []).length === 0) return { files, mounts: [], ...shm };
  const { mounts, resolved } = await deps.volumes.resolve(record.id, record.spec.mounts ?? [], rootfs);
  record.mounts = mounts;
  return { files, mounts: resolved, ...shm };
}

/** cgroup path that crun is given. */
export function cgroupsPath(deps: SupervisorDeps, record: ContainerRecord): string {
  return `${record.spec.cgroupParent ?? deps.defaults.cgroupParent}/${record.id}`;
}

/** Device nodes that the bundle names; the bundle worker cannot look at /dev itself. */
async function findDevices(deps: SupervisorDeps, record: ContainerRecord): Promise<HostDevice[] | undefined> {
  const { devices = [], privileged } = record.spec;
  if (devices.length === 0 && privileged !== true) return undefined;
  return (await deps.stages.rootfs.call("hostDevices", { devices, all: privileged === true })).devices;
}

/** Text of the host's resolv.conf; empty when it has none. */
export async function readHostResolvConf(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch {
    return "";
  }
}

/** nyx's resolvers for a container that names none itself. */
export async function embeddedResolvers(
  deps: SupervisorDeps,
  record: ContainerRecord,
  network: NetworkResult | undefined,
): Promise<string[]> {
  if (network === undefined || network.endpoints.length === 0 || record.spec.dns?.length) return [];
  const names = network.endpoints.map((e) => e.network);
  const { gatewayNetwork } = network;
  const ordered = [...names.filter((n) => n === gatewayNetwork), ...names.filter((n) => n !== gatewayNetwork)];
  const { servers, warning } = await deps.dns.nameservers(ordered, network.netnsPath);
  if (warning !== undefined && !record.warnings.includes(warning)) record.warnings.push(warning);
  return servers;
}

/** Resolvers that the network's backend gives, unless `--dns off` leaves all to the host. */
export function givenResolvers(
  { defaults }: Pick<SupervisorDeps, "defaults">,
  network: NetworkResult | undefined,
): { given?: NetworkDns } {
  return defaults.networkDns && network?.dns !== undefined ? { given: network.dns } : {};
}

/** Addresses of a container, those of its first network first. */
export function addressesOf(network: NetworkResult | undefined): string[] {
  return network?.endpoints.flatMap(({ ip, ip6 }) => [ip, ip6].filter((text) => text !== undefined)) ?? [];
}

/** The address by which a container reaches the host: of a network with IPv6 alone its gateway, else the default network's. */
export function hostGateway(
  { defaults }: Pick<SupervisorDeps, "defaults">,
  network: NetworkResult | undefined,
): string {
  const endpoints = network?.endpoints ?? [];
  const six = endpoints.some((e) => e.ip !== undefined) ? undefined : endpoints.find((e) => e.gateway6 !== undefined);
  return six?.gateway6 ?? defaults.gateway;
}

/**
 * Starts the container's process. Fills in the record's network, rootfs, argv, stop signal and pid.
 *
 * @returns pid of the container's first process, in the host's pid namespace
 * @throws NyxError; `context.exitCode` is 125, 126 or 127 as Docker means them
 */
export async function launch(
  deps: SupervisorDeps,
  record: ContainerRecord,
  joined: Joined,
  options: LaunchOptions,
): Promise<number> {
  const [root, network, devices, hostResolvConf] = await settleAll([
    prepareRootfs(deps, record),
    setupNetwork(deps, record),
    findDevices(deps, record),
    readHostResolvConf(deps.defaults.resolvConfPath),
  ]);
  const shmPath = joined.shmPath ?? root.shmPath;
  if (network !== undefined && network.ports.length > 0) record.warnings.push(...network.warnings);
  record.warnings.push(...network?.notices ?? []);
  const addresses = addressesOf(network);
  if (network === undefined) delete record.network;
  else record.network = network;
  // Before the process runs, so that whoever it tells of itself finds it.
  deps.dns.register(registrationOf(record, deps.defaults.network));
  record.ports = network?.ports ?? [];
  const netnsPath = network?.netnsPath ?? joined.network?.netnsPath;
  if (netnsPath === undefined) delete record.netNS;
  else record.netNS = netnsPath;
  if (addresses[0] === undefined) delete record.ip;
  else record.ip = addresses[0];
  const passwd = root.files[ETC_PASSWD];
  const group = root.files[ETC_GROUP];
  const aliases = (record.spec.networks ?? []).flatMap((a) => a.aliases ?? []);
  const request = {
    id: record.id,
    bundleDir: record.bundleDir,
    config: record.spec,
    image: record.image.exec,
    rootfs: record.rootFS,
    ...(passwd === undefined ? {} : { passwd }),
    ...(group === undefined ? {} : { group }),
    ...(netnsPath === undefined ? {} : { netnsPath }),
    joinPids: joined.pids,
    mounts: root.mounts,
    ...(devices === undefined ? {} : { devices }),
    ...(shmPath === undefined ? {} : { shmPath }),
    hostname: joined.network?.hostname ?? record.hostname,
    hosts: hostsLines(record.spec, { hostname: record.hostname, addresses, aliases }, hostGateway(deps, network)),
    resolvConf: resolvConf(record.spec, hostResolvConf, {
      ownNetwork: networkMode(record) !== "host",
      embedded: await embeddedResolvers(deps, record, network),
      ...givenResolvers(deps, network),
    }),
    ...(joined.network === undefined ? {} : { shareEtcFrom: joined.network.bundleDir }),
    cgroupsPath: cgroupsPath(deps, record),
    host: deps.host,
    ...(record.spec.init === true && deps.defaults.initPath !== undefined ? { initPath: deps.defaults.initPath } : {}),
  };
  const bundle = await untilAvailable(() => deps.stages.bundle.call("generate", request));
  record.argv = bundle.argv;
  record.stopSignal = bundle.stopSignal;
  record.warnings = [...new Set([...record.warnings, ...bundle.warnings])];
  const spare = deps.store.saveSpare(record);
  const started = deps.stages.streams.call("launch", {
    id: record.id,
    bundleDir: record.bundleDir,
    tty: record.spec.tty === true,
    stdin: record.spec.openStdin === true,
    log: record.spec.log ?? {},
    ...(options.consoleSize === undefined ? {} : { consoleSize: options.consoleSize }),
  }, { deadlineMs: RUNTIME_DEADLINE_MS, ...(options.signal === undefined ? {} : { signal: options.signal }) });
  const [result] = await settleAll([started, spare]);
  record.state.startedAt = result.startedAt;
  if (result.cgroup !== undefined) record.cgroup = result.cgroup;
  return result.pid;
}

/**
 * Takes down what a run of the container used; its files, addresses and ports stay reserved. Never stops at the first
 * error.
 *
 * @throws NyxError internal that names every part that failed
 */
export async function takeDown(deps: SupervisorDeps, record: ContainerRecord, removeDirs: boolean): Promise<void> {
  const { streams, network, rootfs } = deps.stages;
  deps.dns.deregister(record.id);
  const failures: string[] = [];
  const attempt = async (what: string, job: () => Promise<unknown>) => {
    try {
      await untilAvailable(job);
    } catch (e) {
      failures.push(`${what}: ${toNyxError(e).message}`);
    }
  };
  await attempt("runtime", () => streams.call("delete", { id: record.id }));
  await Promise.all([
    attempt("network", async () => {
      if (ownsNetwork(networkMode(record))) await network.call("teardown", { id: record.id });
    }),
    attempt("rootfs", () => rootfs.call("unmount", { id: record.id, baseDir: deps.baseDir, removeDirs })),
  ]);
  if (failures.length > 0) {
    throw new NyxError(
      "internal",
      `Could not take down container "${record.name}" completely: ${failures.join("; ")}`,
      {
        retryable: true,
      },
    );
  }
}
