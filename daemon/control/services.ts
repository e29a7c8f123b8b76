/**
 * What the Control API (D01) needs of the rest of the daemon. Routes call these and nothing else, so a route stays a few
 * lines: validate, call, render. Every method throws NyxError.
 */

import type {
  CheckResult,
  CommitRequest,
  ContainerDetails,
  ContainerSummary,
  CreateResult,
  DiskUsage,
  DoctorFinding,
  EventRecord,
  ExecRequest,
  ExplainPath,
  ImageDetails,
  ImageHistoryRow,
  ImagePruneResult,
  ImageRemoveResult,
  ImageSummary,
  LoginRequest,
  NetworkConnectRequest,
  NetworkCreateRequest,
  NetworkInfo,
  PathStat,
  PublishChange,
  PullResult,
  StreamEvent,
  SystemInfo,
  VersionInfo,
  VolumeInfo,
} from "../spec/api.ts";
import type { BuildRequest } from "../spec/build.ts";
import type {
  ComposeAction,
  ComposeActionRequest,
  ComposeActionResult,
  ComposeConfigRequest,
  ComposeConfigResult,
  ComposeDownRequest,
  ComposeDownResult,
  ComposeEvent,
  ComposePlanRequest,
  ComposePlanResult,
  ComposeProjectInfo,
  ComposePsResult,
  ComposePullRequest,
  ComposeRunRequest,
  ComposeRunResult,
  ComposeSource,
  ComposeUpRequest,
  ComposeUpResult,
} from "../spec/compose_api.ts";
import type { ContainerConfig, Resources } from "../spec/container.ts";
import type { PullEvent, RegistryCredentials } from "../spec/image.ts";
import type { ExitStatus } from "../../workers/protocol.ts";

/** Options of a pull; progress as interface events. */
export interface PullOptions {
  platform?: string;
  credentials?: RegistryCredentials;
  signal?: AbortSignal;
  onEvent?: (event: PullEvent) => void;
}

/** Image Store and Puller (D04). */
export interface ImageService {
  pull(ref: string, options: PullOptions): Promise<PullResult>;
  list(): Promise<ImageSummary[]>;
  /** By reference, id, short id or unique prefix. */
  inspect(ref: string): Promise<ImageDetails>;
  history(ref: string): Promise<ImageHistoryRow[]>;
  remove(ref: string, force: boolean): Promise<ImageRemoveResult>;
  /** `all`: also tagged images that no container uses; else only untagged ones. */
  prune(options: { dryRun: boolean; all: boolean }): Promise<ImagePruneResult>;
  tag(source: string, target: string): Promise<void>;
  /** docker-archive, OCI archive (plain, gzip or zstd tar). */
  load(body: ReadableStream<Uint8Array>, signal: AbortSignal): Promise<{ refs: string[]; ids: string[] }>;
  save(refs: string[], format: "docker-archive" | "oci-archive"): Promise<ReadableStream<Uint8Array>>;
  login(request: LoginRequest): Promise<{ identityToken?: string }>;
}

/** Input of an attached stream, as the API decodes it from the request body. */
export type StreamInput =
  | { kind: "stdin"; bytes: Uint8Array }
  | { kind: "stdinEnd" }
  | { kind: "resize"; rows: number; cols: number }
  | { kind: "signal"; signal: string }
  /** Bytes of a channel; none is its end. Builds alone have channels. */
  | { kind: "channel"; channel: number; bytes: Uint8Array };

/** A running attachment. Output is already encoded frames (spec/frames.ts), or raw bytes for a log read as text. */
export interface Attachment {
  output: AsyncIterable<Uint8Array>;
  /**
   * Feeds input; resolves when it was taken (back-pressure). Attachments without stdin have it too where they take signals and
   * resizes; without it the API sends a container's by kill and resize, and drops those of an exec. After the process ended it may
   * reject or do nothing.
   */
  input?: (input: StreamInput) => Promise<void>;
  /** Settles after the output ended. */
  exit: Promise<ExitStatus | undefined>;
  /** Detaches: ends the output soon, leaves the process alone. Harmless when repeated, or after the exit. */
  detach(): void;
}

