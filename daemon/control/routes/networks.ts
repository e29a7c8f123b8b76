/** Routes about networks. */

import { z } from "zod";
import { type Route, route } from "../route.ts";
import {
  explainBody,
  explainPath,
  networkBody,
  networkConnectBody,
  networkDisconnectBody,
  networkInfo,
  networkPruneBody,
  networkPruneResult,
} from "../schema/networks.ts";
import { emptyBody } from "../schema/requests.ts";

const changed = z.strictObject({ ok: z.literal(true), name: z.string() });

/** Routes about networks. */
export const networkRoutes: Route[] = [
  route({
    method: "GET",
    path: "/v1/networks",
    tag: "networks",
    operationId: "listNetworks",
    summary: "All networks, the default one first.",
    result: z.strictObject({ networks: z.array(networkInfo) }),
    async handle({ context }) {
      return { networks: await context.services.networks.list() };
    },
  }),
  route({
    method: "POST",
    path: "/v1/networks/create",
    tag: "networks",
    operationId: "createNetwork",
    summary: "Makes a network. Without an IPv4 subnet one is chosen that no network and no route of the host has.",
    body: networkBody,
    example: { name: "backend", internal: true, labels: { tier: "data" } },
    result: networkInfo,
    handle: ({ body, context }) => context.services.networks.create(body),
  }),
  route({
    method: "POST",
    path: "/v1/networks/prune",
    tag: "networks",
    operationId: "pruneNetworks",
    summary: "Removes networks that no container uses, running or not.",
    body: networkPruneBody,
    result: networkPruneResult,
    async handle({ body, context }) {
      return { ok: true, ...await context.services.networks.prune(body) };
    },
  }),
  route({
    method: "POST",
    path: "/v1/networks/explain",
    tag: "networks",
    operationId: "explainNetwork",
    summary: "What lets packets to a published port or a container through, or stops them.",
    body: explainBody,
    example: { target: "8080/tcp" },
    result: z.strictObject({ paths: z.array(explainPath) }),
    async handle({ body, context }) {
      return { paths: await context.services.networks.explain(body.target) };
    },
  }),
  route({
    method: "GET",
    path: "/v1/networks/{name}",
    tag: "networks",
    operationId: "inspectNetwork",
    summary: "All about one network, by name or id.",
    result: networkInfo,
    handle: ({ params, context }) => context.services.networks.inspect(params.name),
  }),
  route({
    method: "POST",
    path: "/v1/networks/{name}/remove",
    tag: "networks",
    operationId: "removeNetwork",
    summary: "Removes a network that no container uses.",
    body: emptyBody,
    result: z.strictObject({ ok: z.literal(true), id: z.string(), name: z.string() }),
    async handle({ params, context }) {
      return { ok: true, ...await context.services.networks.remove(params.name) };
    },
  }),
  route({
    method: "POST",
    path: "/v1/networks/{name}/connect",
    tag: "networks",
    operationId: "connectNetwork",
    summary: "Attaches a container, running or not.",
    body: networkConnectBody,
    example: { container: "web", aliases: ["www"] },
    result: changed,
    async handle({ params, body, context }) {
      await context.services.networks.connect(params.name, body);
      return { ok: true, name: params.name };
    },
  }),
  route({
    method: "POST",
    path: "/v1/networks/{name}/disconnect",
    tag: "networks",
    operationId: "disconnectNetwork",
    summary: "Detaches a container, running or not.",
    body: networkDisconnectBody,
    example: { container: "web" },
    result: changed,
    async handle({ params, body, context }) {
      await context.services.networks.disconnect(params.name, body.container);
      return { ok: true, name: params.name };
    },
  }),
];
