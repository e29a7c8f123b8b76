/** The shape of a service. */

import { mapAt, type MapNode, type Node, scalarAt, scalarText } from "../node.ts";
import { buildContext, configReferences, devices, mounts, secretReferences } from "./mounts.ts";
import { expose, ports } from "./ports.ts";
import {
  anything,
  bool,
  duration,
  hostPath,
  int,
  loose,
  microseconds,
  number,
  oneOf,
  scalar,
  size,
  text,
  texts,
  ValueError,
} from "./scalar.ts";
import { byField, dict, list, map, type Shape, type ShapeContext } from "./shape.ts";
import {
  command,
  count,
  deviceRequests,
  driverOptions,
  extraHosts,
  gpus,
  hook,
  labels,
  logOptions,
  ulimits,
  variables,
} from "./values.ts";

/** Names of services, networks and so on. */
export const NAMES = { pattern: /^[a-zA-Z0-9._-]+$/, rule: "names consist of letters, digits, '.', '_' and '-'" };

function completed(defaults: Record<string, string | boolean>): (node: MapNode) => MapNode {
  return (node) => {
    const entries = new Map(node.entries);
    for (const [key, value] of Object.entries(defaults)) {
      if (!entries.has(key)) entries.set(key, { key: node.origin, value: scalarAt(node.origin, value) });
    }
    return { ...node, entries };
  };
}

const build: Shape = map({
  context: buildContext,
  dockerfile: text(),
  dockerfile_inline: text(),
  entitlements: texts(),
  args: variables,
  ssh: dict(loose(), {
    single: true,
    fromItem: (item) => {
      const equals = item.indexOf("=");
      return equals < 0 ? { key: item, value: "" } : { key: item.slice(0, equals), value: item.slice(equals + 1) };
    },
  }),
  labels,
  cache_from: texts(),
  cache_to: texts(),
  no_cache: bool,
  additional_contexts: dict(buildContext, {
    fromItem: (item) => {
      const equals = item.indexOf("=");
      return { key: item.slice(0, Math.max(0, equals)), value: item.slice(equals + 1) };
    },
  }),
  network: text(),
  provenance: loose(),
  sbom: loose(),
  pull: bool,
  target: text(),
  shm_size: size(),
  extra_hosts: extraHosts,
  isolation: text(),
  privileged: bool,
  secrets: secretReferences,
  tags: texts(),
  ulimits,
  platforms: texts(),
}, {
  short: (node, ctx, path) => {
    const context = buildContext.canon(node, ctx, path);
    return context === undefined ? undefined : mapAt(node.origin, { context });
  },
  empty: true,
  rule: "it must be a directory or a mapping",
});

const blkioWeight = int(0, 1000);
const blkioLimits = list(map({ path: text(), rate: size() }));
const blkio: Shape = map({
  weight: blkioWeight,
  weight_device: list(map({ path: text(), weight: blkioWeight })),
  device_read_bps: blkioLimits,
  device_read_iops: blkioLimits,
  device_write_bps: blkioLimits,
  device_write_iops: blkioLimits,
});

const dependency = map({
  condition: oneOf("service_started", "service_healthy", "service_completed_successfully"),
  restart: bool,
  required: bool,
}, { empty: true, finish: completed({ condition: "service_started", required: true }) });

const dependsOn: Shape = dict(dependency, {
  keys: NAMES,
  fromName: (origin) => mapAt(origin, { condition: "service_started", required: true }),
});

const updateConfig: Shape = map({
  parallelism: count,
  delay: duration,
  failure_action: text(),
  monitor: duration,
  max_failure_ratio: number,
  order: oneOf("start-first", "stop-first"),
});

const deploy: Shape = map({
  mode: text(),
  endpoint_mode: text(),
  replicas: count,
  labels,
  update_config: updateConfig,
  rollback_config: updateConfig,
  resources: map({
    limits: map({ cpus: number, memory: size(), pids: int(-1) }),
    reservations: map({
      cpus: number,
      memory: size(),
      generic_resources: list(map({ discrete_resource_spec: map({ kind: text(), value: number }) })),
      devices: deviceRequests,
    }),
  }),
  restart_policy: map({ condition: text(), delay: duration, max_attempts: count, window: duration }),
  placement: map({
    constraints: texts(),
    preferences: list(map({ spread: text() })),
    max_replicas_per_node: count,
  }),
});

const develop: Shape = map({
  watch: list(map({
    path: hostPath,
    action: oneOf("rebuild", "sync", "restart", "sync+restart", "sync+exec"),
    target: text(),
    ignore: texts({ single: true }),
    include: texts({ single: true }),
    exec: hook,
    initial_sync: bool,
  }, { required: ["path", "action"] })),
});

const test: Shape = {
  ...command,
  canon(node, ctx, path) {
    if (node.kind === "scalar" && node.value !== null) {
      const items = [scalarAt(node.origin, "CMD-SHELL"), scalarAt(node.origin, String(node.value))];
      return { kind: "list", items, origin: node.origin };
    }
    const canon = command.canon(node, ctx, path);
    if (canon?.kind !== "list") return undefined;
    const word = scalarText(canon.items[0]);
    if (word === undefined || ["NONE", "CMD", "CMD-SHELL"].includes(word) || word.includes("$") && !ctx.interpolated) {
      return canon;
    }
    ctx.diagnostics.error(node.origin, {
      code: "bad-value",
      path,
      message: `it begins with ${JSON.stringify(word)}`,
      rule: "a list begins with NONE, CMD or CMD-SHELL",
      fix: `put "CMD" before it`,
    });
    return undefined;
  },
};

