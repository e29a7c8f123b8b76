/** Volumes as tar streams, from and to the rootfs worker, which no name or link in an archive leads out of the volume. */

import { ByteReceiver, sendBody } from "../../workers/channel.ts";
import type { WorkerHost } from "../../workers/host.ts";
import type { RootfsStage } from "../../workers/protocol.ts";

type Worker = Pick<WorkerHost<RootfsStage>, "call">;

/**
 * What is in a directory.
 *
 * @param dir of the volume
 */
export async function* readVolume(worker: Worker, dir: string): AsyncGenerator<Uint8Array, void, void> {
  const { port1, port2 } = new MessageChannel();
  const receiver = new ByteReceiver(port2);
  const root = { kind: "dir" as const, path: dir };
  const operation = worker.call("archive", { root, path: "/", contents: true, follow: false, port: port1 }, {
    transfer: [port1],
  });
  operation.catch((e) => receiver.cancel(e));
  yield* receiver;
  await operation;
}

/**
 * Unpacks a tar into a directory; files of the same name give way.
 *
 * @returns members that were written
 */
export async function writeVolume(
  worker: Worker,
  dir: string,
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<number> {
  const { port1, port2 } = new MessageChannel();
  const root = { kind: "dir" as const, path: dir };
  const operation = worker.call("unarchive", { root, path: "/", port: port1 }, { transfer: [port1], signal });
  return (await sendBody(port2, body, operation)).entries;
}
