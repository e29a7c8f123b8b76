/** What is reserved for a container, and what its networks must be able to do for it: decided before any plugin runs. */

import { invalid, NyxError } from "../../daemon/spec/errors.ts";
import type { NetworkAttachment, PortMapping } from "../../daemon/spec/container.ts";
import { cidrContains, formatCidr, tryParseIp } from "../../ffi/ip_address.ts";
import { MOST_NETWORKS, type Reservation } from "../network/leases.ts";
import { completePorts, isTwin } from "../network/ports.ts";
import type { PublishedPort } from "../network/ruleset.ts";
import { type CniSession, findTarget, refusal, type Target } from "./session.ts";

/** What is wanted. */
export interface ReserveRequest {
  id: string;
  name: string;
  attachments: NetworkAttachment[];
  ports: PortMapping[];
}

/** A container's networks, checked. */
export interface Plan {
  wanted: { attachment: NetworkAttachment; target: Target }[];
  /** Network of the default route and of the published ports. */
  gateway?: string;
}

function gatewayOf(wanted: Plan["wanted"]): Target | undefined {
  let best: { target: Target; priority: number } | undefined;
  for (const { attachment: { gatewayPriority: priority = 0 }, target } of wanted) {
    if (!target.internal && (best === undefined || priority > best.priority)) best = { target, priority };
  }
  return best?.target;
}

/** A fixed address must be one that the network can give. */
function checkAddress(target: Target, text: string): void {
  const unable = refusal(target, "ips", `the fixed address ${text}`);
  if (unable !== undefined) throw unable;
  const ip = tryParseIp(text);
  const { network } = target;
  if (network === undefined) return;
  const subnet = ip?.length === 16 ? network.v6 : network.v4;
  if (ip !== undefined && subnet !== undefined && cidrContains(subnet.block, ip)) return;
  const family = ip?.length === 16 ? 6 : 4;
  const has = subnet === undefined ? `has no IPv${family} subnet` : `has ${formatCidr(subnet.block)}`;
  throw invalid("ip", text, `network ${target.name} ${has}`);
}

/**
 * Finds a container's networks and checks that each can do what is asked of it.
 *
 * @param gateway network that keeps the default route, when it is still among them
 * @throws NyxError not_found, invalid_argument, failed_precondition with the capability that is missing
 */
export function plan(s: CniSession, { attachments, ports }: ReserveRequest, gateway?: string): Plan {
  if (attachments.length > MOST_NETWORKS) {
    throw invalid("networks", attachments.length, `a container can be in ${MOST_NETWORKS} networks at most`);
  }
  const wanted = attachments.map((attachment) => ({ attachment, target: findTarget(s, attachment.network) }));
  for (const [i, { attachment: { ip, ip6, mac }, target }] of wanted.entries()) {
    if (wanted.findIndex((w) => w.target.name === target.name) !== i) {
      throw invalid("networks", target.name, "the container is attached to it twice");
    }
    for (const text of [ip, ip6]) if (text !== undefined) checkAddress(target, text);
    const unable = mac === undefined ? undefined : refusal(target, "mac", `the hardware address ${mac}`);
    if (unable !== undefined) throw unable;
  }
  const way = wanted.find((w) => w.target.name === gateway && !w.target.internal)?.target ?? gatewayOf(wanted);
  const unable = way === undefined || ports.length === 0 ? undefined : refusal(way, "portMappings", "published ports");
  if (unable !== undefined) throw unable;
  return { wanted, ...(way === undefined ? {} : { gateway: way.name }) };
}

/**
 * Reserves in memory; the caller commits. Addresses are the plugins' to give.
 *
 * @throws NyxError already_exists with the holder of a port; nothing changed then
 */
export function reserve(s: CniSession, { id, name, ports }: ReserveRequest, { wanted, gateway }: Plan): Reservation {
  const { net } = s;
  const way = wanted.find((w) => w.target.name === gateway);
  const complete = way === undefined
    ? []
    : completePorts(ports, { defaultHostIp: net.defaultPublishIp, families: way.target.families });
  const running = net.active.has(id);
  const reserved = net.ports.reserve(id, name, complete, running);
  const previous = net.leases.get(id);
  const reservation: Reservation = {
    name,
    leases: [],
    ...(gateway === undefined ? {} : { gateway }),
    ports: reserved,
  };
  if (JSON.stringify(previous) !== JSON.stringify(reservation)) net.leases.set(id, reservation);
  return reservation;
}

/** Port mappings as the capability has them; the two halves of a port on all addresses are one. */
export function portMappings(ports: readonly PublishedPort[]): Record<string, unknown>[] {
  return ports.flatMap((port) => {
    if (ports.some((other) => isTwin(other, port))) return [];
    const both = ports.some((other) => isTwin(port, other));
    return Array.from({ length: port.count }, (_, i) => ({
      hostPort: port.hostPort + i,
      containerPort: port.containerPort + i,
      protocol: port.protocol,
      ...(both ? {} : { hostIP: port.hostIp }),
    }));
  });
}

/** Most rules that one container's ports may become: iptables takes a millisecond and more for each. */
const MOST_MAPPINGS = 1024;

/** Refuses ranges that iptables would not bear. */
export function checkRange(ports: readonly PortMapping[]): void {
  const count = ports.reduce((n, p) => n + (p.count ?? 1), 0);
  if (count <= MOST_MAPPINGS) return;
  throw new NyxError(
    "failed_precondition",
    `Could not publish ${count} ports: CNI's portmap makes a rule for each, so ${MOST_MAPPINGS} is the most with ` +
      "--net-driver cni; publish fewer, or use --net-driver native",
  );
}
