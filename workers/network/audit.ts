/** `nyx system check`, the network's part: what the kernel has against what this worker set up. */

import { NftError } from "../../ffi/nftables/nft.ts";
import type { NetworkStage } from "../protocol.ts";
import { elementsOfMaps } from "./facts.ts";
import { allElements } from "./ruleset.ts";
import { type Session, syncTable } from "./session.ts";

/** Request of the `audit` operation. */
export type AuditRequest = NetworkStage["ops"]["audit"]["request"];
/** Its result. */
export type AuditResult = NetworkStage["ops"]["audit"]["result"];

/** Elements that published ports should have, each with its container. */
function wanted(s: Session): Map<string, string> {
  const all = new Map<string, string>();
  for (const [id, { ports, target }] of s.active) {
    if (target === undefined) continue;
    for (const [map, rows] of allElements(ports, target)) {
      for (const [key, value] of rows) all.set(`${map} ${key} : ${value}`, id);
    }
  }
  return all;
}

/** Containers whose namespace is pinned. */
function pinned(s: Session): string[] {
  return [...Deno.readDirSync(s.netnsDir)].map((e) => e.name).filter((n) => s.kernel.ns.isPinned(`${s.netnsDir}/${n}`));
}

/** Compares; with `repair` the table is made anew where it differs. */
export function audit(s: Session, { repair }: AuditRequest): AuditResult {
  const should = wanted(s);
  let found = new Set<string>();
  try {
    found = new Set(elementsOfMaps(s));
  } catch (e) {
    if (!(e instanceof NftError)) throw e;
  }
  const missing = [...should].filter(([element]) => !found.has(element)).map(([element, id]) => ({ id, element }));
  const extra = [...found].filter((element) => !should.has(element));
  if (repair && missing.length + extra.length > 0) {
    s.tableStale = true;
    syncTable(s);
  }
  return { namespaces: pinned(s), missing, extra };
}
