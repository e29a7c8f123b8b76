/** Routes about images and registries. */

import { z } from "zod";
import { invalid, NyxError, toErrorData } from "../../spec/errors.ts";
import type { PullEvent } from "../../spec/image.ts";
import { mediaType } from "../body.ts";
import type { ControlContext } from "../context.ts";
import { asError, lineOf, LineQueue, streamBody, streamed } from "../respond.ts";
import { type Route, route } from "../route.ts";
import { imagePruneBody, imageRemoveBody, loginBody, pullBody, tagBody } from "../schema/requests.ts";
import {
  historyResult,
  imageDetails,
  imagePruneResult,
  imageRemoveResult,
  imageSummary,
  loadResult,
  loginResult,
  pullEvent,
  pullResult,
  tagResult,
} from "../schema/responses.ts";
import { flagOr, imageRef, repeated } from "../schema/values.ts";
import type { PullOptions } from "../services.ts";

const refQuery = z.strictObject({ ref: imageRef });

/** Media types under which an archive may come. */
const ARCHIVE_TYPES = [
  "",
  "application/x-tar",
  "application/octet-stream",
  "application/gzip",
  "application/x-gzip",
  "application/zstd",
  "application/x-www-form-urlencoded",
];

/** Lines of a job that reports progress; the last line is what `work` gives, or its failure. */
export function progressLines(
  context: ControlContext,
  op: string,
  work: (onEvent: (event: PullEvent) => void, signal: AbortSignal) => Promise<Record<string, unknown>>,
): Response {
  const body = streamBody(context, async function* ({ signal }): AsyncGenerator<Uint8Array, void, void> {
    const queue = new LineQueue<unknown>();
    // The job's own last words give way to the line that has the result, or the error.
    const onEvent = (event: PullEvent) => {
      if (event.phase !== "done" && event.phase !== "error") queue.push(event, event.phase === "progress");
    };
    const done = work(onEvent, signal).then((last) => queue.push(last), (e) => {
      const error = toErrorData(asError(e, context.log, op));
      queue.push({ phase: "error", message: error.message, error });
    }).finally(() => queue.end());
    for await (const line of queue.drain(signal)) yield lineOf(line);
    if (signal.aborted && signal.reason instanceof NyxError && signal.reason.code !== "canceled") {
      yield lineOf({ phase: "error", message: signal.reason.message, error: toErrorData(signal.reason) });
    } else await done;
  });
  return streamed("application/x-ndjson", body);
}

