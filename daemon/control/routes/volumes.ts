/** Routes about volumes. */

import { z } from "zod";
import { invalid } from "../../spec/errors.ts";
import { mediaType } from "../body.ts";
import { streamBody, streamed } from "../respond.ts";
import { type Route, route } from "../route.ts";
import { unarchiveResult } from "../schema/archive.ts";
import { volumeBody, volumePruneBody, volumeRemoveBody } from "../schema/requests.ts";
import { pruneResult, volumeInfo } from "../schema/responses.ts";

const TAR = "application/x-tar";

/** Routes about volumes. */
export const volumeRoutes: Route[] = [
  route({
    method: "GET",
    path: "/v1/volumes",
    tag: "volumes",
    operationId: "listVolumes",
    summary: "All volumes.",
    result: z.strictObject({ volumes: z.array(volumeInfo) }),
    async handle({ context }) {
      return { volumes: await context.services.volumes.list() };
    },
  }),
  route({
    method: "POST",
    path: "/v1/volumes",
    tag: "volumes",
    operationId: "createVolume",
    summary: "Makes a volume; without a name an anonymous one. One of that name that exists is left as it is.",
    body: volumeBody,
    result: volumeInfo,
    handle: ({ body, context }) => context.services.volumes.create(body),
  }),
  route({
    method: "GET",
    path: "/v1/volumes/{name}",
    tag: "volumes",
    operationId: "inspectVolume",
    summary: "All about one volume.",
    result: volumeInfo,
    handle: ({ params, context }) => context.services.volumes.inspect(params.name),
  }),
  route({
    method: "POST",
    path: "/v1/volumes/{name}/remove",
    tag: "volumes",
    operationId: "removeVolume",
    summary: "Removes a volume that no container uses. `force`: it is no error when there is none.",
    body: volumeRemoveBody,
    result: z.strictObject({ ok: z.literal(true), name: z.string() }),
    async handle({ params, body, context }) {
      await context.services.volumes.remove(params.name, body.force);
      return { ok: true, name: params.name };
    },
  }),
  route({
    method: "GET",
    path: "/v1/volumes/{name}/archive",
    tag: "volumes",
    operationId: "exportVolume",
    summary: "What is in a volume, as tar.",
    others: [{ type: TAR, description: "The archive. A body that breaks off instead of ending tells of a failure." }],
    async handle({ params, context }) {
      const archive = await context.services.volumes.exportTar(params.name);
      return streamed(TAR, streamBody(context, () => archive));
    },
  }),
  route({
    method: "PUT",
    path: "/v1/volumes/{name}/archive",
    tag: "volumes",
    operationId: "importVolume",
    summary: "Unpacks a tar into a volume; makes it where there is none.",
    upload: TAR,
    result: unarchiveResult,
    async handle({ params, request, context }) {
      if (mediaType(request) !== TAR) throw invalid("Content-Type", mediaType(request), `send the archive as ${TAR}`);
      if (request.body === null) throw invalid("request body", "", "it is empty; send a tar archive");
      return { ok: true, ...await context.services.volumes.importTar(params.name, request.body, request.signal) };
    },
  }),
  route({
    method: "POST",
    path: "/v1/volumes/prune",
    tag: "volumes",
    operationId: "pruneVolumes",
    summary: "Removes volumes that no container uses: anonymous ones, or with `all` named ones too.",
    body: volumePruneBody,
    result: pruneResult,
    async handle({ body, context }) {
      return { ok: true, ...await context.services.volumes.prune(body) };
    },
  }),
];
