/**
 * Changing the networks of a running container. What CNI has no words for is refused: the default route and the published ports
 * of a running container do not move from one network to another, and ports do not come or go.
 */

import { NyxError } from "../../daemon/spec/errors.ts";
import { tryParseIp } from "../../ffi/ip_address.ts";
import { addRoute } from "../../ffi/netlink/requests.ts";
import type { NetworkEndpoint, NetworkResult, NetworkStage } from "../protocol.ts";
import type { Reservation } from "../network/leases.ts";
import { openNetns } from "../network/pool.ts";
import { completePorts, samePort } from "../network/ports.ts";
import { restore } from "../network/reservation.ts";
import type { PublishedPort } from "../network/ruleset.ts";
import { netnsPath } from "../network/session.ts";
import { activate, attach, describeContainer, detach } from "./attach.ts";
import type { CachedAttachment } from "./cache.ts";
import { interfacesInside } from "./container.ts";
import { type Plan, plan, reserve } from "./reservation.ts";
import { endpointOf } from "./result.ts";
import { attachmentsOf, type CniSession } from "./session.ts";

/** Request of the `change` operation. */
export type ChangeRequest = NetworkStage["ops"]["change"]["request"];

function refuse(name: string, why: string): NyxError {
  return new NyxError("failed_precondition", `Could not change the networks of container ${name}: ${why}`);
}

const STOP_FIRST = "with --net-driver cni that is done while the container is stopped";

/** Whether ports asked for are those that are published; a host port that the daemon chose is any. */
export function samePorts(wanted: readonly PublishedPort[], published: readonly PublishedPort[]): boolean {
  return wanted.length === published.length && wanted.every((port, i) => {
    const old = published[i];
    return old !== undefined &&
      samePort({ ...port, hostPort: port.hostPort === 0 ? old.hostPort : port.hostPort }, old);
  });
}

/** Refuses what plugins cannot do to a container that runs. */
function checkPossible(s: CniSession, request: ChangeRequest, before: Reservation, planned: Plan): void {
  const { name } = request;
  const { wanted, gateway } = planned;
  const stays = wanted.some((w) => w.target.name === before.gateway);
  const way = wanted.find((w) => w.target.name === gateway);
  if (before.gateway !== undefined && !stays && before.ports.length > 0 && wanted.length > 0) {
    throw refuse(name, `its published ports lead to network ${before.gateway}, and cannot be moved; ${STOP_FIRST}`);
  }
  if (stays && way !== undefined) {
    const priority = way.attachment.gatewayPriority ?? 0;
    const higher = wanted.find((w) => !w.target.internal && (w.attachment.gatewayPriority ?? 0) > priority);
    if (higher !== undefined) {
      const text =
        `network ${higher.target.name} has a higher gateway priority than ${gateway}, and the default route of a ` +
        `running container stays; ${STOP_FIRST}`;
      throw refuse(name, text);
    }
    const options = { defaultHostIp: s.net.defaultPublishIp, families: way.target.families };
    if (!samePorts(completePorts(request.ports, options), before.ports)) {
      throw refuse(name, `CNI's portmap is told of ports when a network is attached, and not later; ${STOP_FIRST}`);
    }
  }
}

/** Attachments that a request does not want, or wants with other addresses. */
function leaving(s: CniSession, id: string, { wanted }: Plan): CachedAttachment[] {
  return s.cache.of(id).filter((a) => !wanted.some((w) => w.target.name === a.network));
}

/** Gives the default route to a network that stays, when the one that had it goes. */
function routeThrough(s: CniSession, id: string, ifname: string, endpoint: NetworkEndpoint): void {
  using netns = openNetns(s.net.kernel, netnsPath(s.net, id), s.net.buffer);
  const link = netns.rt.link(ifname);
  for (const text of [endpoint.gateway, endpoint.gateway6]) {
    const gateway = text === undefined ? undefined : tryParseIp(text);
    if (link !== undefined && gateway !== undefined) netns.rt.run(addRoute({ gateway, index: link.index }));
  }
}

/** Makes an attachment the one with the default route. */
function promote(s: CniSession, id: string, network: string): void {
  const attachment = attachmentsOf(s, id).find((a) => a.network === network);
  if (attachment?.result === undefined || attachment.gateway) return;
  const { ifname, bridged } = attachment;
  routeThrough(s, id, ifname, endpointOf(attachment.result, { network, ifname, bridged }));
  s.cache.write({ ...attachment, gateway: true });
}

async function plugIn(
  s: CniSession,
  request: ChangeRequest,
  planned: Plan,
  to: Reservation,
): Promise<CachedAttachment[]> {
  const { id, name } = request;
  const old = new Set(attachmentsOf(s, id).map((a) => a.network));
  const had = attachmentsOf(s, id).some((a) => a.gateway && planned.wanted.some((w) => w.target.name === a.network));
  const added: CachedAttachment[] = [];
  try {
    for (const { attachment, target } of planned.wanted) {
      if (old.has(target.name)) continue;
      const taken = new Set([...interfacesInside(s, id), ...s.cache.of(id).map((a) => a.ifname)]);
      let position = 0;
      while (taken.has(`eth${position}`)) position++;
      const gateway = target.name === planned.gateway && !had;
      added.push(await attach(s, { id, name, attachment, target, ifname: `eth${position}`, gateway, reservation: to }));
    }
    return added;
  } catch (e) {
    for (const attachment of added.toReversed()) await detach(s, attachment);
    throw e;
  }
}

/**
 * Brings a running container's networks to what the request says: new ones are attached first, so that a failure leaves the
 * container as it was.
 *
 * @throws NyxError failed_precondition for what CNI cannot do to a container that runs; what plugins say
 */
export async function change(s: CniSession, request: ChangeRequest): Promise<NetworkResult> {
  const { id, name } = request;
  const { net } = s;
  const before = net.leases.get(id);
  if (!net.active.has(id) || before === undefined || !net.kernel.ns.isPinned(netnsPath(net, id))) {
    throw refuse(name, "it has no network namespace of nyx; start it first");
  }
  const planned = plan(s, request, before.gateway);
  checkPossible(s, request, before, planned);
  const goes = leaving(s, id, planned);
  const kept = before.gateway !== undefined && before.gateway === planned.gateway;
  const to = kept ? before : reserve(s, request, planned);
  try {
    await net.leases.commit();
    await plugIn(s, request, planned, to);
  } catch (e) {
    restore(net, id, before);
    activate(s, id);
    net.leases.commit().catch((error) => net.log("error", "Could not write leases", { error: String(error) }));
    throw e;
  }
  for (const attachment of goes.toReversed()) await detach(s, attachment);
  if (planned.gateway !== undefined) promote(s, id, planned.gateway);
  return describeContainer(s, id, activate(s, id));
}
