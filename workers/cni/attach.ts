/** One container on one network, and off it again: the file first, then the plugins, then the file with what they answered. */

import type { NetworkAttachment } from "../../daemon/spec/container.ts";
import type { NyxError } from "../../daemon/spec/errors.ts";
import type { NetworkResult } from "../protocol.ts";
import { type Netns, openNetns } from "../network/pool.ts";
import { type ActiveContainer, netnsPath } from "../network/session.ts";
import { describeActive } from "../network/container.ts";
import type { Reservation } from "../network/leases.ts";
import type { CachedAttachment } from "./cache.ts";
import type { CapabilityArgs } from "./chain.ts";
import { offers } from "./conflist.ts";
import { portMappings } from "./reservation.ts";
import { endpointOf, hostInterfaces } from "./result.ts";
import { attachmentsOf, type CniSession, type Target } from "./session.ts";

/** What is to be attached. */
export interface Wanted {
  id: string;
  /** The container's name. */
  name: string;
  attachment: NetworkAttachment;
  target: Target;
  ifname: string;
  /** Whether the default route and the ports lead here. */
  gateway: boolean;
  reservation: Reservation;
}

function capabilityArgs({ attachment, gateway, reservation }: Wanted): CapabilityArgs {
  const { ip, ip6, mac, aliases = [] } = attachment;
  const ips = [ip, ip6].filter((text) => text !== undefined);
  return {
    ...(ips.length === 0 ? {} : { ips }),
    ...(mac === undefined ? {} : { mac }),
    ...(aliases.length === 0 ? {} : { aliases }),
    ...(gateway && reservation.ports.length > 0 ? { portMappings: portMappings(reservation.ports) } : {}),
  };
}

/** A sentence for each thing that went wrong. */
export function told(errors: readonly NyxError[]): string {
  return errors.map((e) => e.message).join("; ");
}

/**
 * Attaches. On failure nothing of it is left, or what is left is known and tried again.
 *
 * @throws what the plugins said
 */
export async function attach(s: CniSession, wanted: Wanted): Promise<CachedAttachment> {
  const { id, name, target, ifname, gateway, reservation } = wanted;
  const list = target.list({ ifname, gateway, ports: reservation.ports.length > 0 });
  await s.chain.validate(list);
  const planned: CachedAttachment = {
    containerId: id,
    netns: netnsPath(s.net, id),
    ifname,
    network: target.name,
    // What plugins written for Kubernetes and podman go by.
    args: [["IgnoreUnknown", "1"], ["K8S_POD_NAMESPACE", "nyx"], ["K8S_POD_NAME", name]],
    list,
    capabilityArgs: capabilityArgs(wanted),
    gateway,
    bridged: target.bridged,
  };
  // What an earlier one of that name left goes with this one: plugins know both by container and interface.
  s.pending.delete(planned);
  s.cache.write(planned);
  let undone: NyxError[] = [];
  try {
    const result = await s.chain.add(planned, (errors) => undone = errors);
    const done = { ...planned, result };
    s.cache.write(done);
    try {
      endpointOf(result, { network: target.name, ifname, bridged: target.bridged });
    } catch (e) {
      undone = await s.chain.del(done, result.raw);
      throw e;
    }
    return done;
  } catch (e) {
    if (undone.length === 0) s.cache.remove(planned);
    else keepPending(s, planned, undone);
    throw e;
  }
}

function keepPending(s: CniSession, attachment: CachedAttachment, errors: NyxError[]): void {
  const text = `Container ${attachment.containerId.slice(0, 12)} could not be detached from network ` +
    `"${attachment.network}" wholly, which is tried again: ${told(errors)}`;
  s.pending.set(attachment, text);
  s.net.log("error", text, { id: attachment.containerId, network: attachment.network });
}

/**
 * Detaches, with the configuration that attached. What a plugin cannot do now is kept, and tried again: a container must be able
 * to end and to be removed when a plugin is gone.
 *
 * @returns whether nothing is left
 */
export async function detach(s: CniSession, attachment: CachedAttachment): Promise<boolean> {
  const pinned = s.net.kernel.ns.isPinned(netnsPath(s.net, attachment.containerId));
  const present = { ...attachment, netns: pinned ? netnsPath(s.net, attachment.containerId) : "" };
  const errors = await s.chain.del(present, attachment.result?.raw);
  s.pending.delete(attachment);
  if (errors.length === 0) {
    s.cache.remove(attachment);
    return true;
  }
  keepPending(s, attachment, errors);
  return false;
}

/** Indexes of the host's ends of a container's interfaces, which repairs of a bridge need. */
function portIndexes(s: CniSession, netns: Netns, attachments: readonly CachedAttachment[]): number[] {
  return attachments.map(({ ifname, result }) => {
    const peer = netns.rt.link(ifname)?.peer ?? 0;
    if (peer > 0) return peer;
    const name = result === undefined ? undefined : hostInterfaces(result).at(-1);
    return name === undefined ? 0 : s.net.rt.link(name)?.index ?? 0;
  });
}

/** A container that is attached, as the session keeps it; ports are the plugins' affair, not the table's. */
export function activate(s: CniSession, id: string): ActiveContainer {
  const attachments = attachmentsOf(s, id).filter((a) => a.result !== undefined);
  using netns = openNetns(s.net.kernel, netnsPath(s.net, id), s.net.buffer);
  const endpoints = attachments.map(({ result, network, ifname, bridged }) =>
    endpointOf(result as NonNullable<typeof result>, { network, ifname, bridged })
  );
  const way = endpoints[attachments.findIndex((a) => a.gateway)];
  const active: ActiveContainer = {
    endpoints,
    portIndexes: portIndexes(s, netns, attachments),
    ports: [],
    target: way === undefined ? undefined : {
      ...(way.ip === undefined ? {} : { ip: way.ip }),
      ...(way.ip6 === undefined ? {} : { ip6: way.ip6 }),
    },
  };
  s.net.active.set(id, active);
  s.net.holds.set(id, s.net.leases.get(id)?.ports ?? []);
  return active;
}

/** What the daemon is told of a container that is set up. */
export function describeContainer(s: CniSession, id: string, active: ActiveContainer): NetworkResult {
  const attachments = attachmentsOf(s, id).sort((a, b) => Number(b.gateway) - Number(a.gateway));
  const results = attachments.flatMap(({ result }) => result === undefined ? [] : [result.dns]);
  const dns = {
    nameservers: [...new Set(results.flatMap((d) => d.nameservers))],
    search: [...new Set(results.flatMap((d) => d.search))],
    options: [...new Set(results.flatMap((d) => d.options))],
  };
  const unheard = attachments.filter(({ capabilityArgs, list, bridged }) =>
    capabilityArgs.aliases !== undefined && !bridged && !offers(list, "aliases")
  );
  const notices = unheard.map(({ network }) =>
    `No one finds this container by its aliases in network "${network}": none of its CNI plugins takes aliases`
  );
  return {
    ...describeActive(s.net, id, active),
    ports: s.net.leases.get(id)?.ports ?? [],
    ...(dns.nameservers.length + dns.search.length + dns.options.length === 0 ? {} : { dns }),
    ...(notices.length === 0 ? {} : { notices }),
  };
}
