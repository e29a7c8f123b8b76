/** Routes that run something and show it: run, start, attach, exec. Each has a framed form and a plain one. */

import { z } from "zod";
import type { RunResult, StreamEvent } from "../../spec/api.ts";
import { NyxError } from "../../spec/errors.ts";
import { FRAME, FrameDecoder, STREAM_TYPE } from "../../spec/frames.ts";
import { attachedResponse } from "../attached.ts";
import type { ControlContext } from "../context.ts";
import { withClient } from "../long_poll.ts";
import { lineOf, streamBody, streamed } from "../respond.ts";
import { type FrameSource, type Route, route } from "../route.ts";
import { prepare, runInBackground, startPrepared } from "../run.ts";
import { CONTAINER_EXAMPLE } from "../schema/container.ts";
import { attachedRun, attachFrame, execBody, runBody } from "../schema/requests.ts";
import {
  execDetached,
  execState,
  pullEvent,
  runLine,
  runResult,
  startResult,
  streamEvent,
} from "../schema/responses.ts";
import type { Attachment, AttachOptions, StreamInput } from "../services.ts";
import { progressLines } from "./images.ts";

const FRAMED = {
  type: STREAM_TYPE,
  description: "When the request is framed: output as frames, JSON frames as below, `exit` or `error` last.",
  schema: streamEvent,
};

/** Signals and resizes of a container whose attachment takes no input. */
function containerControl(context: ControlContext, ref: () => string | undefined) {
  return async (input: StreamInput): Promise<void> => {
    const id = ref();
    if (id === undefined) return;
    if (input.kind === "signal") await context.services.containers.kill(id, input.signal);
    else if (input.kind === "resize") await context.services.containers.resize(id, input.rows, input.cols);
  };
}

function attachOptions(input: z.output<typeof attachFrame>): AttachOptions {
  const { stdin, stdout, stderr, replay, rows, cols } = input;
  return {
    stdin,
    stdout,
    stderr,
    ...(replay === undefined ? {} : { replay }),
    ...(rows === undefined ? {} : { rows }),
    ...(cols === undefined ? {} : { cols }),
  };
}

/** The framed run: pull events, `created`, `started`, output, exit. */
function runAttached(body: z.output<typeof attachedRun>, frames: FrameSource, context: ControlContext): Response {
  let id: string | undefined;
  return attachedResponse(async (emit, signal) => {
    const onEvent = (pull: Extract<StreamEvent, { event: "pull" }>["pull"]) => emit({ event: "pull", pull });
    const created = await prepare(context.services, body, { signal, onEvent });
    id = created.id;
    emit({ event: "created", id, warnings: created.warnings });
    const started = await startPrepared(context.services, created, body.config, attachOptions(body.attach));
    emit({ event: "started", id, pid: started.pid });
    return attachmentOf(started);
  }, {
    frames,
    context,
    op: "POST /v1/containers/run",
    stdin: body.attach.stdin,
    control: containerControl(context, () => id),
  });
}

function attachmentOf(started: { attachment?: Attachment }): Attachment {
  if (started.attachment !== undefined) return started.attachment;
  throw new NyxError("internal", "The process was started without the attachment that was asked for");
}

/** Output without its frames, both streams mixed. */
async function* plainOutput(attachment: Attachment, signal: AbortSignal): AsyncGenerator<Uint8Array, void, void> {
  const decoder = new FrameDecoder();
  signal.addEventListener("abort", () => attachment.detach(), { once: true });
  for await (const chunk of attachment.output) {
    for (const { kind, payload } of decoder.push(chunk)) {
      if (kind === FRAME.stdout || kind === FRAME.stderr) yield payload;
    }
  }
}

/** Output as JSON lines, the exit code last. Bytes that are not UTF-8 are told by their replacement. */
async function* outputLines(attachment: Attachment, signal: AbortSignal): AsyncGenerator<Uint8Array, void, void> {
  const frames = new FrameDecoder();
  const text = { [FRAME.stdout]: new TextDecoder(), [FRAME.stderr]: new TextDecoder() };
  signal.addEventListener("abort", () => attachment.detach(), { once: true });
  for await (const chunk of attachment.output) {
    for (const { kind, payload } of frames.push(chunk)) {
      if (kind !== FRAME.stdout && kind !== FRAME.stderr) continue;
      const data = text[kind].decode(payload, { stream: true });
      if (data !== "") yield lineOf({ stream: kind === FRAME.stdout ? "stdout" : "stderr", data });
    }
  }
  const exit = await attachment.exit;
  yield lineOf(exit === undefined ? { detached: true } : { exit_code: exit.code, oom_killed: exit.oomKilled });
}

const execLine = z.union([
  z.strictObject({ stream: z.enum(["stdout", "stderr"]), data: z.string() }),
  z.strictObject({ exit_code: z.number().int(), oom_killed: z.boolean() }),
  z.strictObject({ detached: z.literal(true) }),
]);

