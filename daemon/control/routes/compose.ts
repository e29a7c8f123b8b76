/** Routes about compose projects (D03). */

import type {
  ComposeAction,
  ComposeEvent,
  ComposePullRequest,
  ComposeUpRequest,
  ComposeUpResult,
} from "../../spec/compose_api.ts";
import { NyxError, toErrorData } from "../../spec/errors.ts";
import type { ControlContext } from "../context.ts";
import { asError, lineOf, LineQueue, streamBody, streamed } from "../respond.ts";
import { type Route, route } from "../route.ts";
import {
  actionBody,
  actionResult,
  asPlan,
  composeEvent,
  composePullBody,
  composeRunBody,
  composeRunResult,
  configBody,
  configResult,
  downBody,
  downResult,
  MAX_PROJECT_BYTES,
  planBody,
  planResult,
  projectsResult,
  psBody,
  psResult,
  upBody,
  upResult,
} from "../schema/compose.ts";
import type { ProgressOptions } from "../services.ts";

const SOURCE_TEXT =
  "A project comes as `files` (path and content, in order of precedence), with further contents that " +
  "they name in `contents`, and the caller's variables in `env`; or as `yaml` with `context_dir`; or, where nothing is " +
  "made from files, as `project` alone. The daemon reads no file that a caller names: `file` is refused. With `ask`, " +
  "files that were not sent are asked for: the answer is `failed_precondition`, and `context.wanted` is a JSON list of " +
  "their paths (`context.images`: of images whose credentials may be needed).";

/** Answers with progress as JSON lines; the last has the result, or the error. */
function progressLines(
  context: ControlContext,
  op: string,
  work: (options: ProgressOptions) => Promise<ComposeUpResult>,
): Response {
  const body = streamBody(context, async function* ({ signal }): AsyncGenerator<Uint8Array, void, void> {
    const queue = new LineQueue<ComposeEvent>();
    const onEvent = (event: ComposeEvent) =>
      queue.push(event, event.event === "pull" && event.progress.phase === "progress");
    const done = work({ signal, onEvent }).then(
      (result) => queue.push({ event: "done", result }),
      (e) => queue.push({ event: "error", error: toErrorData(asError(e, context.log, op)) }),
    ).finally(() => queue.end());
    for await (const line of queue.drain(signal)) yield lineOf(line);
    if (signal.aborted && signal.reason instanceof NyxError && signal.reason.code !== "canceled") {
      yield lineOf({ event: "error", error: toErrorData(signal.reason) });
    } else await done;
  });
  return streamed("application/x-ndjson", body);
}

const quiet = (request: Request): ProgressOptions => ({ signal: request.signal, onEvent: () => {} });

const STREAM = { type: "application/x-ndjson", description: "With `stream`.", schema: composeEvent };

const ACTIONS: readonly (readonly [ComposeAction, string])[] = [
  ["start", "Starts containers that exist, dependencies first."],
  ["stop", "Stops containers, dependents first."],
  ["restart", "Restarts containers, dependencies first."],
  ["pause", "Freezes containers."],
  ["unpause", "Thaws containers."],
  ["kill", "Sends a signal to containers."],
  ["rm", "Removes containers that do not run; with `stop`, all."],
];

const actionRoutes = ACTIONS.map(([action, summary]) =>
  route({
    method: "POST",
    path: `/v1/compose/${action}`,
    tag: "compose",
    operationId: `compose${action[0]?.toUpperCase()}${action.slice(1)}`,
    summary,
    description: SOURCE_TEXT,
    body: actionBody,
    maxBytes: MAX_PROJECT_BYTES,
    example: { project: "shop" },
    result: actionResult,
    handle: ({ body, request, context }) => context.services.compose.act(action, body, quiet(request)),
  })
);

