/** Input of an attached stream: from the client's frames to the process. */

import type { z } from "zod";
import { NyxError } from "../spec/errors.ts";
import { encodeFrame, FRAME, parseChannel, STDIN_WINDOW } from "../spec/frames.ts";
import { parseJson } from "./body.ts";
import type { ControlLog } from "./context.ts";
import { ProtocolViolation } from "./frame_source.ts";
import type { FrameSource } from "./route.ts";
import { resizeFrame, signalFrame } from "./schema/requests.ts";
import type { Attachment, StreamInput } from "./services.ts";
import { validate } from "./validate.ts";

/** Credit is given back in pieces of at least this many bytes. */
const CREDIT_STEP = STDIN_WINDOW / 4;

/** What a feed needs to know, and whom it tells. */
export interface FeedOptions {
  /** The client's frames. */
  frames: FrameSource;
  /** Whether standard input was asked for; without it, neither its bytes nor its end reach the process. */
  stdin: boolean;
  /** Takes signals and resizes of an attachment without input. Missing means that they are dropped. */
  control?: ((input: StreamInput) => Promise<unknown>) | undefined;
  /** The daemon's log. */
  log: ControlLog;
  /** Hears that the client is gone, or broke the protocol. */
  lost: (reason: NyxError) => void;
  /** Sends a frame to the client. */
  send: (frame: Uint8Array) => void;
}

/**
 * Reads the client's frames from the beginning and without pause, so that a client that goes is noticed while an image is pulled
 * or while input waits, and a signal overtakes input that nobody takes. What waits is bounded by the window.
 */
export class Feed {
  readonly #options: FeedOptions;
  readonly #attachment = Promise.withResolvers<Attachment>();
  readonly #waiting: (Uint8Array | "end")[] = [];
  #wake: () => void = () => {};
  #window = STDIN_WINDOW;
  #takesStdin: boolean;
  #stopped = false;

  /** Begins to read. */
  constructor(options: FeedOptions) {
    this.#options = options;
    this.#takesStdin = options.stdin;
    this.#read().catch((e) => {
      if (this.#stopped) return;
      const gone = e instanceof ProtocolViolation
        ? e
        : new NyxError("canceled", "The client closed the connection", { cause: e });
      options.lost(gone);
    });
    this.#deliver().catch((e) => options.log.debug("input not taken", { error: e }));
  }

  /** Where the input goes. */
  to(attachment: Attachment): void {
    this.#attachment.resolve(attachment);
  }

  /** Takes no more input: what ends then is the exchange, which is not the end of standard input. */
  stop(): void {
    this.#stopped = true;
    this.#waiting.length = 0;
    this.#wake();
  }

  async #read(): Promise<void> {
    while (!this.#stopped) {
      const frame = await this.#options.frames.next();
      if (this.#stopped) return;
      if (frame === undefined) return this.#queue("end");
      const { kind, payload } = frame;
      if (kind === FRAME.stdinEnd) this.#queue("end");
      else if (kind === FRAME.stdin) this.#queueBytes(payload);
      else await this.#steer(decodeControl(kind, payload));
    }
  }

  #queueBytes(bytes: Uint8Array): void {
    this.#window -= bytes.byteLength;
    if (this.#window < 0) {
      throw new ProtocolViolation(
        `More standard input was sent than the window of ${STDIN_WINDOW} bytes and its credit allow; wait for credit frames`,
      );
    }
    if (bytes.byteLength > 0) this.#queue(bytes);
  }

  #queue(item: Uint8Array | "end"): void {
    this.#waiting.push(item);
    this.#wake();
  }

  /** A signal that cannot be sent is no reason to end the stream. */
  async #steer(input: StreamInput): Promise<void> {
    const attachment = await this.#attachment.promise;
    try {
      if (attachment.input !== undefined) await attachment.input(input);
      else await this.#options.control?.(input);
    } catch (e) {
      this.#options.log.debug("input not taken", { kind: input.kind, error: e });
    }
  }

  /** Gives the process what waits, in order. One that takes no more input has the rest dropped. */
  async #deliver(): Promise<void> {
    const attachment = await this.#attachment.promise;
    let spent = 0;
    while (!this.#stopped) {
      const item = this.#waiting.shift();
      if (item === undefined) {
        await new Promise<void>((resolve) => this.#wake = resolve);
        continue;
      }
      if (this.#takesStdin && attachment.input !== undefined) await this.#give(attachment.input, item);
      if (item === "end") continue;
      spent += item.byteLength;
      if (spent < CREDIT_STEP || this.#stopped) continue;
      this.#window += spent;
      this.#options.send(creditFrame(spent));
      spent = 0;
    }
  }

  async #give(input: NonNullable<Attachment["input"]>, item: Uint8Array | "end"): Promise<void> {
    if (item === "end") this.#takesStdin = false;
    try {
      await input(item === "end" ? { kind: "stdinEnd" } : { kind: "stdin", bytes: item });
    } catch (e) {
      this.#takesStdin = false;
      this.#options.log.debug("input not taken", { kind: "stdin", error: e });
    }
  }
}

function creditFrame(bytes: number): Uint8Array {
  const payload = new Uint8Array(4);
  new DataView(payload.buffer).setUint32(0, bytes);
  return encodeFrame(FRAME.credit, payload);
}

function decodeControl(kind: number, payload: Uint8Array): StreamInput {
  switch (kind) {
    case FRAME.resize:
      return { kind: "resize", ...payloadOf(payload, resizeFrame, "resize frame") };
    case FRAME.signal:
      return { kind: "signal", ...payloadOf(payload, signalFrame, "signal frame") };
    case FRAME.channel:
      return channelInput(payload);
    default:
      throw new ProtocolViolation(`A client does not send frames of kind ${kind} after the first`);
  }
}

function channelInput(payload: Uint8Array): StreamInput {
  const channel = parseChannel(payload);
  if (channel === undefined) throw new ProtocolViolation("A channel frame has no number");
  return { kind: "channel", ...channel };
}

function payloadOf<T extends z.ZodType>(bytes: Uint8Array, schema: T, where: string): z.output<T> {
  try {
    return validate(schema, parseJson(bytes, where), where);
  } catch (e) {
    throw new ProtocolViolation(e instanceof Error ? e.message : String(e));
  }
}
