/**
 * Bodies of the compose routes. A project comes with the contents of its files: the daemon reads no path that a caller names.
 * What a file asks for beyond them is asked back with `ask` (see {@linkcode ComposeSource}).
 */

import type { ContainerSummary } from "./api.ts";
import type { ComposeDiagnostic, ComposePlan, PlanAction } from "./compose.ts";
import type { MountSpec, PortMapping } from "./container.ts";
import type { ErrorData } from "./errors.ts";
import type { PullEvent, RegistryCredentials } from "./image.ts";

/** A file's content: `content` for text, `base64` for bytes, `missing` when the caller found no such file. */
export interface ComposeContent {
  /** Absolute path on the caller's side. */
  path: string;
  /** UTF-8 text. */
  content?: string;
  /** Bytes. */
  base64?: string;
  /** There is no such file. */
  missing?: boolean;
}

/** Which project: its files with their contents, or its name alone where it runs already. */
export interface ComposeSource {
  /** `-p`: overrides the name that files and directory give. Alone, it names a project that runs. */
  project?: string;
  /** Compose files in their order of precedence. */
  files?: ComposeContent[];
  /** One compose file's text, instead of `files`. */
  yaml?: string;
  /** Directory against which `yaml` is resolved; default `/`. */
  context_dir?: string;
  /** Other files that the compose files name: env files, includes, configs, secrets. */
  contents?: ComposeContent[];
  /**
   * True: when the files name others that were not sent, nothing is done, and the answer is an error `failed_precondition` whose
   * context has `wanted`, a JSON list of paths; or `builds`, a JSON list of {@linkcode ComposeBuildSpec}, when images are to be built
   * first. Default false: what was not sent does not exist.
   */
  ask?: boolean;
  /** Variables for interpolation: the caller's environment. Not kept. */
  env?: Record<string, string>;
  /** `--env-file`: absolute paths whose contents are sent; default `.env` of the project directory. */
  env_files?: string[];
  /** `--project-directory`, absolute; default the first file's directory. */
  project_directory?: string;
  /** `--profile`. */
  profiles?: string[];
}

/** A secret of a build: a file of the caller's, or its content. */
export interface ComposeBuildSecret {
  /** As the Dockerfile names it. */
  id: string;
  /** Absolute path on the caller's side. */
  file?: string;
  /** Text. */
  content?: string;
}

/** What is to be built for a service. The caller has the files, so he sends them: see `POST /v1/build`. */
export interface ComposeBuildSpec {
  /** Service that it is for. */
  service: string;
  /** Name of its image. */
  image: string;
  /** Services whose images it uses. */
  after: string[];
  /** Directory on the caller's side, or a repository. */
  context: string;
  /** Path of the Dockerfile, relative to the context; default Dockerfile. */
  dockerfile?: string;
  /** Text in place of a Dockerfile. */
  inline?: string;
  /** Build arguments. */
  args: Record<string, string>;
  /** Labels of the image. */
  labels: Record<string, string>;
  /** Last stage wanted. */
  target?: string;
  /** Network of RUN. */
  network?: string;
  /** Platform of the image, where it is not the host's. */
  platform?: string;
  /** Use no step of an earlier build. */
  no_cache?: boolean;
  /** Look for newer base images. */
  pull?: boolean;
  /** All capabilities in RUN. */
  privileged?: boolean;
  /** Bytes of /dev/shm in RUN. */
  shm_size_bytes?: number;
  /** Lines of /etc/hosts in RUN. */
  extra_hosts: string[];
  /** Limits in RUN. */
  ulimits: string[];
  /** Secrets. */
  secrets: ComposeBuildSecret[];
  /** Agents and keys: id to path, or to nothing for the caller's agent. */
  ssh: Record<string, string | null>;
  /** Images whose steps may be used again. */
  cache_from: string[];
  /** Further contexts by name. */
  contexts: Record<string, string>;
  /** Further names of the image. */
  tags: string[];
}

/** POST /v1/compose/plan, and what `up` plans by. */
export interface ComposePlanRequest extends ComposeSource {
  /** Only these and what they depend on; default all. */
  services?: string[];
  /** Without what they depend on. */
  no_deps?: boolean;
  /** Replace containers that are as asked for, too. */
  force_recreate?: boolean;
  /** Keep containers that exist, whatever they look like. */
  no_recreate?: boolean;
  /** Replace also what depends on a replaced service. */
  always_recreate_deps?: boolean;
  /** Remove containers of services that are no longer defined. */
  remove_orphans?: boolean;
  /** Make containers and start none. */
  no_start?: boolean;
  /** Build images anew. */
  build?: boolean;
  /** Services whose images the caller has just built. */
  built?: string[];
  /** Overrides the services' own pull policies. */
  pull?: "always" | "missing" | "never";
  /** Containers by service. */
  scale?: Record<string, number>;
}

