/** Makes the daemon's parts and connects them: stores, supervisor, workers and their events. */

import { Builder } from "./build/builder.ts";
import { makeJobNetwork } from "./build/network.ts";
import { ProjectLoading } from "./compose/loading/loading.ts";
import { Compose } from "./compose/reconcile/compose.ts";
import type { ComposeEngine } from "./compose/reconcile/engine.ts";
import { FileStore } from "./compose/reconcile/files.ts";
import { ProjectStore } from "./compose/reconcile/store.ts";
import { supervisedEngine } from "./compose/reconcile/supervised.ts";
import type { DaemonConfig } from "./config.ts";
import { DnsBackend } from "./dns/backend.ts";
import { networksOf, registrationOf } from "./dns/registration.ts";
import { EventBus } from "./events/bus.ts";
import { type Subnet, withFreeSubnet } from "./default_network.ts";
import { findInit, hostname } from "./host_files.ts";
import { ImageStore } from "./images/store.ts";
import type { Logger } from "./log/logger.ts";
import type { ContainerRecord } from "./persist/record.ts";
import { RecordStore } from "./persist/store.ts";
import { crunWarnings } from "./runtime/crun_advisories.ts";
import { hostWarnings, readHostFacts } from "./runtime/host_facts.ts";
import { checkDriver, networkWorker } from "./net_driver.ts";
import { Networks } from "./networks/networks.ts";
import { settleAll } from "./settle.ts";
import { hostPlatform, parsePlatform } from "./spec/platform.ts";
import type { ContainerDefaults, Stages, SupervisorDeps } from "./supervisor/deps.ts";
import { agreeOnNetworks, networkIds, readopt } from "./supervisor/recover.ts";
import { Supervisor } from "./supervisor/supervisor.ts";
import { Volumes } from "./volumes/volumes.ts";
import type { WorkerEvents, Workers } from "./workers.ts";
import type { HostFacts } from "../workers/protocol.ts";

/** The daemon's parts, connected. */
export interface Parts {
  deps: SupervisorDeps;
  supervisor: Supervisor;
  images: ImageStore;
  volumes: Volumes;
  networks: Networks;
  compose: Compose;
  builder: Builder;
  /** The same parts as the reconciler sees them. */
  engine: ComposeEngine;
  dns: DnsBackend;
  events: EventBus;
  host: HostFacts;
  /** Addresses of the default network. */
  addresses: Subnet;
  crunVersion: string;
  /** What an operator should know, as sentences. */
  warnings: string[];
}

/**
 * Directories below which mounts are made; shared before the streams worker takes a mount namespace of its own, so that it
 * sees what comes later. `run/netns` is here because the network worker would share it at the very moment of that copy.
 */
export const SHARED_DIRS = ["run", "run/netns", "overlay", "volumes"];

const LOG_DEFAULTS: ContainerDefaults["log"] = {
  driver: "json",
  maxSizeBytes: 10 * 1024 * 1024,
  maxFile: 5,
  maxAgeMs: 0,
  compress: false,
  mode: "block",
};

/** Variables that builds get from the daemon. */
const PROXIES = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"];

/** Starts the workers that every container's life uses, and reads what the host offers. */
async function startStages(config: DaemonConfig, workers: Workers): Promise<{ stages: Stages; host: HostFacts }> {
  const stages = {
    rootfs: workers.rootfs(),
    bundle: workers.bundle(),
    network: networkWorker(config, workers),
    streams: workers.streams(),
  };
  await Promise.all(Object.values(stages).map((w) => w.ready));
  const host = await readHostFacts(stages.rootfs);
  for (const dir of SHARED_DIRS) await stages.rootfs.call("shareDir", { path: `${config.baseDir}/${dir}` });
  return { stages, host };
}

function imageStore(
  config: DaemonConfig,
  shared: { log: Logger; workers: Workers; stages: Stages; events: EventBus; supervisor: () => Supervisor },
): ImageStore {
  const { log, workers, stages, events, supervisor } = shared;
  const insecure = new Set(config.insecureRegistries);
  return new ImageStore({
    baseDir: config.baseDir,
    pull: () => workers.pull(),
    extract: () => workers.extract(),
    rootfs: stages.rootfs,
    log: log.with({ part: "images" }),
    ...(config.pullPlatform === undefined ? {} : { platform: parsePlatform(config.pullPlatform) }),
    insecureRegistry: (registry) => insecure.has(registry),
    usedBy: (imageId) => supervisor().usersOfImage(imageId).map((c) => c.name),
    usedLayers: () => supervisor().all.flatMap((c) => c.record.image.layers),
    emit: (e) => events.emit(e.type, e.action, e.id, e.attributes),
  });
}

