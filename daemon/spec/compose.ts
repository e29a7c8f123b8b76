/**
 * The normalised compose model: canonical long forms of the Compose Specification, as `nyx compose config` prints them. Keys are
 * the specification's. Sizes are decimal bytes in text, durations Go's notation (`1m30s`), paths absolute, variables resolved.
 *
 * Loading a printed model gives the same model again.
 */

/** Something said about a compose file. */
export interface ComposeDiagnostic {
  /** Errors make the project unusable; infos (such as extension keys) change nothing. */
  severity: "error" | "warning" | "info";
  /** The file can be read, printed and planned, but a plan of it is not applied before this is repaired. */
  blocks?: boolean;
  /** Machine-readable kind, such as `unknown-key`. */
  code: string;
  /** Place in the model, such as `services.web.ports[0]`; empty for the whole file. */
  path: string;
  /** What was found. */
  message: string;
  /** What the specification asks for. */
  rule?: string;
  /** What to write instead. */
  fix?: string;
  /** File as named by the caller. */
  file?: string;
  /** From 1. */
  line?: number;
  /** From 1, in UTF-16 units. */
  column?: number;
  /** The offending line. */
  excerpt?: string;
}

/** KEY → VALUE. */
export type StringMap = { [key: string]: string };
/** KEY → VALUE, where null stands for a value that the environment did not have. */
export type NullableStringMap = { [key: string]: string | null };

/** Dependency of one service on another. */
export interface ComposeDependency {
  /** What it must have come to first. */
  condition: "service_started" | "service_healthy" | "service_completed_successfully";
  /** Restart the dependent when the dependency is restarted or recreated. */
  restart?: boolean;
  /** False: go on when the dependency is missing or fails. */
  required: boolean;
}

/** One published port; `published` may be a range from which one is taken. */
export interface ComposePort {
  name?: string;
  mode: string;
  host_ip?: string;
  target: number;
  published?: string;
  protocol: string;
  app_protocol?: string;
}

/** One mount of a service. */
export interface ComposeMount {
  type: "bind" | "volume" | "tmpfs" | "cluster" | "npipe" | "image";
  source?: string;
  target: string;
  read_only?: boolean;
  consistency?: string;
  bind?: { propagation?: string; create_host_path?: boolean; recursive?: string; selinux?: string };
  volume?: { labels?: StringMap; nocopy?: boolean; subpath?: string };
  tmpfs?: { size?: string; mode?: string };
  image?: { subpath?: string };
}

/** A config or secret made available to a service or a build. */
export interface ComposeFileReference {
  source: string;
  target: string;
  uid?: string;
  gid?: string;
  /** Octal text such as 0440. */
  mode?: string;
}

/** How a service sits in one network. */
export interface ComposeAttachment {
  aliases?: string[];
  interface_name?: string;
  ipv4_address?: string;
  ipv6_address?: string;
  link_local_ips?: string[];
  mac_address?: string;
  driver_opts?: StringMap;
  priority?: number;
  gw_priority?: number;
}

/** Probe of a service. */
export interface ComposeHealthcheck {
  disable?: boolean;
  test?: string[];
  interval?: string;
  timeout?: string;
  retries?: number;
  start_period?: string;
  start_interval?: string;
}

/** Commands run at a point of a container's life. */
export interface ComposeHook {
  command?: string[] | null;
  user?: string;
  privileged?: boolean;
  working_dir?: string;
  environment?: NullableStringMap;
}

/** How an image is built. */
export interface ComposeBuild {
  context?: string;
  dockerfile?: string;
  dockerfile_inline?: string;
  entitlements?: string[];
  args?: NullableStringMap;
  ssh?: NullableStringMap;
  labels?: StringMap;
  cache_from?: string[];
  cache_to?: string[];
  no_cache?: boolean;
  additional_contexts?: StringMap;
  network?: string;
  provenance?: string;
  sbom?: string;
  pull?: boolean;
  target?: string;
  shm_size?: string;
  extra_hosts?: string[];
  isolation?: string;
  privileged?: boolean;
  secrets?: ComposeFileReference[];
  tags?: string[];
  ulimits?: Record<string, ComposeUlimit>;
  platforms?: string[];
}

/** One limit for both, or the two apart. */
export type ComposeUlimit = number | { soft: number; hard: number };

/** How a new version replaces the old one. */
export interface ComposeUpdateConfig {
  parallelism?: number;
  delay?: string;
  failure_action?: string;
  monitor?: string;
  max_failure_ratio?: number;
  order?: "start-first" | "stop-first";
}

/** Devices asked for by capability. */
export interface ComposeDeviceRequest {
  capabilities?: string[];
  count?: number;
  device_ids?: string[];
  driver?: string;
  options?: StringMap;
}