/** POST /v1/compose/up. */
export interface ComposeUpRequest extends ComposePlanRequest {
  /** Seconds from a stop signal to KILL; default each service's own. */
  timeout_s?: number;
  /** New anonymous volumes instead of those of the replaced containers. */
  renew_anon_volumes?: boolean;
  /** Answer when all services run, and are healthy where they have a check. */
  wait?: boolean;
  /** Longest wait for that, seconds; default none. */
  wait_timeout_s?: number;
  /** Credentials by image reference, as the plan names it. */
  credentials?: Record<string, RegistryCredentials>;
  /** A plan that was printed before: refused when another one is due now. */
  expect?: ComposePlan;
  /** Progress as JSON lines. */
  stream?: boolean;
}

/** One container of a project. */
export interface ComposeContainer extends ContainerSummary {
  /** Service it belongs to. */
  service: string;
  /** com.docker.compose.container-number; 0 for one-off containers. */
  number: number;
  /** Made by `run`. */
  oneoff: boolean;
}

/** Result of POST /v1/compose/up. */
export interface ComposeUpResult {
  /** It went well. */
  ok: true;
  /** Name of the project. */
  project: string;
  /** Containers of the services that were asked for, by name. */
  ids: string[];
  /** Steps that were done; none when all was as asked for. */
  done: string[];
  /** What an operator should know, as sentences. */
  warnings: string[];
}

/** State of one step. */
export type ComposeStepState = "waiting" | "working" | "done" | "failed" | "skipped";

/** One line of a streamed compose request; `done` or `error` is the last. */
export type ComposeEvent =
  | { event: "warning"; message: string }
  | {
    event: "step";
    /** Such as `create:shop-db-1`. */
    id: string;
    action: PlanAction;
    target: string;
    service?: string;
    state: ComposeStepState;
    /** Why it waits, failed or was skipped. */
    message?: string;
  }
  | { event: "pull"; ref: string; progress: PullEvent }
  | { event: "done"; result: ComposeUpResult }
  | { event: "error"; error: ErrorData };

/** POST /v1/compose/start, stop, restart, pause, unpause, kill and rm. */
export interface ComposeActionRequest extends ComposeSource {
  /** Only these; default all. */
  services?: string[];
  /** stop, restart: seconds from the stop signal to KILL; default each service's own. */
  timeout_s?: number;
  /** kill: default SIGKILL. */
  signal?: string;
  /** rm: stop what runs first. */
  stop?: boolean;
  /** rm: anonymous volumes go too. */
  volumes?: boolean;
  /** restart: not what depends on them with `restart: true`. */
  no_deps?: boolean;
}

/** What can be done to a project's containers. */
export type ComposeAction = "start" | "stop" | "restart" | "pause" | "unpause" | "kill" | "rm";

/** Result of such an action. */
export interface ComposeActionResult {
  /** It went well. */
  ok: true;
  /** Name of the project. */
  project: string;
  /** Containers that it was done to. */
  ids: string[];
  /** For stop: the same list, under its older name. */
  stopped?: string[];
}

/** POST /v1/compose/down. */
export interface ComposeDownRequest extends ComposeSource {
  /** Only these services; networks and volumes then stay. */
  services?: string[];
  /** The project's volumes go too. */
  remove_volumes?: boolean;
  /** Containers of services that the files no longer define go too. */
  remove_orphans?: boolean;
  /** Images go too: those without a name of their own, or all. */
  rmi?: "local" | "all";
  /** Seconds from a stop signal to KILL; default each service's own. */
  timeout_s?: number;
}

/** Result of POST /v1/compose/down. */
export interface ComposeDownResult {
  /** It went well. */
  ok: true;
  /** Name of the project. */
  project: string;
  /** Ids of containers. */
  removed: string[];
  /** Names of networks. */
  removed_networks: string[];
  /** Names of volumes. */
  removed_volumes: string[];
  /** Where those volumes were. */
  removed_volume_paths: string[];
  /** References of images. */
  removed_images: string[];
  /** What stays, and why. */
  warnings: string[];
}