const healthcheck: Shape = map({
  disable: bool,
  test,
  interval: duration,
  timeout: duration,
  retries: count,
  start_period: duration,
  start_interval: duration,
}, { empty: true });

const logging: Shape = map({ driver: text(), options: logOptions }, {
  // Options of one driver mean nothing to another.
  merge: (base, over, byKey) => {
    const before = scalarText(base.entries.get("driver")?.value);
    const after = scalarText(over.entries.get("driver")?.value);
    return before === undefined || after === undefined || before === after ? byKey(base, over) : over;
  },
});

const attachment: Shape = map({
  aliases: texts(),
  interface_name: text(),
  ipv4_address: text(),
  ipv6_address: text(),
  link_local_ips: texts(),
  mac_address: text(),
  driver_opts: driverOptions,
  priority: number,
  gw_priority: number,
}, { nullable: true });

const networks: Shape = dict(attachment, { keys: NAMES, fromName: (origin) => scalarAt(origin, null) });

const envFile: Shape = list(
  map({ path: hostPath, required: bool, format: text() }, {
    short: shortPath,
    required: ["path"],
    finish: completed({ required: true }),
    rule: "it must be a path or a mapping with path",
  }),
  { single: true, key: byField("path") },
);

function shortPath(node: Node, ctx: ShapeContext, path: string): Node | undefined {
  if (node.kind !== "scalar") return node;
  const file = hostPath.canon(node, ctx, path);
  return file === undefined ? undefined : mapAt(node.origin, { path: file });
}

const pullPolicy = scalar("it must be a pull policy", (value) => {
  if (value === "if_not_present") return "missing";
  if (/^(always|never|build|missing|refresh|daily|weekly|every_([0-9]+[wdhms])+)$/.test(value)) return value;
  throw new ValueError("write always, never, missing, build, daily, weekly or every_<duration>");
});

const restart = scalar("it must be a restart policy", (value) => {
  if (/^(no|always|unless-stopped|on-failure(:\d{1,9})?)$/.test(value) || value === "") {
    return value === "" ? "no" : value;
  }
  // YAML 1.1 readers take a bare no for false, and so do people.
  if (value === "false") return "no";
  throw new ValueError('write "no", always, unless-stopped, on-failure or on-failure:5');
});

const containerName = text((value) => {
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(value)) {
    throw new ValueError("write two or more letters, digits, '_', '.' or '-', beginning with a letter or digit");
  }
});

const model = map({ endpoint_var: text(), model_var: text() }, { nullable: true });

/** A service. */
export const service: Shape = map({
  annotations: labels,
  attach: bool,
  blkio_config: blkio,
  build,
  cap_add: texts(),
  cap_drop: texts(),
  cgroup: oneOf("host", "private"),
  cgroup_parent: text(),
  command,
  configs: configReferences,
  container_name: containerName,
  cpu_count: count,
  cpu_percent: number,
  cpu_period: microseconds,
  cpu_quota: microseconds,
  cpu_rt_period: microseconds,
  cpu_rt_runtime: microseconds,
  cpu_shares: count,
  cpus: number,
  cpuset: loose(),
  credential_spec: map({ config: text(), file: hostPath, registry: text() }),
  depends_on: dependsOn,
  deploy,
  develop,
  device_cgroup_rules: texts(),
  devices,
  dns: texts({ single: true }),
  dns_opt: texts({ single: true }),
  dns_search: texts({ single: true }),
  domainname: text(),
  entrypoint: command,
  env_file: envFile,
  environment: variables,
  expose,
  extends: anything,
  external_links: texts(),
  extra_hosts: extraHosts,
  gpus,
  group_add: texts({}, loose()),
  healthcheck,
  hostname: text(),
  image: text(),
  init: bool,
  ipc: text(),
  isolation: text(),
  label_file: list(hostPath, { single: true, key: (node) => scalarText(node) }),
  labels,
  links: texts(),
  logging,
  mac_address: text(),
  mem_limit: size(),
  mem_reservation: size(),
  mem_swappiness: int(-1, 100),
  memswap_limit: size({ unlimited: true }),
  models: dict(model, { keys: NAMES, fromName: (origin) => scalarAt(origin, null) }),
  network_mode: text(),
  networks,
  oom_kill_disable: bool,
  oom_score_adj: int(-1000, 1000),
  pid: text(),
  pids_limit: int(-1),
  platform: text(),
  ports,
  post_start: list(hook),
  pre_stop: list(hook),
  privileged: bool,
  profiles: texts({ single: true }),
  provider: map({ type: text(), options: dict(anything) }, { required: ["type"] }),
  pull_policy: pullPolicy,
  pull_refresh_after: duration,
  read_only: bool,
  restart,
  runtime: text(),
  scale: count,
  secrets: secretReferences,
  security_opt: texts(),
  shm_size: size(),
  stdin_open: bool,
  stop_grace_period: duration,
  stop_signal: loose(),
  storage_opt: driverOptions,
  sysctls: labels,
  tmpfs: texts({ single: true }),
  tty: bool,
  ulimits,
  use_api_socket: bool,
  user: loose(),
  userns_mode: text(),
  uts: text(),
  volumes: mounts,
  volumes_from: texts(),
  working_dir: text(),
  "x-nyx": map({ "on-unhealthy": oneOf("none", "restart", "stop") }),
}, { empty: true });