/** Routes about images and registries. */
export const imageRoutes: Route[] = [
  route({
    method: "GET",
    path: "/v1/images",
    tag: "images",
    operationId: "listImages",
    summary: "References of all images; with `detail`, all about them.",
    query: z.strictObject({ detail: flagOr(false, "Also give `items`.") }),
    result: z.strictObject({ images: z.array(z.string()), items: z.array(imageSummary).exactOptional() }),
    async handle({ query, context }) {
      const items = await context.services.images.list();
      const images = items.flatMap((item) => item.refs).sort();
      return query.detail ? { images, items } : { images };
    },
  }),
  route({
    method: "GET",
    path: "/v1/images/inspect",
    tag: "images",
    operationId: "inspectImage",
    summary: "All about one image.",
    query: refQuery,
    result: imageDetails,
    handle: ({ query, context }) => context.services.images.inspect(query.ref),
  }),
  route({
    method: "GET",
    path: "/v1/images/history",
    tag: "images",
    operationId: "imageHistory",
    summary: "How an image was made, newest step first.",
    query: refQuery,
    result: historyResult,
    async handle({ query, context }) {
      return { history: await context.services.images.history(query.ref) };
    },
  }),
  route({
    method: "POST",
    path: "/v1/images/pull",
    tag: "images",
    operationId: "pullImage",
    summary: "Pulls an image.",
    description: "With `stream`, progress comes as JSON lines; the last has phase `done` and the result's fields, or " +
      "phase `error` and `error`. Closing the connection cancels the pull unless another request wants it too.",
    body: pullBody,
    example: { ref: "busybox:latest" },
    result: pullResult,
    others: [{ type: "application/x-ndjson", description: "With `stream`.", schema: pullEvent }],
    async handle({ body, request, context }) {
      const { ref, stream, platform, username, password, identityToken } = body;
      const credentials = {
        ...(username === undefined ? {} : { username }),
        ...(password === undefined ? {} : { password }),
        ...(identityToken === undefined ? {} : { identityToken }),
      };
      const options: PullOptions = {
        ...(platform === undefined ? {} : { platform }),
        ...(Object.keys(credentials).length === 0 ? {} : { credentials }),
      };
      const { images } = context.services;
      if (!stream) return await images.pull(ref, { ...options, signal: request.signal });
      return progressLines(context, "POST /v1/images/pull", async (onEvent, signal) => ({
        phase: "done",
        ...await images.pull(ref, { ...options, signal, onEvent }),
      }));
    },
  }),
  route({
    method: "POST",
    path: "/v1/images/remove",
    tag: "images",
    operationId: "removeImage",
    summary: "Takes a reference away, and the image with its last one.",
    body: imageRemoveBody,
    example: { ref: "busybox:latest" },
    result: imageRemoveResult,
    handle: ({ body, context }) => context.services.images.remove(body.ref, body.force),
  }),
  route({
    method: "POST",
    path: "/v1/images/prune",
    tag: "images",
    operationId: "pruneImages",
    summary: "Removes images that no container uses: untagged ones, or with `all` tagged ones too.",
    body: imagePruneBody,
    result: imagePruneResult,
    handle: ({ body, context }) => context.services.images.prune({ dryRun: body.dry_run, all: body.all }),
  }),
  route({
    method: "POST",
    path: "/v1/images/tag",
    tag: "images",
    operationId: "tagImage",
    summary: "Gives an image one more reference.",
    body: tagBody,
    example: { source: "busybox:latest", target: "registry.example.org/mine:1" },
    result: tagResult,
    async handle({ body, context }) {
      await context.services.images.tag(body.source, body.target);
      return { ok: true, ...body };
    },
  }),
  route({
    method: "POST",
    path: "/v1/images/load",
    tag: "images",
    operationId: "loadImages",
    summary: "Loads the images of a docker or OCI archive, plain or compressed.",
    upload: "application/x-tar",
    result: loadResult,
    async handle({ request, context }) {
      const type = mediaType(request);
      if (!ARCHIVE_TYPES.includes(type)) throw invalid("Content-Type", type, "send the archive as application/x-tar");
      if (request.body === null) throw invalid("request body", "", "it is empty; send a docker or OCI archive");
      return { ok: true, ...await context.services.images.load(request.body, request.signal) };
    },
  }),
  route({
    method: "GET",
    path: "/v1/images/save",
    tag: "images",
    operationId: "saveImages",
    summary: "Images as one tar archive.",
    query: z.strictObject({
      ref: repeated.pipe(z.array(imageRef).min(1)),
      format: z.enum(["docker-archive", "oci-archive"]).default("docker-archive"),
    }),
    others: [{ type: "application/x-tar", description: "The archive." }],
    async handle({ query, context }) {
      const archive = await context.services.images.save(query.ref, query.format);
      return streamed("application/x-tar", streamBody(context, () => archive));
    },
  }),
  route({
    method: "POST",
    path: "/v1/login",
    tag: "images",
    operationId: "login",
    summary: "Checks credentials with their registry; the daemon keeps none of it.",
    body: loginBody,
    example: { registry: "registry.example.org", username: "me", password: "secret" },
    result: loginResult,
    async handle({ body, context }) {
      return { ok: true, ...await context.services.images.login(body) };
    },
  }),
];
