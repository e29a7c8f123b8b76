/** The route of logs. */

import { z } from "zod";
import { encodeJsonFrame, FRAME, STREAM_TYPE } from "../../spec/frames.ts";
import { toErrorData } from "../../spec/errors.ts";
import { asError, streamBody, streamed } from "../respond.ts";
import { type Route, route } from "../route.ts";
import { flag, flagOr, moment, tail } from "../schema/values.ts";
import type { LogQuery } from "../services.ts";

const TYPES = { text: "text/plain; charset=utf-8", jsonl: "application/x-ndjson", frames: STREAM_TYPE } as const;

/** Ends a framed log with its error, which text has no place for. */
async function* framedLog(
  log: AsyncIterable<Uint8Array>,
  tell: (e: unknown) => Uint8Array,
): AsyncGenerator<Uint8Array, void, void> {
  try {
    yield* log;
  } catch (e) {
    yield tell(e);
  }
}

/** Ends a log that is followed when its reader is gone, even while nothing is written to it. */
async function* untilGone(log: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array, void, void> {
  const iterator = log[Symbol.asyncIterator]();
  const gone = Promise.withResolvers<{ done: true; value: undefined }>();
  const leave = () => {
    gone.resolve({ done: true, value: undefined });
    iterator.return?.().catch(() => {});
  };
  signal.addEventListener("abort", leave, { once: true });
  try {
    while (!signal.aborted) {
      const next = await Promise.race([iterator.next(), gone.promise]);
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    signal.removeEventListener("abort", leave);
    iterator.return?.().catch(() => {});
  }
}

/** The route of logs. */
export const logRoutes: Route[] = [
  route({
    method: "GET",
    path: "/v1/containers/{id}/logs",
    tag: "containers",
    operationId: "containerLogs",
    summary: "Output of a container as it was kept.",
    description:
      "`format=text` mixes both streams, `jsonl` (or `plain=0`) gives the log's own JSON lines, `frames` keeps the " +
      "streams apart. A body that breaks off instead of ending tells of a failure.",
    query: z.strictObject({
      tail: tail.exactOptional().meta({ description: "Lines from the end, or all." }),
      follow: flagOr(false, "Go on as lines are written."),
      plain: flag.exactOptional().meta({ description: "Older form of `format`: 1 is text, 0 is jsonl." }),
      format: z.enum(["text", "jsonl", "frames"]).exactOptional().meta({ description: "Default text." }),
      since: moment.exactOptional(),
      until: moment.exactOptional(),
      stdout: flagOr(true, "Include standard output."),
      stderr: flagOr(true, "Include standard error."),
      timestamps: flagOr(false, "Put the time before each line."),
      grep: z.string().min(1).max(4096).exactOptional().meta({ description: "Lines with this text alone." }),
    }),
    others: [
      { type: "text/plain", description: "format=text" },
      { type: "application/x-ndjson", description: "format=jsonl" },
      { type: STREAM_TYPE, description: "format=frames" },
    ],
    async handle({ params, query, context }) {
      const { plain, tail: lines, since, until, grep, ...rest } = query;
      const format = query.format ?? (plain === false ? "jsonl" : "text");
      const wanted: LogQuery = {
        ...rest,
        format,
        ...(lines === undefined ? {} : { tail: lines }),
        ...(since === undefined ? {} : { since }),
        ...(until === undefined ? {} : { until }),
        ...(grep === undefined ? {} : { grep }),
      };
      const log = await context.services.containers.logs(params.id, wanted);
      const tell = (e: unknown) => {
        const error = toErrorData(asError(e, context.log, "GET /v1/containers/{id}/logs"));
        return encodeJsonFrame(FRAME.json, { event: "error", error });
      };
      const body = streamBody(context, ({ signal }) => {
        const bytes = untilGone(log, signal);
        return format === "frames" ? framedLog(bytes, tell) : bytes;
      });
      return streamed(TYPES[format], body);
    },
  }),
];