/** What to attach. */
export interface AttachOptions {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  /** Lines of log to show first. */
  replay?: number;
  rows?: number;
  cols?: number;
}

/** What to read of a log. */
export interface LogQuery {
  follow: boolean;
  tail?: number;
  since?: string;
  until?: string;
  stdout: boolean;
  stderr: boolean;
  timestamps: boolean;
  format: "text" | "frames" | "jsonl";
  grep?: string;
}

/** Supervisor (D02). `ref` is an id, name, short id or unique prefix. */
export interface ContainerService {
  list(options: { all: boolean; filters: Record<string, string[]>; size?: boolean }): Promise<ContainerSummary[]>;
  inspect(ref: string): Promise<ContainerDetails>;
  /**
   * Makes a container; the image must be present. `durable` false answers before the record is on disk, for a caller that
   * starts it at once; `start` without attachment answers when it is.
   */
  create(config: ContainerConfig, options?: { durable?: boolean }): Promise<CreateResult>;
  /** Starts; with `attach`, the attachment is in place before the first byte of output. */
  start(ref: string, attach?: AttachOptions): Promise<{ id: string; pid: number; attachment?: Attachment }>;
  stop(ref: string, options: { timeoutS?: number; signal?: string }): Promise<{ id: string }>;
  restart(ref: string, options: { timeoutS?: number }): Promise<{ id: string }>;
  kill(ref: string, signal: string): Promise<{ id: string; signal: string }>;
  pause(ref: string): Promise<{ id: string }>;
  unpause(ref: string): Promise<{ id: string }>;
  remove(ref: string, options: { force: boolean; volumes: boolean }): Promise<{ id: string }>;
  prune(options: { filters: Record<string, string[]> }): Promise<{ removed: string[]; reclaimed: number }>;
  rename(ref: string, name: string): Promise<{ id: string; name: string }>;
  update(
    ref: string,
    resources: Resources,
    restart?: string,
    ports?: PublishChange,
  ): Promise<{ id: string; warnings: string[] }>;
  wait(
    ref: string,
    condition: "not-running" | "next-exit" | "removed" | "healthy",
    signal: AbortSignal,
  ): Promise<{ exitCode: number; error?: string }>;
  attach(ref: string, options: AttachOptions): Promise<Attachment>;
  exec(ref: string, request: ExecRequest): Promise<{ execId: string; pid?: number; attachment?: Attachment }>;
  resize(ref: string, rows: number, cols: number): Promise<void>;
  logs(ref: string, query: LogQuery): Promise<AsyncIterable<Uint8Array>>;
  top(ref: string): Promise<{ titles: string[]; processes: string[][] }>;
  stats(ref: string): Promise<Record<string, number | string>>;
  changes(ref: string): Promise<{ kind: "A" | "C" | "D"; path: string }[]>;
  /** What an absolute path inside is. */
  statPath(ref: string, path: string): Promise<PathStat>;
  /** A path as tar; `name` stands in place of its last name. Rejects before the first byte when there is no such path. */
  readArchive(
    ref: string,
    options: { path: string; contents: boolean; follow: boolean; name?: string },
  ): Promise<AsyncIterable<Uint8Array>>;
  /** Unpacks a tar into a directory; `name` stands in place of the first name of each member. */
  writeArchive(
    ref: string,
    target: { path: string; name?: string },
    body: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<{ entries: number }>;
  /** The whole root as tar, without volumes. */
  exportRoot(ref: string): Promise<AsyncIterable<Uint8Array>>;
  /** Makes an image of it. */
  commit(ref: string, request: CommitRequest, signal: AbortSignal): Promise<{ id: string; ref?: string }>;
}

/** Named and anonymous volumes. */
export interface VolumeService {
  list(): Promise<VolumeInfo[]>;
  create(
    options: { name?: string; driver?: string; options?: Record<string, string>; labels?: Record<string, string> },
  ): Promise<VolumeInfo>;
  inspect(name: string): Promise<VolumeInfo>;
  remove(name: string, force: boolean): Promise<void>;
  prune(options: { all: boolean }): Promise<{ removed: string[]; reclaimed: number }>;
  /** Its contents as tar. Rejects before the first byte when there is no such volume. */
  exportTar(name: string): Promise<AsyncIterable<Uint8Array>>;
  /** Unpacks a tar into it; makes it where there is none. */
  importTar(name: string, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<{ entries: number }>;
}

/** Networks. `ref` is a name, id or unique prefix of an id. */
export interface NetworkService {
  list(): Promise<NetworkInfo[]>;
  create(request: NetworkCreateRequest): Promise<NetworkInfo>;
  inspect(ref: string): Promise<NetworkInfo>;
  remove(ref: string): Promise<{ id: string; name: string }>;
  /** Removes those that no container uses and that have all the labels (`key` or `key=value`), and that are older than `until`. */
  prune(options: { labels: string[]; until?: string }): Promise<{ removed: string[] }>;
  connect(ref: string, request: NetworkConnectRequest): Promise<void>;
  disconnect(ref: string, container: string): Promise<void>;
  /** What lets packets to `target`, a published port or a container, through or stops them. */
  explain(target: string): Promise<ExplainPath[]>;
}

/** How a long request is followed, and given up. */
export interface ProgressOptions {
  signal: AbortSignal;
  onEvent: (event: ComposeEvent) => void;
}

/** Compose Builder (D03). Requests about one project wait for each other; projects do not. */
export interface ComposeService {
  /** Makes what runs what was asked for. After a failure what ran before runs on. */
  up(request: ComposeUpRequest, progress: ProgressOptions): Promise<ComposeUpResult>;
  down(request: ComposeDownRequest, progress: ProgressOptions): Promise<ComposeDownResult>;
  /** Does something to containers that exist, in the order of their dependencies. */
  act(action: ComposeAction, request: ComposeActionRequest, progress: ProgressOptions): Promise<ComposeActionResult>;
  config(request: ComposeConfigRequest): Promise<ComposeConfigResult>;
  /** What `up` would do; changes nothing. */
  plan(request: ComposePlanRequest): Promise<ComposePlanResult>;
  ps(request: ComposeSource): Promise<ComposePsResult>;
  list(): Promise<ComposeProjectInfo[]>;
  pull(request: ComposePullRequest, progress: ProgressOptions): Promise<ComposeUpResult>;
  /** Makes a one-off container, which the caller starts. */
  run(request: ComposeRunRequest, progress: ProgressOptions): Promise<ComposeRunResult>;
}

/** Builds of images. */
export interface BuildService {
  /**
   * Builds an image. The context is the attachment's standard input; its output is what the build says; `built` is emitted before it
   * ends. Detaching gives the build up.
   */
  build(request: BuildRequest, emit: (event: StreamEvent) => void): Attachment;
  /** Forgets the steps of earlier builds. */
  prune(): Promise<{ reclaimed: number }>;
}

/** The daemon itself. */
export interface SystemService {
  version(): VersionInfo;
  info(): Promise<SystemInfo>;
  df(): Promise<DiskUsage>;
  /** Compares records with what is there; with `repair` removes what belongs to nobody. */
  check(options: { repair: boolean }): Promise<CheckResult>;
  /** What of the host helps or hinders. */
  doctor(): Promise<DoctorFinding[]>;
  /** Metrics in Prometheus's text format. */
  metrics(): string;
  /** Events from `since` on; follows until aborted unless `until` lies in the past. */
  events(
    options: { since?: string; until?: string; filters: Record<string, string[]>; signal: AbortSignal },
  ): AsyncIterable<EventRecord>;
  /** Stops all containers, resolves, and then ends the daemon: the API's close waits for this very request to be answered. */
  shutdown(options: { timeoutS?: number }): Promise<void>;
}

/** All of it. */
export interface Services {
  images: ImageService;
  containers: ContainerService;
  volumes: VolumeService;
  networks: NetworkService;
  compose: ComposeService;
  build: BuildService;
  system: SystemService;
}
