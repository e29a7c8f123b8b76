/**
 * Attached streams: frames from the client feed a process, its output goes back as frames, its exit ends the exchange.
 *
 * The client going away, or ending its side of the connection, detaches; the process is left alone. Back-pressure holds
 * both ways: no frame is read before the one before was taken, no output is asked for before the last was sent.
 */

import type { z } from "zod";
import type { StreamEvent } from "../spec/api.ts";
import { NyxError, toErrorData } from "../spec/errors.ts";
import { encodeJsonFrame, FRAME, STREAM_TYPE } from "../spec/frames.ts";
import { parseJson } from "./body.ts";
import type { ControlContext } from "./context.ts";
import { asError, streamBody, streamed } from "./respond.ts";
import { ProtocolViolation } from "./frame_source.ts";
import type { FrameSource } from "./route.ts";
import { resizeFrame, signalFrame } from "./schema/requests.ts";
import type { Attachment, StreamInput } from "./services.ts";
import { validate } from "./validate.ts";

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
  /**
   * Takes signals and resizes of an attachment without input. Missing means that they are dropped.
   */
  control?: (input: StreamInput) => Promise<unknown>;
}

/** Emits an event on the stream. */
export type EmitEvent = (event: StreamEvent) => void;

/**
 * The answer of an attached route.
 *
 * @param open gives the attachment; may emit events first. What it throws becomes the last event. Its signal aborts when the
 *   client is gone.
 */
export function attachedResponse(
  open: (emit: EmitEvent, signal: AbortSignal) => Promise<Attachment> | Attachment,
  options: AttachedOptions,
): Response {
  const body = streamBody(options.context, ({ signal }) => exchange(open, options, signal));
  return streamed(STREAM_TYPE, body);
}

async function* exchange(
  open: (emit: EmitEvent, signal: AbortSignal) => Promise<Attachment> | Attachment,
  options: AttachedOptions,
  ended: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const { frames, context, op } = options;
  const gone = new AbortController();
  const signal = AbortSignal.any([ended, gone.signal]);
  const events: Uint8Array[] = [];
  const emitted = { wake: Promise.withResolvers<void>() };
  const emit: EmitEvent = (event) => {
    events.push(encodeJsonFrame(FRAME.json, event));
    emitted.wake.resolve();
  };
  const feed = new Feed(options, (reason) => gone.abort(reason));
  let attachment: Attachment | undefined;
  try {
    const opening = Promise.resolve(open(emit, signal)).then((opened) => {
      attachment = opened;
      if (signal.aborted) opened.detach();
      else signal.addEventListener("abort", () => opened.detach(), { once: true });
      feed.to(opened);
      return opened;
    });
    const opened = opening.then(() => true, () => true);
    for (let done = false; !done;) {
      done = await Promise.race([opened, emitted.wake.promise.then(() => false)]);
      emitted.wake = Promise.withResolvers<void>();
      yield* events.splice(0);
    }
    yield* (await opening).output;
    yield encodeJsonFrame(FRAME.json, await lastEvent(await opening, signal));
  } catch (e) {
    const cause = signal.aborted && signal.reason instanceof NyxError ? signal.reason : asError(e, context.log, op);
    yield* events.splice(0);
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

/** Takes frames from the client from the beginning, so that a client that goes away is noticed while an image is pulled. */
class Feed {
  readonly #options: AttachedOptions;
  readonly #lost: (reason: NyxError) => void;
  readonly #attachment = Promise.withResolvers<Attachment>();
  #stdinOpen: boolean;
  #stopped = false;

  /** @param lost told when the client is gone or broke the protocol */
  constructor(options: AttachedOptions, lost: (reason: NyxError) => void) {
    this.#options = options;
    this.#lost = lost;
    this.#stdinOpen = options.stdin;
    this.#run().catch((e) => {
      this.#lost(
        e instanceof ProtocolViolation ? e : new NyxError("canceled", "The client closed the connection", { cause: e }),
      );
    });
  }

  /** Where the input goes. */
  to(attachment: Attachment): void {
    this.#attachment.resolve(attachment);
  }

  /** Takes no more input: what ends then is the exchange, which is not the end of standard input. */
  stop(): void {
    this.#stopped = true;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const frame = await this.#options.frames.next();
      const input: StreamInput | undefined = frame === undefined ? { kind: "stdinEnd" } : decodeInput(frame);
      if (input !== undefined) await this.#give(await this.#attachment.promise, input);
      if (frame === undefined) return;
    }
  }

  /** A process that takes no more input, or a signal that cannot be sent, is no reason to end the stream. */
  async #give(attachment: Attachment, input: StreamInput): Promise<void> {
    const isStdin = input.kind === "stdin" || input.kind === "stdinEnd";
    if (this.#stopped || (isStdin && !this.#stdinOpen)) return;
    if (input.kind === "stdinEnd") this.#stdinOpen = false;
    try {
      if (attachment.input !== undefined) await attachment.input(input);
      else if (!isStdin) await this.#options.control?.(input);
    } catch (e) {
      if (isStdin) this.#stdinOpen = false;
      this.#options.context.log.debug("input not taken", { op: this.#options.op, kind: input.kind, error: e });
    }
  }
}

function decodeInput(frame: { kind: number; payload: Uint8Array }): StreamInput | undefined {
  switch (frame.kind) {
    case FRAME.stdin:
      return frame.payload.byteLength === 0 ? undefined : { kind: "stdin", bytes: frame.payload };
    case FRAME.stdinEnd:
      return { kind: "stdinEnd" };
    case FRAME.resize:
      return { kind: "resize", ...payloadOf(frame.payload, resizeFrame, "resize frame") };
    case FRAME.signal:
      return { kind: "signal", ...payloadOf(frame.payload, signalFrame, "signal frame") };
    default:
      throw new ProtocolViolation(`A client does not send frames of kind ${frame.kind} after the first`);
  }
}

function payloadOf<T extends z.ZodType>(bytes: Uint8Array, schema: T, where: string): z.output<T> {
  try {
    return validate(schema, parseJson(bytes, where), where);
  } catch (e) {
    throw new ProtocolViolation(e instanceof Error ? e.message : String(e));
  }
}
