/** Bodies of answers. They describe the API in its OpenAPI document, and tests hold real answers against them. */

import { z } from "zod";
import type * as api from "../../spec/api.ts";
import { CONTAINER_ID, type ContainerStatus } from "../../spec/container.ts";
import { ERROR_CODES, type ErrorData } from "../../spec/errors.ts";
import type { HistoryEntry, ImageConfig, PullEvent } from "../../spec/image.ts";

const text = z.string();
const texts = z.array(text);
const textMap = z.record(text, text);
const whole = z.number().int();
const bytes = whole.min(0);
const ok = z.literal(true);
/** Whole id of a container. */
export const fullId = text.regex(CONTAINER_ID);

const scalar = z.union([text, z.number(), z.boolean()]);

/** An error as data. */
export const errorData: z.ZodType<ErrorData> = z.strictObject({
  code: z.enum(ERROR_CODES),
  message: text,
  op: text.exactOptional(),
  context: z.record(text, scalar).exactOptional(),
  syscall: text.exactOptional(),
  errno: text.exactOptional(),
  retryable: z.boolean().exactOptional(),
  get cause(): z.ZodExactOptional<z.ZodType<ErrorData>> {
    return errorData.exactOptional() as z.ZodExactOptional<z.ZodType<ErrorData>>;
  },
}).meta({ id: "Error" });

/** Body of every answer of 400 and above. */
export const errorBody = z.strictObject({ error: errorData }).meta({ id: "ErrorBody" }) satisfies z.ZodType<
  api.ErrorBody
>;

/** `{ok, id}`. */
export const idResult = z.strictObject({ ok, id: fullId }) satisfies z.ZodType<api.IdResult>;

/** State of a container. */
export const status = z.enum([
  "created",
  "starting",
  "running",
  "paused",
  "stopping",
  "restarting",
  "exited",
  "removing",
  "dead",
]) satisfies z.ZodType<ContainerStatus>;

const health = z.enum(["starting", "healthy", "unhealthy", "none"]) satisfies z.ZodType<api.HealthStatus>;

const port = z.strictObject({
  hostIp: text,
  hostPort: whole,
  containerPort: whole,
  count: whole,
  protocol: z.enum(["tcp", "udp", "sctp"]),
});

/** Row of the list of containers. */
export const containerSummary = z.strictObject({
  id: fullId,
  short_id: text,
  name: text,
  image: text,
  image_id: text,
  command: text,
  created: text,
  status,
  status_text: text,
  exit_code: whole.exactOptional(),
  health: health.exactOptional(),
  ip: text.exactOptional(),
  ports: z.array(port),
  labels: textMap,
  networks: texts,
  mounts: texts,
  restart_count: whole,
}).meta({ id: "ContainerSummary" }) satisfies z.ZodType<api.ContainerSummary>;

const probe = z.strictObject({ start: text, end: text, exitCode: whole, output: text });

/** All about one container. `config` is as in the request, in its present form. */
export const containerDetails = z.strictObject({
  id: fullId,
  short_id: text,
  name: text,
  created: text,
  image: text,
  image_id: text,
  argv: texts,
  config: z.looseObject({ image: text }),
  image_config: z.looseObject({}).exactOptional(),
  state: z.strictObject({
    status,
    running: z.boolean(),
    pid: whole,
    exit_code: whole.exactOptional(),
    oom_killed: z.boolean(),
    error: text.exactOptional(),
    started_at: text.exactOptional(),
    finished_at: text.exactOptional(),
    restart_count: whole,
    log_dropped: whole.exactOptional(),
    health: z.strictObject({ status: health, failing_streak: whole, log: z.array(probe) }).exactOptional(),
  }),
  network: z.strictObject({
    mode: text,
    netns: text.exactOptional(),
    endpoints: z.array(z.strictObject({
      network: text,
      interface: text,
      ip: text.exactOptional(),
      prefix: whole.exactOptional(),
      gateway: text.exactOptional(),
      ip6: text.exactOptional(),
      prefix6: whole.exactOptional(),
      gateway6: text.exactOptional(),
      mac: text,
      aliases: texts,
    })),
    ports: z.array(port),
  }),
  mounts: z.array(z.strictObject({
    type: text,
    name: text.exactOptional(),
    source: text,
    target: text,
    rw: z.boolean(),
    propagation: text,
  })),
  healthcheck: z.looseObject({ type: z.enum(["exec", "http", "tcp", "grpc", "none"]) }).exactOptional(),
  paths: z.strictObject({ bundle: text, rootfs: text, log: text, resolv_conf: text, hosts: text, hostname: text }),
  stop_signal: text,
  warnings: texts,
}).meta({ id: "ContainerDetails" }) satisfies z.ZodType<api.ContainerDetails>;

