/** Routes of a container's files: copied in and out as tar, exported, made into an image. */

import { z } from "zod";
import { invalid } from "../../spec/errors.ts";
import { mediaType } from "../body.ts";
import { streamBody, streamed } from "../respond.ts";
import { type Route, route } from "../route.ts";
import { commitBody, commitResult, inPath, memberName, pathStatResult, unarchiveResult } from "../schema/archive.ts";
import { flagOr } from "../schema/values.ts";

const TAR = "application/x-tar";

/** Routes of a container's files. */
export const archiveRoutes: Route[] = [
  route({
    method: "GET",
    path: "/v1/containers/{id}/archive/stat",
    tag: "containers",
    operationId: "containerPathStat",
    summary: "What a path inside a container is; a final link is not followed.",
    query: z.strictObject({ path: inPath }),
    result: pathStatResult,
    handle: ({ params, query, context }) => context.services.containers.statPath(params.id, query.path),
  }),
  route({
    method: "GET",
    path: "/v1/containers/{id}/archive",
    tag: "containers",
    operationId: "readContainerArchive",
    summary: "A path inside a container as tar, below its last name.",
    description:
      "A running container is read as its own processes see it, volumes included. The kernel resolves every " +
      "path with the container's root as `/`, so that no link leads out, whenever it is put there.",
    query: z.strictObject({
      path: inPath,
      contents: flagOr(false, "What is in the directory, without its own name."),
      follow: flagOr(false, "Follow a final link."),
      name: memberName.exactOptional().meta({ description: "Name in place of the last of `path`." }),
    }),
    others: [{ type: TAR, description: "The archive. A body that breaks off instead of ending tells of a failure." }],
    async handle({ params, query, context }) {
      const { path, contents, follow, name } = query;
      const named = name === undefined ? {} : { name };
      const archive = await context.services.containers.readArchive(params.id, { path, contents, follow, ...named });
      return streamed(TAR, streamBody(context, () => archive));
    },
  }),
  route({
    method: "PUT",
    path: "/v1/containers/{id}/archive",
    tag: "containers",
    operationId: "writeContainerArchive",
    summary: "Unpacks a tar into a directory of a container.",
    query: z.strictObject({
      path: inPath,
      name: memberName.exactOptional().meta({ description: "Name in place of the first of each member." }),
    }),
    upload: TAR,
    result: unarchiveResult,
    async handle({ params, query, request, context }) {
      if (mediaType(request) !== TAR) throw invalid("Content-Type", mediaType(request), `send the archive as ${TAR}`);
      if (request.body === null) throw invalid("request body", "", "it is empty; send a tar archive");
      const { path, name } = query;
      const target = { path, ...(name === undefined ? {} : { name }) };
      const { entries } = await context.services.containers.writeArchive(
        params.id,
        target,
        request.body,
        request.signal,
      );
      return { ok: true, entries };
    },
  }),
  route({
    method: "GET",
    path: "/v1/containers/{id}/export",
    tag: "containers",
    operationId: "exportContainer",
    summary: "The whole root of a container as tar, without volumes.",
    others: [{ type: TAR, description: "The archive." }],
    async handle({ params, context }) {
      const archive = await context.services.containers.exportRoot(params.id);
      return streamed(TAR, streamBody(context, () => archive));
    },
  }),
  route({
    method: "POST",
    path: "/v1/containers/{id}/commit",
    tag: "containers",
    operationId: "commitContainer",
    summary: "Makes an image of what a container changed.",
    body: commitBody,
    example: { ref: "example.org/mine:1", changes: ['CMD ["sh"]'] },
    result: commitResult,
    async handle({ params, body, request, context }) {
      return { ok: true, ...await context.services.containers.commit(params.id, body, request.signal) };
    },
  }),
];
