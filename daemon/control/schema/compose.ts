/** Bodies of the compose routes. */

import { z } from "zod";
import type { ComposeDiagnostic, ComposePlan } from "../../spec/compose.ts";
import type * as api from "../../spec/compose_api.ts";
import { invalid } from "../../spec/errors.ts";
import { containerShape } from "./container.ts";
import { containerSummary, errorData, fullId } from "./responses.ts";
import { pullEvent } from "./responses.ts";
import { graceSeconds, imageRef, integer, line, parsed, signalName, textMap } from "./values.ts";

const text = z.string();
const texts = z.array(text);
const flag = z.boolean().exactOptional();

/** Longest body of a request that brings files along. */
export const MAX_PROJECT_BYTES = 16 * 1024 * 1024;

const path = line().regex(/^\//, "give an absolute path");
const serviceName = line(255).min(1);
const services = z.array(serviceName).max(10_000).exactOptional();

const content = z.strictObject({
  path,
  content: text.exactOptional(),
  base64: text.exactOptional(),
  missing: z.boolean().exactOptional(),
}).refine(
  (c) => [c.content !== undefined, c.base64 !== undefined, c.missing === true].filter(Boolean).length === 1,
  "give exactly one of content, base64 and missing",
).meta({ id: "ComposeContent", description: "A file of the caller's, with its content." }) satisfies z.ZodType<
  api.ComposeContent
>;

const refusedFile = parsed((value): string => {
  throw invalid("file", value, "nyxd reads no file that a caller names; send its content in `files` or `yaml`");
}).exactOptional().meta({ description: "Refused: nyxd reads no file that a caller names." });

const sourceShape = {
  project: line(255).exactOptional(),
  files: z.array(content).max(1000).exactOptional(),
  file: refusedFile,
  yaml: text.exactOptional(),
  context_dir: path.exactOptional(),
  contents: z.array(content).max(10_000).exactOptional(),
  ask: flag,
  env: z.record(text, text).exactOptional(),
  env_files: z.array(path).exactOptional(),
  project_directory: path.exactOptional(),
  profiles: texts.exactOptional(),
};

/** `files` and `yaml` exclude each other; without either a name is needed. */
function sourced<Shape extends z.ZodRawShape>(shape: Shape, needsFiles: boolean) {
  return z.strictObject({ ...sourceShape, ...shape }).superRefine((body, context) => {
    const { files, yaml, project } = body as { files?: unknown[]; yaml?: string; project?: string };
    const given = (files === undefined || files.length === 0 ? 0 : 1) + (yaml === undefined ? 0 : 1);
    if (given === 2) context.addIssue({ code: "custom", message: "give files or yaml, not both" });
    if (given === 0 && (needsFiles || project === undefined)) {
      context.addIssue({ code: "custom", message: `give files or yaml${needsFiles ? "" : ", or project alone"}` });
    }
  });
}

const planStep = z.looseObject({ id: text, action: text, target: text, reason: text, after: texts });
const plan = z.strictObject({
  project: text,
  steps: z.array(planStep),
  blocked: z.array(z.strictObject({ service: text.exactOptional(), message: text })),
  warnings: texts,
  world: text,
}).meta({ id: "ComposePlan" });

const planShape = {
  services,
  no_deps: flag,
  force_recreate: flag,
  no_recreate: flag,
  always_recreate_deps: flag,
  remove_orphans: flag,
  no_start: flag,
  build: flag,
  built: services,
  pull: z.enum(["always", "missing", "never"]).exactOptional(),
  scale: z.record(serviceName, integer(0, 10_000)).exactOptional(),
};

const secret = z.string().max(64 * 1024).exactOptional();
const credentials = z.record(
  imageRef,
  z.strictObject({ username: line(1024).exactOptional(), password: secret, identityToken: secret }),
).exactOptional();

/** Body of the plan route. */
export const planBody = sourced(planShape, true);
/** Body of the up route. */
export const upBody = sourced({
  ...planShape,
  timeout_s: graceSeconds.exactOptional(),
  renew_anon_volumes: flag,
  wait: flag,
  wait_timeout_s: integer(0, 86_400).exactOptional(),
  credentials,
  expect: plan.exactOptional(),
  stream: flag,
}, true);
/** Body of start, stop, restart, pause, unpause, kill and rm. */
export const actionBody = sourced({
  services,
  timeout_s: graceSeconds.exactOptional(),
  signal: signalName.exactOptional(),
  stop: flag,
  volumes: flag,
  no_deps: flag,
}, false);
/** Body of the down route. */
export const downBody = sourced({
  services,
  remove_volumes: flag,
  remove_orphans: flag,
  rmi: z.enum(["local", "all"]).exactOptional(),
  timeout_s: graceSeconds.exactOptional(),
}, false);
/** Body of the config route. */
export const configBody = sourced({
  show: z.enum([
    "model",
    "services",
    "images",
    "volumes",
    "networks",
    "profiles",
    "hash",
    "variables",
    "environment",
    "models",
    "builds",
  ])
    .exactOptional(),
  format: z.enum(["yaml", "json"]).exactOptional(),
  services,
  with_dependencies: flag,
  no_interpolate: flag,
  no_normalize: flag,
  image_digests: z.record(text, z.string().regex(/^sha256:[0-9a-f]{64}$/, "give a sha256 digest")).exactOptional(),
  lock_image_digests: flag,
  no_path_resolution: flag,
  no_env_resolution: flag,
  no_consistency: flag,
}, true);
/** Body of the ps route. */
export const psBody = sourced({}, false);
/** Body of the pull route. */
export const composePullBody = sourced({
  services,
  include_deps: flag,
  policy: z.enum(["always", "missing"]).exactOptional(),
  credentials,
  ignore_pull_failures: flag,
  stream: flag,
}, true);
/** Body of the run route. */
export const composeRunBody = sourced({
  service: serviceName,
  build: flag,
  built: services,
  command: texts.exactOptional(),
  entrypoint: texts.exactOptional(),
  environment: texts.exactOptional(),
  user: line().exactOptional(),
  workdir: path.exactOptional(),
  name: line(128).exactOptional(),
  labels: textMap.exactOptional(),
  service_ports: flag,
  publish: containerShape.publish,
  mounts: containerShape.mounts,
  cap_add: containerShape.capAdd,
  cap_drop: containerShape.capDrop,
  use_aliases: flag,
  tty: flag,
  interactive: flag,
  rm: flag,
  no_deps: flag,
  credentials,
}, true);

const ok = z.literal(true);

const diagnostic = z.strictObject({
  severity: z.enum(["error", "warning", "info"]),
  blocks: flag,
  code: text,
  path: text,
  message: text,
  rule: text.exactOptional(),
  fix: text.exactOptional(),
  file: text.exactOptional(),
  line: z.number().int().exactOptional(),
  column: z.number().int().exactOptional(),
  excerpt: text.exactOptional(),
}).meta({ id: "ComposeDiagnostic" }) satisfies z.ZodType<ComposeDiagnostic>;

/** Result of up and pull. */
export const upResult = z.strictObject({ ok, project: text, ids: z.array(fullId), done: texts, warnings: texts })
  .meta({ id: "ComposeUpResult" }) satisfies z.ZodType<api.ComposeUpResult>;

/** Result of actions. */
export const actionResult = z.strictObject({
  ok,
  project: text,
  ids: z.array(fullId),
  stopped: z.array(fullId).exactOptional(),
}) satisfies z.ZodType<api.ComposeActionResult>;

/** Result of down. */
export const downResult = z.strictObject({
  ok,
  project: text,
  removed: z.array(fullId),
  removed_networks: texts,
  removed_volumes: texts,
  removed_volume_paths: texts,
  removed_images: texts,
  warnings: texts,
}) satisfies z.ZodType<api.ComposeDownResult>;

/** Result of config. */
export const configResult = z.strictObject({
  ok,
  project: text,
  text,
  diagnostics: z.array(diagnostic),
}) satisfies z.ZodType<api.ComposeConfigResult>;

/** Result of plan. */
export const planResult = z.strictObject({ plan, text, diagnostics: z.array(diagnostic) });

/** Result of ps. */
export const psResult = z.strictObject({
  project: text,
  services: texts,
  containers: z.array(
    z.strictObject({ ...containerSummary.shape, service: text, number: z.number().int(), oneoff: z.boolean() }),
  ),
}) satisfies z.ZodType<api.ComposePsResult>;

/** Result of the list of projects. */
export const projectsResult = z.strictObject({
  projects: z.array(
    z.strictObject({ name: text, status: text, config_files: texts, containers: z.number().int() }),
  ),
}) satisfies z.ZodType<{ projects: api.ComposeProjectInfo[] }>;

/** Result of run. */
export const composeRunResult = z.strictObject({ ok, project: text, id: fullId, name: text, warnings: texts })
  .meta({ id: "ComposeRunResult" }) satisfies z.ZodType<api.ComposeRunResult>;

/** One line of a streamed request. */
export const composeEvent = z.discriminatedUnion("event", [
  z.strictObject({ event: z.literal("warning"), message: text }),
  z.strictObject({
    event: z.literal("step"),
    id: text,
    action: text,
    target: text,
    service: text.exactOptional(),
    state: z.enum(["waiting", "working", "done", "failed", "skipped"]),
    message: text.exactOptional(),
  }),
  z.strictObject({ event: z.literal("pull"), ref: text, progress: pullEvent }),
  z.strictObject({ event: z.literal("done"), result: upResult }),
  z.strictObject({ event: z.literal("error"), error: errorData }),
]).meta({ id: "ComposeEvent" });

/** The plan as it was printed; its text is compared, nothing of it is run. */
export function asPlan(value: z.output<typeof plan> | undefined): ComposePlan | undefined {
  return value as ComposePlan | undefined;
}