/** The deploy section. */
export interface ComposeDeploy {
  mode?: string;
  endpoint_mode?: string;
  replicas?: number;
  labels?: StringMap;
  update_config?: ComposeUpdateConfig;
  rollback_config?: ComposeUpdateConfig;
  resources?: {
    limits?: { cpus?: number; memory?: string; pids?: number };
    reservations?: {
      cpus?: number;
      memory?: string;
      generic_resources?: { discrete_resource_spec?: { kind?: string; value?: number } }[];
      devices?: ComposeDeviceRequest[];
    };
  };
  restart_policy?: { condition?: string; delay?: string; max_attempts?: number; window?: string };
  placement?: { constraints?: string[]; preferences?: { spread?: string }[]; max_replicas_per_node?: number };
}

/** One rule of `develop.watch`. */
export interface ComposeWatch {
  path: string;
  action: "rebuild" | "sync" | "restart" | "sync+restart" | "sync+exec";
  target?: string;
  ignore?: string[];
  include?: string[];
  exec?: ComposeHook;
  initial_sync?: boolean;
}

/** One service. */
export interface ComposeService {
  annotations?: StringMap;
  attach?: boolean;
  blkio_config?: {
    weight?: number;
    weight_device?: { path?: string; weight?: number }[];
    device_read_bps?: { path?: string; rate?: string }[];
    device_read_iops?: { path?: string; rate?: string }[];
    device_write_bps?: { path?: string; rate?: string }[];
    device_write_iops?: { path?: string; rate?: string }[];
  };
  build?: ComposeBuild;
  cap_add?: string[];
  cap_drop?: string[];
  cgroup?: string;
  cgroup_parent?: string;
  /** null: the image's. */
  command?: string[] | null;
  configs?: ComposeFileReference[];
  container_name?: string;
  cpu_count?: number;
  cpu_percent?: number;
  cpu_period?: number;
  cpu_quota?: number;
  cpu_rt_period?: number;
  cpu_rt_runtime?: number;
  cpu_shares?: number;
  cpus?: number;
  cpuset?: string;
  credential_spec?: { config?: string; file?: string; registry?: string };
  depends_on?: Record<string, ComposeDependency>;
  deploy?: ComposeDeploy;
  develop?: { watch?: ComposeWatch[] };
  device_cgroup_rules?: string[];
  devices?: { source: string; target: string; permissions: string }[];
  dns?: string[];
  dns_opt?: string[];
  dns_search?: string[];
  domainname?: string;
  /** null: the image's. */
  entrypoint?: string[] | null;
  env_file?: { path: string; required: boolean; format?: string }[];
  /** With env files and the caller's environment already taken in; null removes the image's variable. */
  environment?: NullableStringMap;
  expose?: string[];
  external_links?: string[];
  /** `host=ip`. */
  extra_hosts?: string[];
  gpus?: ComposeDeviceRequest[];
  group_add?: string[];
  healthcheck?: ComposeHealthcheck;
  hostname?: string;
  image?: string;
  init?: boolean;
  ipc?: string;
  isolation?: string;
  label_file?: string[];
  labels?: StringMap;
  links?: string[];
  logging?: { driver?: string; options?: NullableStringMap };
  mac_address?: string;
  mem_limit?: string;
  mem_reservation?: string;
  mem_swappiness?: number;
  memswap_limit?: string;
  models?: Record<string, { endpoint_var?: string; model_var?: string } | null>;
  network_mode?: string;
  networks?: Record<string, ComposeAttachment | null>;
  oom_kill_disable?: boolean;
  oom_score_adj?: number;
  pid?: string;
  pids_limit?: number;
  platform?: string;
  ports?: ComposePort[];
  post_start?: ComposeHook[];
  pre_stop?: ComposeHook[];
  privileged?: boolean;
  profiles?: string[];
  provider?: { type: string; options?: Record<string, string | string[]> };
  pull_policy?: string;
  pull_refresh_after?: string;
  read_only?: boolean;
  restart?: string;
  runtime?: string;
  scale?: number;
  secrets?: ComposeFileReference[];
  security_opt?: string[];
  shm_size?: string;
  stdin_open?: boolean;
  stop_grace_period?: string;
  stop_signal?: string;
  storage_opt?: StringMap;
  sysctls?: StringMap;
  tmpfs?: string[];
  tty?: boolean;
  ulimits?: Record<string, ComposeUlimit>;
  use_api_socket?: boolean;
  user?: string;
  userns_mode?: string;
  uts?: string;
  volumes?: ComposeMount[];
  volumes_from?: string[];
  working_dir?: string;
  /** What nyx has and the specification has not. */
  "x-nyx"?: ComposeExtension;
}

/** `x-nyx` of a service. */
export interface ComposeExtension {
  /** What to do when the health probe gives up; default none. */
  "on-unhealthy"?: "none" | "restart" | "stop";
}