/** POST /v1/containers. */
export const createResult = z.strictObject({ ok, id: fullId, name: text, image: text, warnings: texts })
  .meta({ id: "CreateResult" }) satisfies z.ZodType<api.CreateResult>;

/** POST /v1/containers/run. */
export const runResult = z.strictObject({ ok, id: fullId, name: text, image: text, warnings: texts, pid: whole })
  .meta({ id: "RunResult" }) satisfies z.ZodType<api.RunResult>;

/** POST /v1/containers/{id}/start. */
export const startResult = z.strictObject({ ok, id: fullId, pid: whole }) satisfies z.ZodType<api.StartResult>;

/** POST /v1/containers/{id}/wait. */
export const waitResult = z.strictObject({ exitCode: whole, error: text.exactOptional() }) satisfies z.ZodType<
  api.WaitResult
>;

/** POST /v1/containers/{id}/exec with `detach`. */
export const execDetached = z.strictObject({
  ok,
  id: text,
  exec_id: text,
  pid: whole.exactOptional(),
}) satisfies z.ZodType<
  api.ExecDetached
>;

/** GET /v1/containers/{id}/exec/{execId}. */
export const execState = z.strictObject({
  exec_id: text,
  running: z.boolean(),
  exit_code: whole.exactOptional(),
}) satisfies z.ZodType<api.ExecState>;

/** GET /v1/containers/{id}/top. */
export const topResult = z.strictObject({ titles: texts, processes: z.array(texts) }) satisfies z.ZodType<
  api.TopResult
>;

/** One sample of resource usage. */
export const statsResult = z.record(text, z.union([z.number(), text]));

/** GET /v1/containers/{id}/changes. */
export const changesResult = z.strictObject({
  changes: z.array(
    z.strictObject({ kind: z.enum(["A", "C", "D"]), path: text }) satisfies z.ZodType<api.FilesystemChange>,
  ),
});

const checkFinding = z.strictObject({ kind: z.enum(["orphan", "missing"]), id: text, message: text });

/** POST /v1/system/check. */
export const checkResult = z.strictObject({
  findings: z.array(checkFinding),
  repaired: z.array(checkFinding),
}) satisfies z.ZodType<api.CheckResult>;

/** GET /v1/system/doctor. */
export const doctorResult = z.strictObject({
  findings: z.array(
    z.strictObject({ name: text, state: z.enum(["ok", "warn", "fail"]), found: text, fix: text.exactOptional() }),
  ) satisfies z.ZodType<api.DoctorFinding[]>,
});

/** Prune routes of containers and volumes. */
export const pruneResult = z.strictObject({ ok, removed: texts, reclaimed: bytes }) satisfies z.ZodType<
  api.PruneResult
>;

/** One line of a pull. */
export const pullEvent = z.looseObject({
  phase: z.enum(["begin", "auth", "manifest", "config", "progress", "layer_done", "layer", "meta", "done", "error"]),
  ref: text.exactOptional(),
  digest: text.exactOptional(),
  size: bytes.exactOptional(),
  current: bytes.exactOptional(),
  index: whole.exactOptional(),
  count: whole.exactOptional(),
  cached: z.boolean().exactOptional(),
  message: text.exactOptional(),
}).meta({ id: "PullEvent" }) satisfies z.ZodType<PullEvent>;

/** Last line of a streamed run. */
export const runLine = z.strictObject({
  phase: z.literal("run"),
  ok,
  container_id: fullId,
  ref: text,
  id: fullId,
  name: text,
  image: text,
  warnings: texts,
  pid: whole,
});

/** JSON frames of an attached stream. */
export const streamEvent = z.discriminatedUnion("event", [
  z.strictObject({ event: z.literal("pull"), pull: pullEvent }),
  z.strictObject({ event: z.literal("created"), id: text, warnings: texts }),
  z.strictObject({ event: z.literal("started"), id: text, pid: whole }),
  z.strictObject({ event: z.literal("built"), id: text, refs: texts }),
  z.strictObject({ event: z.literal("channel"), channel: whole, ssh: text }),
  z.strictObject({ event: z.literal("exit"), exitCode: whole, oomKilled: z.boolean(), error: text.exactOptional() }),
  z.strictObject({ event: z.literal("error"), error: errorData }),
]).meta({ id: "StreamEvent" }) satisfies z.ZodType<api.StreamEvent>;

const imageSummaryShape = {
  id: text,
  refs: texts,
  digests: texts,
  created: text.exactOptional(),
  size: bytes,
  containers: whole,
  platform: text,
  labels: textMap,
};

/** Row of the list of images. */
export const imageSummary = z.strictObject(imageSummaryShape).meta({ id: "ImageSummary" }) satisfies z.ZodType<
  api.ImageSummary
>;

