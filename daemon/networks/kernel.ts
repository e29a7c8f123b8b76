/** Networks on their way into the kernel and out of it, where one try may not do. */

import { NyxError, toNyxError } from "../spec/errors.ts";
import { untilAvailable } from "../supervisor/available.ts";
import type { Stages } from "../supervisor/deps.ts";
import { overlap, poolBlocks } from "./cidr.ts";
import { withBlock } from "./definition.ts";
import type { NetworkRecord } from "./record.ts";

/** How long a network waits, in all, for containers that are gone from the list but not yet from the kernel. */
const LEAVING_TRIES = 100;
const LEAVING_PAUSE_MS = 50;

/**
 * Makes a network with the first block of the pool that no other network and no route of the host has.
 *
 * @throws NyxError resource_exhausted when none is free
 */
export async function makeInPool(
  record: NetworkRecord,
  others: Iterable<NetworkRecord>,
  make: (record: NetworkRecord) => Promise<NetworkRecord>,
): Promise<NetworkRecord> {
  const taken = [...others].flatMap((r) => r.subnets.map((s) => s.subnet));
  for (const block of poolBlocks()) {
    if (taken.some((t) => overlap(t, block))) continue;
    try {
      return await make(withBlock(record, block));
    } catch (e) {
      const { code, details } = toNyxError(e);
      // The context names the interface when a route of the host is in the way; anything else will not get better.
      if (code !== "failed_precondition" || details.context?.["interface"] === undefined) throw e;
    }
  }
  throw new NyxError(
    "resource_exhausted",
    `Could not create network "${record.name}": no block of the pool is free; name one with --subnet`,
  );
}

/** Takes a network out of the kernel. A container that has just been removed may still be on its way out. */
export async function takeAway(network: Stages["network"], name: string): Promise<void> {
  for (let tries = 1;; tries++) {
    try {
      return await untilAvailable(() => network.call("removeNetwork", { name }));
    } catch (e) {
      const { code, details } = toNyxError(e);
      const leaving = code === "failed_precondition" && details.context?.["holder"] !== undefined;
      if (!leaving || tries === LEAVING_TRIES) throw e;
      await new Promise((resolve) => setTimeout(resolve, LEAVING_PAUSE_MS));
    }
  }
}
