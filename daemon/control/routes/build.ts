/** Routes about builds. */

import type { BuildRequest, BuildResult } from "../../spec/build.ts";
import { NyxError } from "../../spec/errors.ts";
import { STREAM_TYPE } from "../../spec/frames.ts";
import { attachedResponse } from "../attached.ts";
import { withClient } from "../long_poll.ts";
import { type Route, route } from "../route.ts";
import { buildFrame, buildPruneResult, buildResult } from "../schema/build.ts";
import { streamEvent } from "../schema/responses.ts";
import type { BuildService } from "../services.ts";

/** Longest request: secrets and the Dockerfile are in it. */
const MAX_BODY = 32 * 1024 * 1024;

/** A build without a context, whose output nobody reads. */
async function buildInSilence(service: BuildService, request: BuildRequest, gone: AbortSignal): Promise<BuildResult> {
  const { upload: _, ...alone } = request;
  let result: BuildResult | undefined;
  const attachment = service.build(alone, (event) => {
    if (event.event === "built") result = { id: event.id, refs: event.refs };
  });
  const leave = () => attachment.detach();
  gone.addEventListener("abort", leave, { once: true });
  try {
    await attachment.input?.({ kind: "stdinEnd" });
    for await (const _ of attachment.output);
    await attachment.exit;
  } finally {
    gone.removeEventListener("abort", leave);
  }
  if (result === undefined) throw new NyxError("internal", "The build ended without an image");
  return result;
}

/** Routes about builds. */
export const buildRoutes: Route[] = [
  route({
    method: "POST",
    path: "/v1/build",
    tag: "images",
    operationId: "buildImage",
    summary: "Builds an image from a Dockerfile and a context.",
    description:
      "The first frame is the request, the standard input after it one tar: the context below `0/`, further directories below " +
      "`1/` and so on. The answer has the build's output, `built` with the image, then `exit`; or `error`. Closing the connection " +
      "gives the build up.",
    frame: buildFrame,
    body: buildFrame,
    maxBytes: MAX_BODY,
    example: { dockerfile: "FROM busybox\nRUN echo hello > /hello\n", tags: ["hello"] },
    result: buildResult,
    others: [{
      type: STREAM_TYPE,
      description: "When the request is framed: output and events as frames.",
      schema: streamEvent,
    }],
    async handle({ body, frames, request, context }) {
      const { build } = context.services;
      if (frames === undefined) {
        const built = await withClient(request, context.live, (signal) => buildInSilence(build, body, signal));
        return { ok: true, ...built };
      }
      return attachedResponse((emit) => build.build(body, emit), {
        frames,
        context,
        op: "POST /v1/build",
        stdin: true,
      });
    },
  }),
  route({
    method: "POST",
    path: "/v1/build/prune",
    tag: "images",
    operationId: "pruneBuildCache",
    summary: "Forgets the steps of earlier builds.",
    result: buildPruneResult,
    async handle({ context }) {
      return { ok: true, ...await context.services.build.prune() };
    },
  }),
];
