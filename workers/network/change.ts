/**
 * Changing the networks of a running container: links are taken out and plugged in while its process runs, and the default route
 * and the published ports follow.
 */

import { NyxError } from "../../daemon/spec/errors.ts";
import { isErrno } from "../../ffi/errno.ts";
import { deleteLink, deleteRoute } from "../../ffi/netlink/requests.ts";
import type { NetworkResult, NetworkStage } from "../protocol.ts";
import { describeActive, planEndpoints, portTarget } from "./container.ts";
import { isDirect, isRouted } from "./definition.ts";
import {
  describeEndpoint,
  type EndpointPlan,
  ensureEndpoint,
  forgetNeighbour,
  hasOwnMac,
  isOwnKind,
} from "./endpoint.ts";
import type { Reservation } from "./leases.ts";
import { type Netns, openNetns } from "./pool.ts";
import { samePort } from "./ports.ts";
import { occupy, republish } from "./publish.ts";
import { reserve, restore } from "./reservation.ts";
import { type ActiveContainer, netnsPath, type Session } from "./session.ts";

/** Request of the `change` operation. */
export type ChangeRequest = NetworkStage["ops"]["change"]["request"];

function sameConnection(a: EndpointPlan, b: EndpointPlan): boolean {
  return a.network.name === b.network.name && a.name === b.name && a.lease.ip === b.lease.ip &&
    a.lease.ip6 === b.lease.ip6 && a.lease.mac === b.lease.mac;
}

/** Takes one connection out. Missing is no error; an interface of that name that the container made itself stays. */
function unplug(s: Session, netns: Netns, { name, lease, bridgeIndex }: EndpointPlan): void {
  const link = netns.rt.link(name);
  if (link !== undefined && isOwnKind(link)) netns.rt.run(deleteLink(link.index));
  if (hasOwnMac(lease)) forgetNeighbour(s.rt, bridgeIndex, lease);
  const { ip, ip6 } = lease;
  s.flows.gone({ ...(ip === undefined ? {} : { ip }), ...(ip6 === undefined ? {} : { ip6 }) });
}

/** Takes away the default route of a family through a connection that stays, when no other takes its place. */
function dropRoute(netns: Netns, before: readonly EndpointPlan[], after: readonly EndpointPlan[], family: 4 | 6): void {
  const leads = (plan: EndpointPlan) => family === 4 ? plan.route4 : plan.route6;
  const old = before.find(leads);
  if (old === undefined || after.some(leads)) return;
  const subnet = family === 4 ? old.network.v4 : old.network.v6;
  const link = netns.rt.link(old.name);
  if (link === undefined || subnet === undefined) return;
  try {
    const route = isRouted(old.network) ? { family } : { gateway: subnet.gateway };
    netns.rt.run(deleteRoute({ ...route, index: link.index }));
  } catch (e) {
    if (!isErrno(e, "ESRCH", "ENOENT")) throw e;
  }
}

/** Makes the kernel agree with a reservation that replaces another one. */
function rebuild(s: Session, id: string, from: Reservation, to: Reservation): ActiveContainer {
  using netns = openNetns(s.kernel, netnsPath(s, id), s.buffer);
  const [before, after] = [planEndpoints(s, from), planEndpoints(s, to)];
  const old = s.active.get(id);
  const next: ActiveContainer = {
    endpoints: after.map(describeEndpoint),
    portIndexes: [],
    ports: to.ports,
    target: portTarget(after),
  };
  for (const plan of before) if (!after.some((a) => sameConnection(a, plan))) unplug(s, netns, plan);
  for (const family of [4, 6] as const) dropRoute(netns, before, after, family);
  for (const plan of after) {
    const kept = before.some((b) => sameConnection(b, plan) && b.route4 === plan.route4 && b.route6 === plan.route6);
    const link = kept ? netns.rt.link(plan.name) : undefined;
    const peer = link !== undefined && isDirect(plan.network) ? 0 : link?.peer;
    next.portIndexes.push(peer ?? ensureEndpoint(s.kernel.ns, s.rt, id, plan, netns));
  }
  s.active.set(id, next);
  republish(s, [old], [next]);
  occupy(s, id, next);
  const closed = old?.ports.filter((p) => !next.ports.some((q) => samePort(p, q))) ?? [];
  if (old?.target !== undefined) s.flows.unpublished(closed, old.target);
  return next;
}

/**
 * Brings a running container's networks to what the request says.
 *
 * @throws NyxError failed_precondition when it has no namespace; what reserving throws; the container is then as it was
 */
export async function change(s: Session, request: ChangeRequest): Promise<NetworkResult> {
  const { id, name } = request;
  const previous = s.leases.get(id);
  if (!s.active.has(id) || previous === undefined || !s.kernel.ns.isPinned(netnsPath(s, id))) {
    throw new NyxError(
      "failed_precondition",
      `Could not change the networks of container ${name}: it has no network namespace of nyx; start it first`,
    );
  }
  const reservation = reserve(s, request);
  const durable = s.leases.commit();
  durable.catch(() => {});
  try {
    const active = rebuild(s, id, previous, reservation);
    await durable;
    return describeActive(s, id, active);
  } catch (e) {
    restore(s, id, previous);
    try {
      rebuild(s, id, reservation, previous);
    } catch (error) {
      s.log("error", "Could not undo a failed change of networks wholly", { id, error: String(error) });
    }
    s.leases.commit().catch((error) => s.log("error", "Could not write leases", { error: String(error) }));
    throw e;
  }
}
