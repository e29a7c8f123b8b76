/**
 * Attached streams: frames from the client feed a process, its output goes back as frames, its exit ends the exchange.
 *
 * The client going away, or ending its side of the connection, detaches; the process is left alone. Back-pressure holds
 * both ways: input by its window, output because none is asked for before the last was sent.
 */

import type { StreamEvent } from "../spec/api.ts";
import { NyxError, toErrorData } from "../spec/errors.ts";
import { encodeJsonFrame, FRAME, STREAM_TYPE } from "../spec/frames.ts";
import type { ControlContext } from "./context.ts";
import { Feed } from "./feed.ts";
import { FrameMerge } from "./frame_merge.ts";
import { asError, streamBody, streamed } from "./respond.ts";
import type { FrameSource } from "./route.ts";
import type { Attachment, StreamInput } from "./services.ts";

/** What an attached stream needs to know. */
export interface AttachedOptions {
  /** The request's further frames. */
  frames: FrameSource;
  /** What all requests share. */
  context: ControlContext;
  /** The route, for the log. */
  op: string;
  /** Whether standard input was asked for; without it, neither its bytes nor its end reach the process. */
  stdin: boolean;
  /** Takes signals and resizes of an attachment without input. Missing means that they are dropped. */
  control?: (input: StreamInput) => Promise<unknown>;
}

/** Emits an event on the stream. */
export type EmitEvent = (event: StreamEvent) => void;

/** Gives the attachment; may emit events first. Its signal aborts when the client is gone. */
export type OpenAttachment = (emit: EmitEvent, signal: AbortSignal) => Promise<Attachment> | Attachment;

/**
 * The answer of an attached route.
 *
 * @param open gives the attachment; what it throws becomes the last event
 */
export function attachedResponse(open: OpenAttachment, options: AttachedOptions): Response {
  return streamed(STREAM_TYPE, streamBody(options.context, ({ signal }) => exchange(open, options, signal)));
}

async function* exchange(
  open: OpenAttachment,
  { frames, context, op, stdin, control }: AttachedOptions,
  ended: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const gone = new AbortController();
  const signal = AbortSignal.any([ended, gone.signal]);
  const merge = new FrameMerge();
  const emit: EmitEvent = (event) => merge.push(encodeJsonFrame(FRAME.json, event));
  const feed = new Feed({
    frames,
    stdin,
    control,
    log: context.log,
    lost: (reason) => gone.abort(reason),
    send: (frame) => merge.push(frame),
  });
  let attachment: Attachment | undefined;
  const output = async function* (): AsyncGenerator<Uint8Array, void, void> {
    const opened = await open(emit, signal);
    attachment = opened;
    if (signal.aborted) opened.detach();
    else signal.addEventListener("abort", () => opened.detach(), { once: true });
    feed.to(opened);
    yield* opened.output;
    emit(await lastEvent(opened, signal));
  };
  try {
    yield* merge.over(output());
  } catch (e) {
    const cause = signal.aborted && signal.reason instanceof NyxError ? signal.reason : asError(e, context.log, op);
    yield encodeJsonFrame(FRAME.json, { event: "error", error: toErrorData(cause) } satisfies StreamEvent);
  } finally {
    feed.stop();
    if (!signal.aborted) attachment?.detach();
    frames.cancel();
  }
}

async function lastEvent(attachment: Attachment, signal: AbortSignal): Promise<StreamEvent> {
  if (signal.aborted) throw signal.reason;
  const exit = await attachment.exit;
  if (exit === undefined) {
    throw new NyxError("canceled", "The daemon detached from the process, which goes on; attach again to follow it");
  }
  const { code, oomKilled, error } = exit;
  return { event: "exit", exitCode: code, oomKilled, ...(error === undefined ? {} : { error }) };
}