/** Routes that attach. */
export const attachRoutes: Route[] = [
  route({
    method: "POST",
    path: "/v1/containers/run",
    tag: "containers",
    operationId: "runContainer",
    summary: "Pulls the image when needed, makes the container, and starts it.",
    description:
      "Plain: answers when the container runs in the background; with `stream`, the pull's progress comes as " +
      "JSON lines and the last line has phase `run`, or `error`. Framed: stays attached until the container exits.",
    body: runBody,
    example: CONTAINER_EXAMPLE,
    frame: attachedRun,
    result: runResult,
    others: [
      { type: "application/x-ndjson", description: "With `stream`.", schema: z.union([pullEvent, runLine]) },
      FRAMED,
    ],
    async handle({ body, frames, request, context }) {
      if ("attach" in body && frames !== undefined) return runAttached(body, frames, context);
      const op = "POST /v1/containers/run";
      if (!body.stream) {
        return await withClient(request, context.live, (signal) => runInBackground(context.services, body, { signal }));
      }
      return progressLines(context, op, async (onEvent, signal) => {
        const result: RunResult = await runInBackground(context.services, body, { signal, onEvent });
        return { phase: "run", ...result, container_id: result.id, ref: result.image };
      });
    },
  }),
  route({
    method: "POST",
    path: "/v1/containers/{id}/start",
    tag: "containers",
    operationId: "startContainer",
    summary: "Starts a container that does not run.",
    description: "Framed: with the attachment in place before the first byte of output.",
    frame: attachFrame,
    result: startResult,
    others: [FRAMED],
    async handle({ params, body, frames, context }) {
      const { containers } = context.services;
      if (body === undefined || frames === undefined) {
        const { id, pid } = await containers.start(params.id);
        return { ok: true, id, pid };
      }
      const started = await containers.start(params.id, attachOptions(body));
      return attachedResponse((emit) => {
        emit({ event: "started", id: started.id, pid: started.pid });
        return attachmentOf(started);
      }, {
        frames,
        context,
        op: "POST /v1/containers/{id}/start",
        stdin: body.stdin,
        control: containerControl(context, () => started.id),
      });
    },
  }),
  route({
    method: "POST",
    path: "/v1/containers/{id}/attach",
    tag: "containers",
    operationId: "attachContainer",
    summary: "Attaches to a running container; framed only.",
    frame: attachFrame,
    others: [FRAMED],
    async handle({ params, body, frames, context }) {
      if (body === undefined || frames === undefined) {
        throw new NyxError("invalid_argument", `Attaching needs a framed request: send Content-Type: ${STREAM_TYPE}`, {
          context: { field: "Content-Type" },
        });
      }
      const attachment = await context.services.containers.attach(params.id, attachOptions(body));
      const control = containerControl(context, () => params.id);
      const op = "POST /v1/containers/{id}/attach";
      return attachedResponse(() => attachment, { frames, context, op, stdin: body.stdin, control });
    },
  }),
  route({
    method: "POST",
    path: "/v1/containers/{id}/exec",
    tag: "containers",
    operationId: "execContainer",
    summary: "Runs a program in a running container.",
    description:
      "Framed: input, output and exit in one exchange. Plain: the output's bytes, both streams mixed; header " +
      "`Nyx-Exec-Id` names the exec, whose exit code GET /v1/containers/{id}/exec/{execId} tells afterwards. With " +
      "`Accept: application/x-ndjson`: output as JSON lines, the last with `exit_code`. With `detach`: answers at once.",
    body: execBody,
    example: { argv: ["ls", "-l", "/"], workingDir: "/" },
    frame: execBody,
    result: execDetached,
    others: [
      { type: "application/octet-stream", description: "Plain." },
      { type: "application/x-ndjson", description: "When the request accepts it.", schema: execLine },
      FRAMED,
    ],
    async handle({ params, body, frames, request, context }) {
      const framed = frames !== undefined;
      const asked = framed ? { ...body, detach: false } : { ...body, stdin: false };
      const { execId, pid, attachment } = await context.services.containers.exec(params.id, asked);
      if (attachment === undefined) {
        if (framed) frames.cancel();
        if (asked.detach === true) {
          return { ok: true, id: params.id, exec_id: execId, ...(pid === undefined ? {} : { pid }) };
        }
        throw new NyxError("internal", `Exec ${execId} was started without its output`);
      }
      if (framed) {
        const stdin = asked.stdin ?? false;
        return attachedResponse((emit) => {
          emit({ event: "started", id: execId, pid: pid ?? 0 });
          return attachment;
        }, { frames, context, op: "POST /v1/containers/{id}/exec", stdin });
      }
      context.execs.add(params.id, execId, attachment.exit);
      const lines = (request.headers.get("accept") ?? "").includes("application/x-ndjson");
      const body_ = streamBody(context, ({ signal }) => (lines ? outputLines : plainOutput)(attachment, signal));
      return streamed(lines ? "application/x-ndjson" : "application/octet-stream", body_, { "nyx-exec-id": execId });
    },
  }),
  route({
    method: "GET",
    path: "/v1/containers/{id}/exec/{execId}",
    tag: "containers",
    operationId: "execState",
    summary: "Whether an unframed exec still runs, and its exit code.",
    description: "The last 1024 execs are remembered.",
    result: execState,
    handle({ params, context }) {
      const state = context.execs.get(params.execId);
      if (state !== undefined) return state;
      throw new NyxError("not_found", `There is no exec ${JSON.stringify(params.execId)}, or it is forgotten`, {
        context: { execId: params.execId },
      });
    },
  }),
];
