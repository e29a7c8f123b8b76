/** Networks that files of the CNI configuration directory define, as records beside nyx's own. Nothing of them is kept on disk. */

import { createHash } from "node:crypto";
import type { DiscoveredNetwork } from "../../workers/protocol.ts";
import type { NetworkFile } from "../spec/api.ts";
import { type NetworkRecord, networkRecord } from "./record.ts";

/** A record of a network that nyx did not make. */
export type FileRecord = NetworkRecord & { cni: NetworkFile };

/** The record of a file's network; its id follows from its name, so that it is the same after a restart. */
export function fileRecord(found: DiscoveredNetwork): FileRecord {
  const { name, modified, driver, bridge, subnets, file, cniVersion: version, plugins } = found;
  const fields = networkRecord({
    id: createHash("sha256").update(`cni network ${name}`).digest("hex"),
    name,
    created: modified,
    default: false,
    driver,
    bridge,
    subnets: subnets.map(({ subnet, gateway }) => ({ subnet, gateway })),
    internal: false,
    labels: {},
    options: {},
  });
  return { ...fields, cni: { file, version, plugins } };
}
