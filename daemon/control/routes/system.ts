/** Routes about the daemon itself. */

import { z } from "zod";
import type { EventRecord } from "../../spec/api.ts";
import { lineOf, streamBody, streamed } from "../respond.ts";
import { type Route, route } from "../route.ts";
import { shutdownBody } from "../schema/requests.ts";
import { checkResult, diskUsage, doctorResult, eventRecord, systemInfo, versionInfo } from "../schema/responses.ts";
import { filters, flagOr, moment } from "../schema/values.ts";

async function* eventLines(
  events: AsyncIterable<EventRecord>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  try {
    for await (const event of events) yield lineOf(event);
  } catch (e) {
    if (!signal.aborted) throw e;
  }
}

/** Routes about the daemon itself. */
export const systemRoutes: Route[] = [
  route({
    method: "GET",
    path: "/v1/ping",
    tag: "system",
    operationId: "ping",
    summary: "Whether the daemon answers.",
    result: z.strictObject({ ok: z.literal(true) }),
    handle: () => ({ ok: true }),
  }),
  route({
    method: "GET",
    path: "/v1/version",
    tag: "system",
    operationId: "version",
    summary: "Versions of the daemon and of what it runs on.",
    result: versionInfo,
    handle: ({ context }) => context.services.system.version(),
  }),
  route({
    method: "GET",
    path: "/v1/info",
    tag: "system",
    operationId: "info",
    summary: "The daemon's state and host.",
    result: systemInfo,
    handle: ({ context }) => context.services.system.info(),
  }),
  route({
    method: "GET",
    path: "/v1/system/df",
    tag: "system",
    operationId: "diskUsage",
    summary: "Disk usage by kind, as du counts it.",
    result: diskUsage,
    handle: ({ context }) => context.services.system.df(),
  }),
  route({
    method: "POST",
    path: "/v1/system/check",
    tag: "system",
    operationId: "check",
    summary:
      "Compares records with files, mounts, namespaces, leases and processes; `repair` removes what is nobody's.",
    body: z.strictObject({ repair: z.boolean().default(false) }),
    result: checkResult,
    handle: ({ body, context }) => context.services.system.check(body),
  }),
  route({
    method: "GET",
    path: "/v1/system/doctor",
    tag: "system",
    operationId: "doctor",
    summary: "What of the host helps or hinders, each finding with its fix.",
    result: doctorResult,
    async handle({ context }) {
      return { findings: await context.services.system.doctor() };
    },
  }),
  route({
    method: "GET",
    path: "/metrics",
    tag: "system",
    operationId: "metrics",
    summary: "Metrics in Prometheus's text format.",
    others: [{ type: "text/plain", description: "Text format 0.0.4." }],
    handle: ({ context }) =>
      new Response(context.services.system.metrics(), {
        headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" },
      }),
  }),
  route({
    method: "GET",
    path: "/v1/events",
    tag: "system",
    operationId: "events",
    summary: "Events as they happen, one JSON object a line.",
    description: "Goes on until the client leaves, or until `until`. `follow=0` ends at the present moment.",
    query: z.strictObject({
      since: moment.exactOptional(),
      until: moment.exactOptional(),
      follow: flagOr(true, "Go on as events happen."),
      filter: filters.exactOptional(),
    }),
    others: [{ type: "application/x-ndjson", description: "One event a line.", schema: eventRecord }],
    handle({ query, context }) {
      const until = query.until ?? (query.follow ? undefined : new Date().toISOString());
      const body = streamBody(context, ({ signal }) => {
        return eventLines(
          context.services.system.events({
            filters: query.filter ?? {},
            signal,
            ...(query.since === undefined ? {} : { since: query.since }),
            ...(until === undefined ? {} : { until }),
          }),
          signal,
        );
      });
      return streamed("application/x-ndjson", body);
    },
  }),
  route({
    method: "POST",
    path: "/v1/system/shutdown",
    tag: "system",
    operationId: "shutdown",
    summary: "Stops all containers, then the daemon.",
    description: "`timeoutS` is the grace of each container, in seconds.",
    body: shutdownBody,
    result: z.strictObject({ ok: z.literal(true) }),
    async handle({ body, context }) {
      await context.services.system.shutdown(body);
      return { ok: true };
    },
  }),
  route({
    method: "GET",
    path: "/v1/openapi.json",
    tag: "system",
    operationId: "openapi",
    summary: "This document.",
    result: z.looseObject({ openapi: z.literal("3.1.0") }),
    async handle({ context }) {
      return new Response(await context.openapi(), { headers: { "content-type": "application/json" } });
    },
  }),
];