/** Routes about compose projects. */
export const composeRoutes: Route[] = [
  route({
    method: "GET",
    path: "/v1/compose",
    tag: "compose",
    operationId: "listProjects",
    summary: "All projects.",
    result: projectsResult,
    async handle({ context }) {
      return { projects: await context.services.compose.list() };
    },
  }),
  route({
    method: "POST",
    path: "/v1/compose/up",
    tag: "compose",
    operationId: "composeUp",
    summary: "Makes what runs what the files ask for; what is so already is left alone.",
    description:
      `${SOURCE_TEXT} With \`stream\`, progress comes as JSON lines, of which \`done\` or \`error\` is the last. ` +
      "Closing the connection begins no further step; what was begun is finished.",
    body: upBody,
    maxBytes: MAX_PROJECT_BYTES,
    example: { project: "shop", yaml: "services: {web: {image: nginx}}", context_dir: "/srv/shop" },
    result: upResult,
    others: [STREAM],
    async handle({ body, request, context }) {
      const { expect, stream, ...rest } = body;
      const plan = asPlan(expect);
      const up: ComposeUpRequest = plan === undefined ? rest : { ...rest, expect: plan };
      if (stream !== true) return await context.services.compose.up(up, quiet(request));
      return progressLines(context, "compose.up", (options) => context.services.compose.up(up, options));
    },
  }),
  route({
    method: "POST",
    path: "/v1/compose/down",
    tag: "compose",
    operationId: "composeDown",
    summary: "Removes a project's containers and networks; with `remove_volumes`, its volumes too.",
    description: SOURCE_TEXT,
    body: downBody,
    maxBytes: MAX_PROJECT_BYTES,
    example: { project: "shop" },
    result: downResult,
    handle: ({ body, request, context }) => context.services.compose.down(body, quiet(request)),
  }),
  ...actionRoutes,
  route({
    method: "POST",
    path: "/v1/compose/ps",
    tag: "compose",
    operationId: "composePs",
    summary: "Containers of a project.",
    description: SOURCE_TEXT,
    body: psBody,
    maxBytes: MAX_PROJECT_BYTES,
    example: { project: "shop" },
    result: psResult,
    handle: ({ body, context }) => context.services.compose.ps(body),
  }),
  route({
    method: "POST",
    path: "/v1/compose/config",
    tag: "compose",
    operationId: "composeConfig",
    summary: "The normalised model, and lists of what is in it.",
    description: SOURCE_TEXT,
    body: configBody,
    maxBytes: MAX_PROJECT_BYTES,
    example: { yaml: "services: {web: {image: nginx}}", context_dir: "/srv/shop" },
    result: configResult,
    handle: ({ body, context }) => context.services.compose.config(body),
  }),
  route({
    method: "POST",
    path: "/v1/compose/plan",
    tag: "compose",
    operationId: "composePlan",
    summary: "What up would do, with the reason of each step; changes nothing.",
    description: SOURCE_TEXT,
    body: planBody,
    maxBytes: MAX_PROJECT_BYTES,
    example: { yaml: "services: {web: {image: nginx}}", context_dir: "/srv/shop" },
    result: planResult,
    handle: ({ body, context }) => context.services.compose.plan(body),
  }),
  route({
    method: "POST",
    path: "/v1/compose/pull",
    tag: "compose",
    operationId: "composePull",
    summary: "Pulls a project's images, side by side.",
    description: SOURCE_TEXT,
    body: composePullBody,
    maxBytes: MAX_PROJECT_BYTES,
    example: { yaml: "services: {web: {image: nginx}}", context_dir: "/srv/shop" },
    result: upResult,
    others: [STREAM],
    async handle({ body, request, context }) {
      const { stream, ...rest } = body;
      const pull: ComposePullRequest = rest;
      if (stream !== true) return await context.services.compose.pull(pull, quiet(request));
      return progressLines(context, "compose.pull", (options) => context.services.compose.pull(pull, options));
    },
  }),
  route({
    method: "POST",
    path: "/v1/compose/run",
    tag: "compose",
    operationId: "composeRun",
    summary: "Makes a one-off container of a service, when what the service depends on is up; the caller starts it.",
    description: SOURCE_TEXT,
    body: composeRunBody,
    maxBytes: MAX_PROJECT_BYTES,
    example: { service: "web", command: ["sh"], yaml: "services: {web: {image: nginx}}", context_dir: "/srv/shop" },
    result: composeRunResult,
    handle: ({ body, request, context }) => context.services.compose.run(body, quiet(request)),
  }),
];
