/** What the CNI worker knows between requests, beside what it shares with the native one: lists, attachments, what waits to be undone. */

import { NyxError } from "../../daemon/spec/errors.ts";
import type { NetworkDefinition } from "../protocol.ts";
import type { Network } from "../network/definition.ts";
import type { PortFamilies } from "../network/ports.ts";
import { findNetwork, type Session } from "../network/session.ts";
import type { CachedAttachment, ResultCache } from "./cache.ts";
import type { Chain } from "./chain.ts";
import { type CniVersion, type ConfigList, offers, subnetsOf, withoutDefaultRoute } from "./conflist.ts";
import { describe, discover, type Discovery } from "./discover.ts";
import { type CniDriver, generate, type Place } from "./generate.ts";

function keyOf({ containerId, ifname, network }: CachedAttachment): string {
  return `${containerId} ${ifname} ${network}`;
}

/** Attachments that are to be taken off once it can be done. */
export class Pending {
  readonly #byKey = new Map<string, { attachment: CachedAttachment; text: string }>();

  /** Notes one, and why it is still there. */
  set(attachment: CachedAttachment, text: string): void {
    this.#byKey.set(keyOf(attachment), { attachment, text });
  }

  /** Whether an attachment is one of them. */
  has(attachment: CachedAttachment): boolean {
    return this.#byKey.has(keyOf(attachment));
  }

  /** Takes one off the list. */
  delete(attachment: CachedAttachment): void {
    this.#byKey.delete(keyOf(attachment));
  }

  /** All of them. */
  all(): { attachment: CachedAttachment; text: string }[] {
    return [...this.#byKey.values()];
  }
}

/** A network that nyx made. */
export interface ManagedNetwork {
  definition: NetworkDefinition;
  driver: CniDriver;
  network: Network;
  version: CniVersion;
}

/** The worker's state. */
export interface CniSession {
  /** Bridges, table, namespaces, ports: as in the native worker, but for what plugins do. */
  net: Session;
  chain: Chain;
  cache: ResultCache;
  confDir: string;
  managed: Map<string, ManagedNetwork>;
  /** Attachments whose plugins did not detach them, with what they said; tried again. */
  pending: Pending;
  /** What stands against networks of files, as last read. */
  fileWarnings: string[];
}

/** Where a list has all its plugins. */
export const ANY_PLACE: Place = { ifname: "eth0", gateway: true, ports: true };

/** A network that a container can be attached to. */
export interface Target {
  name: string;
  /** Whether it is a bridge of nyx, with its resolver on the gateway. */
  bridged: boolean;
  internal: boolean;
  /** Families of the addresses that its containers get. */
  families: PortFamilies;
  /** The list for one attachment. */
  list(place: Place): ConfigList;
  network?: Network;
}

/** Attachments of a container that count: not those that are only waiting to be taken off. */
export function attachmentsOf(s: CniSession, id: string): CachedAttachment[] {
  return s.cache.of(id).filter((a) => !s.pending.has(a));
}

/** Reads the configuration directory. */
export function rediscover(s: CniSession): Discovery {
  const found = discover(s.confDir, new Set(s.managed.keys()));
  s.fileWarnings = found.warnings;
  return found;
}

/** Networks of files, as the daemon lists them. */
export function discovered(s: CniSession): ReturnType<typeof describe>[] {
  return [...rediscover(s).lists.values()].map(describe);
}

function managedTarget(s: CniSession, { driver, network, version, definition }: ManagedNetwork): Target {
  const { parent, mode } = definition;
  const leaseDir = `${s.net.baseDir}/network/cni/ipam`;
  const recipe = {
    driver,
    network,
    version,
    leaseDir,
    ...(parent === undefined ? {} : { parent }),
    ...(mode === undefined ? {} : { mode }),
  };
  return {
    name: network.name,
    bridged: driver === "bridge",
    internal: network.internal,
    families: { v4: network.v4 !== undefined, v6: network.v6 !== undefined },
    list: (place) => generate(recipe, place),
    network,
  };
}

/** Families of a file's network; one that does not tell has IPv4. */
function familiesOf(list: ConfigList): PortFamilies {
  const blocks = subnetsOf(list).map((b) => b.subnet);
  return { v4: blocks.length === 0 || blocks.some((b) => !b.includes(":")), v6: blocks.some((b) => b.includes(":")) };
}

/**
 * A network by name; `bridge` and `default` mean the daemon's first.
 *
 * @throws NyxError not_found
 */
export function findTarget(s: CniSession, name: string): Target {
  const known = s.managed.get(name);
  if (known !== undefined) return managedTarget(s, known);
  const file = rediscover(s).lists.get(name);
  if (file !== undefined) {
    const { list } = file;
    return {
      name,
      bridged: false,
      internal: false,
      families: familiesOf(list),
      list: ({ gateway }) => gateway ? list : withoutDefaultRoute(list),
    };
  }
  const first = findNetworkName(s, name);
  const meant = first === undefined ? undefined : s.managed.get(first);
  if (meant !== undefined) return managedTarget(s, meant);
  const why = s.fileWarnings.length === 0 ? "" : `; ${s.fileWarnings.join("; ")}`;
  throw new NyxError(
    "not_found",
    `Could not find network ${JSON.stringify(name)} among those of nyx and the files in ${s.confDir}${why}`,
    { context: { network: name } },
  );
}

function findNetworkName(s: CniSession, name: string): string | undefined {
  try {
    return findNetwork(s.net, name).network.name;
  } catch {
    return undefined;
  }
}

/** What a network cannot do for a container, as the reason of a refusal. */
export function refusal(target: Target, capability: string, what: string): NyxError | undefined {
  const list = target.list(ANY_PLACE);
  if (offers(list, capability)) return undefined;
  return new NyxError(
    "failed_precondition",
    `Could not give ${what} on network "${target.name}": none of its CNI plugins (${
      list.plugins.map((p) => p.type).join(", ")
    }) declares the capability "${capability}"`,
    { context: { network: target.name, capability } },
  );
}