/** POST /v1/compose/config. */
export interface ComposeConfigRequest extends ComposeSource {
  /** What to print; default the model. */
  show?:
    | "model"
    | "services"
    | "images"
    | "volumes"
    | "networks"
    | "profiles"
    | "hash"
    | "variables"
    | "environment"
    | "models"
    | "builds";
  /** Of the model; default yaml. */
  format?: "yaml" | "json";
  /** Services for `hash` and `builds`, and whose profiles count as enabled. */
  services?: string[];
  /** Of `builds`: also what the services depend on. */
  with_dependencies?: boolean;
  /** Keep variables as written. */
  no_interpolate?: boolean;
  /** Leave out what is implied: the default network, names, dependencies. */
  no_normalize?: boolean;
  /** Digests that take the place of tags: by image reference, canonical. */
  image_digests?: Record<string, string>;
  /** Print the images with their digests alone, as a compose file to put over the others. */
  lock_image_digests?: boolean;
  /** Keep relative paths as written. */
  no_path_resolution?: boolean;
  /** Keep env files and valueless variables as written. */
  no_env_resolution?: boolean;
  /** Accept references to what is not defined. */
  no_consistency?: boolean;
}

/** Result of POST /v1/compose/config. */
export interface ComposeConfigResult {
  /** It went well: there are no errors among the diagnostics. */
  ok: true;
  /** Name of the project. */
  project: string;
  /** What was asked for. */
  text: string;
  /** Warnings and infos. */
  diagnostics: ComposeDiagnostic[];
}

/** Result of POST /v1/compose/plan. */
export interface ComposePlanResult {
  /** The plan; nothing was changed. */
  plan: ComposePlan;
  /** It, as people read it. */
  text: string;
  /** Warnings and infos about the files. */
  diagnostics: ComposeDiagnostic[];
}

/** Result of POST /v1/compose/ps. */
export interface ComposePsResult {
  /** Name of the project. */
  project: string;
  /** Its services, where files were sent or the daemon knows the project. */
  services: string[];
  /** By service and number. */
  containers: ComposeContainer[];
}

/** One row of GET /v1/compose. */
export interface ComposeProjectInfo {
  /** Name. */
  name: string;
  /** Such as `running(3)` or `exited(1), running(2)`. */
  status: string;
  /** Compose files, on the side of whoever brought it up. */
  config_files: string[];
  /** Containers. */
  containers: number;
}

/** POST /v1/compose/pull. */
export interface ComposePullRequest extends ComposeSource {
  /** Only these; default all. */
  services?: string[];
  /** Also what they depend on. */
  include_deps?: boolean;
  /** Default always. */
  policy?: "always" | "missing";
  /** Credentials by image reference. */
  credentials?: Record<string, RegistryCredentials>;
  /** Images that cannot be pulled are warnings. */
  ignore_pull_failures?: boolean;
  /** Progress as JSON lines. */
  stream?: boolean;
}

/** POST /v1/compose/run: a one-off container of a service, made and not started. */
export interface ComposeRunRequest extends ComposeSource {
  /** The service. */
  service: string;
  /** Build its image anew. */
  build?: boolean;
  /** Services whose images the caller has just built. */
  built?: string[];
  /** Instead of the service's command. */
  command?: string[];
  /** Instead of the service's entrypoint. */
  entrypoint?: string[];
  /** Beside the service's variables, KEY=VALUE. */
  environment?: string[];
  /** Instead of the service's user. */
  user?: string;
  /** Instead of the service's directory. */
  workdir?: string;
  /** Unique; default project-service-run-digits. */
  name?: string;
  /** Beside the service's labels. */
  labels?: Record<string, string>;
  /** Publish the service's ports. */
  service_ports?: boolean;
  /** Publish these ports. */
  publish?: PortMapping[];
  /** Beside the service's mounts; one of the same target replaces it. */
  mounts?: MountSpec[];
  /** Beside the service's capabilities. */
  cap_add?: string[];
  /** Beside those that the service drops. */
  cap_drop?: string[];
  /** Names of the service count for the container too. */
  use_aliases?: boolean;
  /** Give it a terminal. */
  tty?: boolean;
  /** Keep standard input open. */
  interactive?: boolean;
  /** Remove it when it has exited. */
  rm?: boolean;
  /** Do not start what the service depends on. */
  no_deps?: boolean;
  /** Credentials by image reference. */
  credentials?: Record<string, RegistryCredentials>;
}

/** Result of POST /v1/compose/run. */
export interface ComposeRunResult {
  /** It went well. */
  ok: true;
  /** Name of the project. */
  project: string;
  /** The container, to be started by the caller. */
  id: string;
  /** Its name. */
  name: string;
  /** What an operator should know. */
  warnings: string[];
}