/** Takes off what a start that fails has put on the host, when no container of an earlier run needs it. */
async function undo(baseDir: string, stages: Stages, live: readonly string[]): Promise<void> {
  if (live.length > 0) return;
  await stages.network.call("shutdown", { keepNetworks: false }).catch(() => {});
  for (const dir of SHARED_DIRS) {
    await stages.rootfs.call("unmountBelow", { path: `${baseDir}/${dir}` }).catch(() => {});
  }
}

/**
 * How long the first container waits at most to see whether it reaches the resolver. Over a veth that takes microseconds; on an
 * overloaded host it must not fail for want of a turn.
 */
const REACH_MS = 2000;

async function reachesTcp({ network }: Stages, netnsPath: string, target: string): Promise<boolean> {
  try {
    return (await network.call("probe", { netnsPath, type: "tcp", target, timeoutMs: REACH_MS })).exitCode === 0;
  } catch {
    // The worker is being replaced, which says nothing about a firewall.
    return true;
  }
}

/** Lets the containers of an earlier run be found by name again, as long as nothing says that they are gone. */
function resumeDns(dns: DnsBackend, network: string, records: ContainerRecord[]): ContainerRecord[] {
  const live = new Set(networkIds(records).live);
  dns.resume(
    records.filter((r) => live.has(r.id)).map((record) => ({
      registration: registrationOf(record, network),
      networks: networksOf(record, network),
    })),
  );
  return records;
}

/** Makes and connects everything; containers of an earlier run are known, but not taken in yet. */
export async function assemble(
  config: DaemonConfig,
  log: Logger,
  workers: Workers,
  workerEvents: WorkerEvents,
): Promise<Parts> {
  const { baseDir } = config;
  const store = new RecordStore(baseDir, log);
  const dns = new DnsBackend({
    mode: config.dns === "cni" ? "off" : config.dns,
    resolvConfPath: config.resolvConf,
    log: log.with({ part: "dns" }),
    probe: (netnsPath, target) => reachesTcp(deps.stages, netnsPath, target),
  });
  const events = new EventBus(`${baseDir}/supervisor/events.ndjson`);
  const files = new FileStore(`${baseDir}/compose`, `${baseDir}/run/compose`, async (target, options) => {
    await deps.stages.rootfs.call("mountVolume", { target, type: "tmpfs", device: "nyx-secrets", options });
  });
  const projects = new ProjectStore(`${baseDir}/compose`, log.with({ part: "compose" }));
  await Promise.all([store.prepare(), projects.prepare()]);
  const [{ stages, host }, records, initPath, name] = await Promise.all([
    startStages(config, workers),
    store.load().then((records) => resumeDns(dns, config.network, records)),
    findInit(config.initPath),
    hostname(),
    events.load(),
  ]);
  const images = imageStore(config, { log, workers, stages, events, supervisor: () => supervisor });
  const volumes = new Volumes({
    baseDir,
    rootfs: stages.rootfs,
    usersOf: (volume) => supervisor.usersOfVolume(volume).map((c) => c.name),
    runningUsersOf: (volume) => supervisor.usersOfVolume(volume).filter((c) => c.live).map((c) => c.name),
  });
  const networks = new Networks({
    baseDir,
    network: stages.network,
    dns,
    events,
    log: log.with({ part: "networks" }),
    driver: config.netDriver,
    users: () => supervisor,
  });
  await checkDriver(config, records).then(() => networks.load(config.network)).catch(async (e) => {
    await undo(baseDir, stages, networkIds(records, store.unreadable).live);
    throw e;
  });
  const deps: SupervisorDeps = {
    baseDir,
    stages,
    images,
    volumes,
    networks,
    dns,
    store,
    events,
    log,
    host,
    defaults: {
      network: config.network,
      // Known once the network is up, before any container is.
      gateway: "",
      log: LOG_DEFAULTS,
      stopTimeoutS: 10,
      ...(initPath === undefined ? {} : { initPath }),
      hostname: name,
      cgroupParent: config.cgroupParent,
      resolvConfPath: config.resolvConf,
      networkDns: config.dns !== "off",
    },
  };
  await files.restore();
  const supervisor = new Supervisor(deps);
  for (const record of records) supervisor.admit(record);
  const engine = supervisedEngine({ supervisor, deps, images, volumes, networks });
  const compose = new Compose({
    engine,
    store: projects,
    files,
    loading: new ProjectLoading({ start: () => workers.compose() }),
    summaries: () => supervisor.list({ all: true, filters: {} }),
    log: log.with({ part: "compose" }),
  });
  const builder = makeBuilder(config, deps, images);
  workerEvents.streams = (event) => supervisor.onStreams(event);
  workerEvents.network = (event) => {
    if (event.kind === "networks") networks.discovered(event.networks);
  };
  const initNetwork = async (subnet: Subnet) => {
    const result = await stages.network.call("init", networkInit(config, subnet, { supervisor, store }, networks));
    networks.initialised(result);
    return result;
  };
  const initStreams = () =>
    stages.streams.call("init", {
      baseDir,
      crunPath: config.crun,
      crunRoot: `${baseDir}/run/crun`,
      cgroup: host.cgroup,
      logDefaults: LOG_DEFAULTS,
    });
  const choice = `${baseDir}/network/default.json`;
  const ready = settleAll([withFreeSubnet(config.addresses, choice, initNetwork), initStreams(), images.open()]);
  const [{ result: network, chosen }, streams] = await ready.catch(async (e) => {
    await undo(baseDir, stages, networkIds(records, store.unreadable).live);
    throw e;
  });
  deps.defaults.gateway = chosen.gateway;
  const dnsWarnings = await networks.open(config.bridge, chosen).catch(async (e) => {
    await undo(baseDir, stages, networkIds(records, store.unreadable).live);
    throw e;
  });
  const initNetworkAgain = async () => {
    await initNetwork(chosen);
    // Beside what waits for the worker: these requests come after it.
    void agreeOnNetworks(supervisor, deps);
  };
  workerEvents.respawned = (worker) => {
    const again = worker === "network"
      ? initNetworkAgain()
      : worker === "streams"
      ? initStreams().then(() => readopt(supervisor, deps))
      : undefined;
    return again?.catch((error) => log.error("A worker could not be set up again", { worker, error }));
  };
  return {
    deps,
    supervisor,
    images,
    volumes,
    networks,
    compose,
    builder,
    engine,
    dns,
    events,
    host,
    addresses: chosen,
    crunVersion: streams.crunVersion,
    warnings: [...crunWarnings(streams.crunVersion), ...hostWarnings(host), ...network.warnings, ...dnsWarnings],
  };
}

