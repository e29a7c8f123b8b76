/** Routes about containers, but for those that attach (run, start, attach, exec) and the log. */

import { z } from "zod";
import { withClient } from "../long_poll.ts";
import { lineOf, streamBody, streamed } from "../respond.ts";
import { type Route, route } from "../route.ts";
import { CONTAINER_EXAMPLE, createBody } from "../schema/container.ts";
import {
  containerPruneBody,
  killBody,
  removeBody,
  renameBody,
  resizeBody,
  restartBody,
  stopBody,
  updateBody,
} from "../schema/requests.ts";
import {
  changesResult,
  containerDetails,
  containerSummary,
  createResult,
  fullId,
  idResult,
  pruneResult,
  statsResult,
  topResult,
  waitResult,
} from "../schema/responses.ts";
import { count, filters, flagOr } from "../schema/values.ts";
import type { ContainerService } from "../services.ts";

async function* samples(
  containers: ContainerService,
  ref: string,
  intervalMs: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  while (!signal.aborted) {
    yield lineOf(await containers.stats(ref));
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, intervalMs);
      signal.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      }, { once: true });
    });
  }
}

/** A route that does one thing to one container and takes no body. */
function plainAction(verb: "pause" | "unpause", summary: string): Route {
  return route({
    method: "POST",
    path: `/v1/containers/{id}/${verb}`,
    tag: "containers",
    operationId: `${verb}Container`,
    summary,
    result: idResult,
    async handle({ params, context }) {
      return { ok: true, ...await context.services.containers[verb](params.id) };
    },
  });
}

