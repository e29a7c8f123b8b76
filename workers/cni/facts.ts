/** What the kernel and the plugins say of a published port or a container, for `nyx network explain`. */

import type { NetworkStage, PathFacts } from "../protocol.ts";
import { facts as nativeFacts } from "../network/facts.ts";
import { checkContainer } from "./container.ts";
import { attachmentsOf, type CniSession } from "./session.ts";

/** Request of the `facts` operation. */
export type FactsRequest = NetworkStage["ops"]["facts"]["request"];

/** Reads all of it. CHECK asks each plugin whether its work is in place. */
export async function facts(s: CniSession, request: FactsRequest): Promise<PathFacts> {
  const found = nativeFacts(s.net, request);
  const { id } = request;
  if (id === undefined) return { ...found, cni: { plugins: [], problems: [] } };
  const attachments = attachmentsOf(s, id);
  const plugins = [...new Set(attachments.flatMap((a) => a.list.plugins.map((p) => p.type)))];
  return { ...found, cni: { plugins, problems: await checkContainer(s, id) } };
}