function makeBuilder(config: DaemonConfig, deps: SupervisorDeps, images: ImageStore): Builder {
  const { baseDir, stages, networks, dns, log } = deps;
  const { rootfs } = stages;
  const proxies = PROXIES.flatMap((name) => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [[name, value]];
  });
  return new Builder({
    baseDir,
    crun: config.crun,
    cgroupParent: config.cgroupParent,
    platform: config.pullPlatform === undefined ? hostPlatform() : parsePlatform(config.pullPlatform),
    proxies: Object.fromEntries(proxies),
    log: log.with({ part: "build" }),
    images,
    unpack: async ({ dir, port, signal }) => {
      const root = { kind: "dir" as const, path: dir };
      await rootfs.call("unarchive", { root, path: "/", port }, { transfer: [port], signal });
    },
    removeTree: async (path) => void await rootfs.call("removeTree", { path }),
    usage: async (path) => (await rootfs.call("usage", { paths: [path] })).bytes[0] ?? 0,
    network: (name) =>
      makeJobNetwork({
        worker: stages.network,
        networks,
        dns,
        defaultNetwork: config.network,
        gateway: () => deps.defaults.gateway,
      }, name),
  });
}

function networkInit(
  config: DaemonConfig,
  { subnet, gateway }: Subnet,
  { supervisor, store }: { supervisor: Supervisor; store: RecordStore },
  networks: Networks,
) {
  const { network: name, bridge } = config;
  return {
    baseDir: config.baseDir,
    networks: [{ name, driver: "bridge" as const, bridge, subnet, gateway }, ...networks.definitions()],
    ...networkIds(supervisor.all.map((c) => c.record), store.unreadable),
    poolSize: config.netnsPool,
    defaultPublishIp: config.defaultPublishIp,
    ...(config.netDriver === "cni" ? { cni: { confDir: config.cniConfDir, binDir: config.cniBinDir } } : {}),
  };
}
