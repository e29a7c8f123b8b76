/** Connects a streams-worker operation that sends bytes over a port with the caller that reads them. */

import type { Attachment, AttachOptions, StreamInput } from "../control/services.ts";
import type { ExitStatus } from "../../workers/protocol.ts";
import { ByteReceiver } from "../../workers/channel.ts";
import type { Stages } from "./deps.ts";

/** A channel whose sending end goes to a worker. */
export interface OutputChannel {
  /** To transfer. */
  port: MessagePort;
  receiver: ByteReceiver;
}

/** Makes a channel for output. */
export function outputChannel(): OutputChannel {
  const { port1, port2 } = new MessageChannel();
  return { port: port1, receiver: new ByteReceiver(port2) };
}

/**
 * Bytes of an operation that streams over a channel: the operation's failure becomes the reader's.
 *
 * @param channel whose port went with the operation
 * @param operation its terminal answer
 */
export function following(channel: OutputChannel, operation: Promise<unknown>): AsyncIterable<Uint8Array> {
  operation.catch((e) => channel.receiver.cancel(e));
  return channel.receiver;
}

/** Feeds decoded input to a container (`id`) or an exec (`id` is its execId). */
export function inputOf(
  streams: Stages["streams"],
  id: string,
  signal: (name: string) => Promise<void>,
): (input: StreamInput) => Promise<void> {
  return async (input) => {
    switch (input.kind) {
      case "stdin": {
        const bytes = input.bytes.slice();
        return await streams.call("stdin", { id, bytes }, { transfer: [bytes.buffer] });
      }
      case "stdinEnd":
        return await streams.call("closeStdin", { id });
      case "resize":
        return await streams.call("resize", { id, rows: input.rows, cols: input.cols });
      case "signal":
        return await signal(input.signal);
      case "channel":
        // A container has none.
        return;
    }
  };
}

/** Puts an attachment together. */
export function attachment(
  channel: OutputChannel,
  output: AsyncIterable<Uint8Array>,
  exit: Promise<ExitStatus | undefined>,
  input: Attachment["input"],
): Attachment {
  exit.catch(() => {});
  return { output, exit, detach: () => channel.receiver.cancel(), ...(input === undefined ? {} : { input }) };
}

/** Terminal size of the options, when both parts are there. */
export function consoleSize(options: Pick<AttachOptions, "rows" | "cols">): { rows: number; cols: number } | undefined {
  return options.rows === undefined || options.cols === undefined
    ? undefined
    : { rows: options.rows, cols: options.cols };
}
