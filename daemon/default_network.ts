/** Subnet of the default network: the one asked for, else the first of a few that nothing on the host uses. */

import { writeFileAtomic } from "./persist/atomic.ts";
import { toNyxError } from "./spec/errors.ts";

/** Addresses of a network. */
export interface Subnet {
  /** CIDR. */
  subnet: string;
  gateway: string;
}

/** Tried in this order; the first is what nyxd's users know, and podman's default as well. */
const CANDIDATES: readonly Subnet[] = [88, 89, 90, 91, 92, 93, 94, 95].map((n) => ({
  subnet: `10.${n}.0.0/16`,
  gateway: `10.${n}.0.1`,
}));

async function readChoice(path: string): Promise<Subnet | undefined> {
  try {
    const { subnet, gateway } = JSON.parse(await Deno.readTextFile(path));
    return typeof subnet === "string" && typeof gateway === "string" ? { subnet, gateway } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Sets the network up with the first subnet that the host leaves free. The choice is kept, so that addresses stay when what
 * stood in the way goes.
 *
 * @param asked subnet that a setting names; it is used or refused, never replaced
 * @param path file that keeps the choice
 * @param setUp makes the network; rejects with failed_precondition when the subnet is taken
 * @returns what `setUp` gave, and the subnet it worked with
 * @throws NyxError of the last candidate when none is free
 */
export async function withFreeSubnet<T>(
  asked: Subnet | undefined,
  path: string,
  setUp: (subnet: Subnet) => Promise<T>,
): Promise<{ result: T; chosen: Subnet }> {
  if (asked !== undefined) return { result: await setUp(asked), chosen: asked };
  const kept = await readChoice(path);
  const candidates = kept === undefined ? CANDIDATES : [kept];
  let last: unknown;
  for (const chosen of candidates) {
    try {
      const result = await setUp(chosen);
      if (kept === undefined) await writeFileAtomic(path, JSON.stringify(chosen));
      return { result, chosen };
    } catch (e) {
      if (toNyxError(e).code !== "failed_precondition") throw e;
      last = e;
    }
  }
  throw last;
}