/** One network. */
export interface ComposeNetwork {
  name: string;
  driver?: string;
  driver_opts?: StringMap;
  ipam?: {
    driver?: string;
    config?: { subnet?: string; ip_range?: string; gateway?: string; aux_addresses?: StringMap }[];
    options?: StringMap;
  };
  external?: boolean;
  internal?: boolean;
  enable_ipv4?: boolean;
  enable_ipv6?: boolean;
  attachable?: boolean;
  labels?: StringMap;
}

/** One named volume. */
export interface ComposeVolume {
  name: string;
  driver?: string;
  driver_opts?: StringMap;
  external?: boolean;
  labels?: StringMap;
}

/** A config or secret: exactly one of file, environment, content (configs only) and external. */
export interface ComposeFileSource {
  name: string;
  file?: string;
  environment?: string;
  content?: string;
  external?: boolean;
  labels?: StringMap;
  driver?: string;
  driver_opts?: StringMap;
  template_driver?: string;
}

/** A language model. */
export interface ComposeLanguageModel {
  name?: string;
  model: string;
  context_size?: number;
  runtime_flags?: string[];
}

/** A whole application. */
export interface ComposeModel {
  name: string;
  services: Record<string, ComposeService>;
  networks?: Record<string, ComposeNetwork>;
  volumes?: Record<string, ComposeVolume>;
  configs?: Record<string, ComposeFileSource>;
  secrets?: Record<string, ComposeFileSource>;
  models?: Record<string, ComposeLanguageModel>;
}

/** One difference between what is asked for and what runs. Secret values are replaced by a digest. */
export interface FieldChange {
  /** Field of the container's configuration, such as `env.TZ` or `mounts./data.source`. */
  field: string;
  /** Missing: was not set. */
  from?: string;
  /** Missing: is no longer set. */
  to?: string;
}

/** What a step of a plan does. */
export type PlanAction =
  | "pull"
  | "build"
  | "create-network"
  | "recreate-network"
  | "create-volume"
  | "create"
  | "recreate"
  | "update"
  | "restart"
  | "start"
  | "stop"
  | "remove"
  | "remove-network"
  | "remove-volume"
  | "keep";

/** Wait for a dependency before a step. */
export interface PlanWait {
  /** The service that is waited for. */
  service: string;
  /** What each of its containers must have come to. */
  condition: ComposeDependency["condition"];
  /** False: go on when it fails. */
  required: boolean;
}

/** One step. Steps whose `after` are done may run side by side. */
export interface PlanStep {
  /** Unique in the plan: action and target, such as `create:shop-db-1`. */
  id: string;
  /** What is done. */
  action: PlanAction;
  /** Name of the container, network, volume or image. */
  target: string;
  /** Of a container, or the first whose image it is. */
  service?: string;
  /** com.docker.compose.container-number. */
  number?: number;
  /** Id of the existing object, as observed. */
  observedId?: string;
  /** Why, in words. */
  reason: string;
  /** What differs, where that is the reason. */
  changes?: FieldChange[];
  /** Ids of the steps that must be done before. */
  after: string[];
  /** What it waits for before a container starts. */
  waits?: PlanWait[];
  /** Replace by starting the new container before the old one stops (deploy.update_config.order). */
  order?: "start-first" | "stop-first";
}

/** What has to happen so that what runs is what was asked for. */
export interface ComposePlan {
  /** Name of the project. */
  project: string;
  /** In an order in which they could run one after the other. */
  steps: PlanStep[];
  /** What cannot be done, and why; a plan with any is not applied. */
  blocked: { service?: string; message: string }[];
  /** What will not be as the files say, as sentences. */
  warnings: string[];
  /** Digest of the observed world: an apply refuses when it has moved. */
  world: string;
}

/** Names of compose files without their endings, in the order in which they are looked for. */
export const COMPOSE_FILE_STEMS: readonly string[] = ["nyx-compose", "docker-compose", "compose", "podman-compose"];
const ENDINGS = [".yaml", ".yml"];

/**
 * The compose files of a directory: the first one that is there, and its override file.
 *
 * @param exists whether the directory holds a file of that name
 * @returns names in order of precedence; empty when there is none
 */
export function findComposeFiles(exists: (name: string) => boolean): string[] {
  for (const stem of COMPOSE_FILE_STEMS) {
    const found = ENDINGS.map((ending) => stem + ending).find(exists);
    if (found === undefined) continue;
    const override = ENDINGS.map((ending) => `${stem}.override${ending}`).find(exists);
    return override === undefined ? [found] : [found, override];
  }
  return [];
}

/** Files that COMPOSE_FILE names, separated by COMPOSE_PATH_SEPARATOR or a colon. */
export function splitComposeFile(value: string, separator = ":"): string[] {
  return value.split(separator === "" ? ":" : separator).map((part) => part.trim()).filter((part) => part !== "");
}
