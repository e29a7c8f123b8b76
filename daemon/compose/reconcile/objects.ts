/** Networks and volumes of a project, as the daemon is asked for them. */

import type { NetworkCreateRequest } from "../../spec/api.ts";
import type { ComposeNetwork, ComposeVolume } from "../../spec/compose.ts";
import { defined } from "../dictionary.ts";
import { objectHash } from "../hash.ts";
import { COMPOSE_VERSION, LABEL } from "../labels.ts";

/** Options that nyx's networks know, by driver; of bridges the others have been warned about. */
const MTU = ["com.docker.network.driver.mtu", "mtu"];
const BRIDGE_OPTIONS = new Set([...MTU, "com.docker.network.bridge.name"]);
const SHARED_OPTIONS = new Set([...MTU, "parent", "macvlan_mode", "ipvlan_mode"]);
/** Drivers that share an interface of the host. */
const SHARING = new Set(["macvlan", "ipvlan"]);

/** Labels by which a project's network or volume is found. */
function labels(
  project: string,
  kind: typeof LABEL.network | typeof LABEL.volume,
  key: string,
  object: ComposeNetwork | ComposeVolume,
): Record<string, string> {
  return {
    ...object.labels,
    [LABEL.project]: project,
    [kind]: key,
    [LABEL.hash]: objectHash(object),
    [LABEL.version]: COMPOSE_VERSION,
  };
}

/** What makes a network. */
export function networkRequest(project: string, key: string, network: ComposeNetwork): NetworkCreateRequest {
  const subnets = (network.ipam?.config ?? []).filter((block) => block.subnet !== undefined).map((block) =>
    defined({
      subnet: block.subnet,
      gateway: block.gateway,
      ipRange: block.ip_range,
      auxAddresses: block.aux_addresses,
    })
  );
  const shares = SHARING.has(network.driver ?? "");
  const known = shares ? SHARED_OPTIONS : BRIDGE_OPTIONS;
  const options = Object.entries(network.driver_opts ?? {}).filter(([name]) => known.has(name));
  return defined({
    name: network.name,
    driver: shares ? network.driver : undefined,
    subnets: subnets.length === 0 ? undefined : subnets,
    internal: network.internal,
    ipv4: network.enable_ipv4 === false ? false : undefined,
    ipv6: network.enable_ipv6 === true ? true : undefined,
    labels: labels(project, LABEL.network, key, network),
    options: options.length === 0 ? undefined : Object.fromEntries(options),
  });
}

/** What makes a volume. */
export function volumeRequest(
  project: string,
  key: string,
  volume: ComposeVolume,
): { name: string; options: Record<string, string>; labels: Record<string, string> } {
  return {
    name: volume.name,
    options: volume.driver_opts ?? {},
    labels: labels(project, LABEL.volume, key, volume),
  };
}