/** Routes about containers. */
export const containerRoutes: Route[] = [
  route({
    method: "GET",
    path: "/v1/containers",
    tag: "containers",
    operationId: "listContainers",
    summary: "Ids of containers; with `detail`, their state.",
    query: z.strictObject({
      detail: flagOr(false, "Also give `items`."),
      all: flagOr(true, "Also those that do not run."),
      size: flagOr(false, "Also measure disk usage."),
      filter: filters.exactOptional(),
    }),
    result: z.strictObject({ containers: z.array(fullId), items: z.array(containerSummary).exactOptional() }),
    async handle({ query, context }) {
      const { all, size, filter = {} } = query;
      const items = await context.services.containers.list({ all, filters: filter, ...(size ? { size } : {}) });
      const containers = items.map((item) => item.id);
      return query.detail ? { containers, items } : { containers };
    },
  }),
  route({
    method: "POST",
    path: "/v1/containers",
    tag: "containers",
    operationId: "createContainer",
    summary: "Makes a container from an image that is present.",
    body: createBody,
    example: CONTAINER_EXAMPLE,
    result: createResult,
    handle: ({ body, context }) => context.services.containers.create(body),
  }),
  route({
    method: "POST",
    path: "/v1/containers/prune",
    tag: "containers",
    operationId: "pruneContainers",
    summary: "Removes all containers that do not run.",
    body: containerPruneBody,
    result: pruneResult,
    async handle({ body, context }) {
      return { ok: true, ...await context.services.containers.prune(body) };
    },
  }),
  route({
    method: "GET",
    path: "/v1/containers/{id}",
    tag: "containers",
    operationId: "inspectContainer",
    summary: "All about one container.",
    result: containerDetails,
    handle: ({ params, context }) => context.services.containers.inspect(params.id),
  }),
  route({
    method: "POST",
    path: "/v1/containers/{id}/stop",
    tag: "containers",
    operationId: "stopContainer",
    summary: "Sends the stop signal, and KILL when the grace is over.",
    body: stopBody,
    result: idResult,
    async handle({ params, body, context }) {
      return { ok: true, ...await context.services.containers.stop(params.id, body) };
    },
  }),
  route({
    method: "POST",
    path: "/v1/containers/{id}/restart",
    tag: "containers",
    operationId: "restartContainer",
    summary: "Stops, then starts.",
    body: restartBody,
    result: idResult,
    async handle({ params, body, context }) {
      return { ok: true, ...await context.services.containers.restart(params.id, body) };
    },
  }),
  route({
    method: "POST",
    path: "/v1/containers/{id}/kill",
    tag: "containers",
    operationId: "killContainer",
    summary: "Sends a signal; default SIGKILL.",
    body: killBody,
    result: z.strictObject({ ok: z.literal(true), id: fullId, signal: z.string() }),
    async handle({ params, body, context }) {
      return { ok: true, ...await context.services.containers.kill(params.id, body.signal) };
    },
  }),
  plainAction("pause", "Freezes all its processes."),
  plainAction("unpause", "Thaws a paused container."),
  route({
    method: "POST",
    path: "/v1/containers/{id}/remove",
    tag: "containers",
    operationId: "removeContainer",
    summary: "Removes a container; `force` kills it first, `volumes` takes its anonymous volumes along.",
    body: removeBody,
    result: idResult,
    async handle({ params, body, context }) {
      return { ok: true, ...await context.services.containers.remove(params.id, body) };
    },
  }),
  route({
    method: "POST",
    path: "/v1/containers/{id}/rename",
    tag: "containers",
    operationId: "renameContainer",
    summary: "Gives a container another name.",
    body: renameBody,
    example: { name: "other" },
    result: z.strictObject({ ok: z.literal(true), id: fullId, name: z.string() }),
    async handle({ params, body, context }) {
      return { ok: true, ...await context.services.containers.rename(params.id, body.name) };
    },
  }),
  route({
    method: "POST",
    path: "/v1/containers/{id}/update",
    tag: "containers",
    operationId: "updateContainer",
    summary: "Changes limits, the restart policy or published ports of a container, running or not.",
    body: updateBody,
    example: { resources: { memoryBytes: 268_435_456 }, restart: "on-failure:3", publish: { add: ["8080:80"] } },
    result: z.strictObject({ ok: z.literal(true), id: fullId, warnings: z.array(z.string()) }),
    async handle({ params, body, context }) {
      const { resources = {}, restart, publish } = body;
      return { ok: true, ...await context.services.containers.update(params.id, resources, restart, publish) };
    },
  }),
  route({
    method: "POST",
    path: "/v1/containers/{id}/wait",
    tag: "containers",
    operationId: "waitContainer",
    summary: "Answers once the condition holds, however long it takes.",
    query: z.strictObject({
      condition: z.enum(["not-running", "next-exit", "removed", "healthy"]).default("not-running"),
    }),
    result: waitResult,
    handle: ({ params, query, request, context }) =>
      withClient(
        request,
        context.live,
        (signal) => context.services.containers.wait(params.id, query.condition, signal),
      ),
  }),
  route({
    method: "POST",
    path: "/v1/containers/{id}/resize",
    tag: "containers",
    operationId: "resizeContainer",
    summary: "Sets the size of a container's terminal, in characters.",
    body: resizeBody,
    example: { rows: 24, cols: 80 },
    result: idResult,
    async handle({ params, body, context }) {
      const { containers } = context.services;
      await containers.resize(params.id, body.rows, body.cols);
      return { ok: true, id: (await containers.inspect(params.id)).id };
    },
  }),
  route({
    method: "GET",
    path: "/v1/containers/{id}/top",
    tag: "containers",
    operationId: "topContainer",
    summary: "Processes of a container.",
    result: topResult,
    handle: ({ params, context }) => context.services.containers.top(params.id),
  }),
  route({
    method: "GET",
    path: "/v1/containers/{id}/stats",
    tag: "containers",
    operationId: "containerStats",
    summary: "One sample of resource usage; with `stream`, one after the other.",
    query: z.strictObject({ stream: flagOr(false, "Go on."), interval_ms: count(100, 3_600_000).exactOptional() }),
    result: statsResult,
    others: [{ type: "application/x-ndjson", description: "With `stream`: one sample a line.", schema: statsResult }],
    async handle({ params, query, context }) {
      const { containers } = context.services;
      const first = await containers.stats(params.id);
      if (!query.stream) return first;
      const interval = query.interval_ms ?? 1000;
      return streamed(
        "application/x-ndjson",
        streamBody(context, ({ signal }) => samples(containers, params.id, interval, signal)),
      );
    },
  }),
  route({
    method: "GET",
    path: "/v1/containers/{id}/changes",
    tag: "containers",
    operationId: "containerChanges",
    summary: "What differs from the image: Added, Changed, Deleted.",
    result: changesResult,
    async handle({ params, context }) {
      return { changes: await context.services.containers.changes(params.id) };
    },
  }),
];
