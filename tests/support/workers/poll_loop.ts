/** A worker whose epoll loop never finds an end of work. Told a shared counter, it begins; each later message it answers. */

import { linuxFile } from "../../../ffi/linux/file.ts";
import { linuxPoll } from "../../../ffi/linux/poll.ts";
import { EPOLL } from "../../../ffi/poll.ts";
import { PollLoop } from "../../../workers/streams/loop.ts";

declare const self: DedicatedWorkerGlobalScope;

/** Work of one handler: about what a portion of output takes. */
const HANDLER_MS = 1;

function begin(counter: Int32Array): void {
  const poll = linuxPoll();
  const loop = new PollLoop(poll, linuxFile(), (e) => {
    throw e;
  });
  // Level-triggered and never taken: always ready.
  loop.add(poll.eventfd(1), EPOLL.IN, () => {
    Atomics.add(counter, 0, 1);
    for (const until = performance.now() + HANDLER_MS; performance.now() < until;);
  });
  void loop.run();
}

let counter: Int32Array | undefined;
self.onmessage = (e: MessageEvent<Int32Array | number>) => {
  if (e.data instanceof Int32Array) begin(counter = e.data);
  else self.postMessage(counter === undefined ? -1 : Atomics.load(counter, 0));
};