const historyShape = {
  created: text.exactOptional(),
  created_by: text.exactOptional(),
  author: text.exactOptional(),
  comment: text.exactOptional(),
  empty_layer: z.boolean().exactOptional(),
};
const historyEntry = z.looseObject(historyShape) satisfies z.ZodType<HistoryEntry>;

const imageConfig = z.looseObject({
  created: text.exactOptional(),
  author: text.exactOptional(),
  architecture: text,
  os: text,
  variant: text.exactOptional(),
  "os.version": text.exactOptional(),
  config: z.looseObject({}).exactOptional(),
  rootfs: z.looseObject({ type: z.literal("layers"), diff_ids: texts }),
  history: z.array(historyEntry).exactOptional(),
}) satisfies z.ZodType<ImageConfig>;

/** All about one image. */
export const imageDetails = z.strictObject({
  ...imageSummaryShape,
  config: imageConfig,
  manifestDigest: text,
  layers: z.array(z.strictObject({ diffId: text, digest: text, compressedSize: bytes, diskBytes: bytes })),
}).meta({ id: "ImageDetails" }) satisfies z.ZodType<api.ImageDetails>;

/** GET /v1/images/history. */
export const historyResult = z.strictObject({
  history: z.array(z.strictObject({ ...historyShape, size: bytes }) satisfies z.ZodType<api.ImageHistoryRow>),
});

/** POST /v1/images/pull. */
export const pullResult = z.strictObject({
  ok,
  ref: text,
  id: text,
  digest: text,
  cached: z.boolean(),
  config: z.strictObject({
    os: text,
    architecture: text,
    entrypoint: texts,
    cmd: texts,
    working_dir: text,
    env_len: whole,
  }),
}).meta({ id: "PullResult" }) satisfies z.ZodType<api.PullResult>;

/** POST /v1/images/remove. */
export const imageRemoveResult = z.strictObject({ ok, ref: text, untagged: texts, deleted: texts }) satisfies z.ZodType<
  api.ImageRemoveResult
>;

/** POST /v1/images/prune. */
export const imagePruneResult = z.strictObject({
  ok,
  dry_run: z.boolean(),
  removed: texts,
  in_use: texts,
  reclaimed: bytes,
}) satisfies z.ZodType<api.ImagePruneResult>;

/** POST /v1/images/tag. */
export const tagResult = z.strictObject({ ok, source: text, target: text });

/** POST /v1/images/load. */
export const loadResult = z.strictObject({ ok, refs: texts, ids: texts }) satisfies z.ZodType<api.ImageLoadResult>;

/** POST /v1/login. */
export const loginResult = z.strictObject({ ok, identityToken: text.exactOptional() }) satisfies z.ZodType<
  api.LoginResult
>;

/** A volume. */
export const volumeInfo = z.strictObject({
  name: text,
  driver: z.literal("local"),
  mountpoint: text,
  created: text,
  labels: textMap,
  options: textMap,
  anonymous: z.boolean(),
  usedBy: texts,
}).meta({ id: "Volume" }) satisfies z.ZodType<api.VolumeInfo>;

/** GET /v1/version. */
export const versionInfo = z.strictObject({
  daemon: z.literal("nyxd"),
  version: text,
  commit: text,
  buildDate: text,
  apiVersion: text,
  deno: text,
  crun: text,
  kernel: text,
}) satisfies z.ZodType<api.VersionInfo>;

/** GET /v1/info. */
export const systemInfo = z.strictObject({
  version: text,
  baseDir: text,
  containers: z.strictObject({ total: whole, running: whole, paused: whole, stopped: whole }),
  images: whole,
  cgroup: text,
  netDriver: text,
  kernel: text,
  architecture: text,
  cpus: z.number(),
  memoryBytes: bytes,
  crun: text,
  network: z.strictObject({ name: text, bridge: text, subnet: text, gateway: text }),
  eventLoopDelayMs: z.strictObject({ p50: z.number(), p99: z.number(), max: z.number() }),
  warnings: texts,
}) satisfies z.ZodType<api.SystemInfo>;

/** GET /v1/system/df. */
export const diskUsage = z.strictObject({
  rows: z.array(z.strictObject({
    type: z.enum(["images", "containers", "volumes", "logs", "build-cache"]),
    total: whole,
    active: whole,
    size: bytes,
    reclaimable: bytes,
    limit: bytes.exactOptional(),
  })),
  total: bytes,
}) satisfies z.ZodType<api.DiskUsage>;

/** One line of GET /v1/events. */
export const eventRecord = z.strictObject({
  time: text,
  type: z.enum(["container", "image", "volume", "network", "daemon"]),
  action: text,
  id: text,
  attributes: textMap,
}).meta({ id: "Event" }) satisfies z.ZodType<api.EventRecord>;
