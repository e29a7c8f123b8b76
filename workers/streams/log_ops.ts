/** Logs over ports: the `logs` operation, and the replay in front of an attachment. */

import { invalid } from "../../daemon/spec/errors.ts";
import { ByteSender } from "../channel.ts";
import type { StreamsStage } from "../protocol.ts";
import type { Attachment } from "./attachment.ts";
import type { StreamsContext } from "./context.ts";
import { type LogFile, logPath } from "./log_file.ts";
import { normaliseTime } from "./log_read.ts";
import { LogReader, type Position } from "./log_reader.ts";

type Request<K extends keyof StreamsStage["ops"]> = StreamsStage["ops"][K]["request"];

const NEVER = new AbortController().signal;

/**
 * Sends a container's log over the request's port.
 *
 * @param writer of the container while it runs
 * @param signal ends a follow
 */
export async function sendLog(
  context: StreamsContext,
  request: Request<"logs">,
  writer: LogFile | undefined,
  signal: AbortSignal,
): Promise<{ lines: number; corrupt: number }> {
  const { id, port, stdout, stderr, grep, format, timestamps, tail, follow } = request;
  const sender = new ByteSender(port);
  const gone = new AbortController();
  port.addEventListener("message", () => {
    if (sender.canceled !== undefined) gone.abort();
  });
  try {
    const filter = {
      stdout,
      stderr,
      since: checkTime("since", request.since),
      until: checkTime("until", request.until),
      grep,
    };
    const reader = new LogReader(context.files, {
      id,
      path: logPath(context.baseDir, id),
      filter,
      format: { format, timestamps },
      tail,
      writer,
      follow,
      stopAt: undefined,
      signal: AbortSignal.any([signal, gone.signal]),
      send: (bytes) => sender.send(bytes),
    });
    await reader.run();
    if (sender.canceled === undefined) sender.end();
    return reader.counts;
  } catch (e) {
    if (sender.canceled !== undefined) return { lines: 0, corrupt: 0 };
    sender.fail(e);
    throw e;
  }
}

/** Puts the last lines of the log, up to where the attachment's own output begins, in front of it. */
export async function replay(
  context: StreamsContext,
  { id, stdout, stderr, replay }: Request<"attach">,
  attachment: Attachment,
  limits: { writer: LogFile | undefined; stopAt: Position | undefined },
): Promise<void> {
  const reader = new LogReader(context.files, {
    id,
    path: logPath(context.baseDir, id),
    filter: { stdout, stderr, since: undefined, until: undefined, grep: undefined },
    format: { format: "frames", timestamps: false },
    tail: replay,
    follow: false,
    signal: NEVER,
    send: (bytes) => {
      attachment.pushReplay(bytes);
      return Promise.resolve();
    },
    ...limits,
  });
  await reader.run();
}

function checkTime(field: string, time: string | undefined): string | undefined {
  if (time === undefined) return undefined;
  const normal = normaliseTime(time);
  if (normal === undefined) throw invalid(field, time, "use an RFC 3339 time such as 2026-01-31T12:00:00Z");
  return normal;
}
