/** Reserving addresses and ports for a container: all of it or nothing, and the same answer when asked again. */

import { invalid } from "../../daemon/spec/errors.ts";
import type { NetworkAttachment, PortMapping } from "../../daemon/spec/container.ts";
import { formatMac, tryParseMac } from "../../ffi/ip_address.ts";
import { isDirect, type Network } from "./definition.ts";
import { type Lease, MOST_NETWORKS, type Reservation } from "./leases.ts";
import { completePorts, type PortFamilies, samePort } from "./ports.ts";
import { canonicalIp } from "./ruleset.ts";
import { findNetwork, type NetworkState, type Session } from "./session.ts";

/** What is to be reserved. */
export interface ReserveRequest {
  id: string;
  name: string;
  attachments: NetworkAttachment[];
  ports: PortMapping[];
}

function suits(lease: Lease, attachment: NetworkAttachment, state: NetworkState): boolean {
  const mac = attachment.mac === undefined ? undefined : tryParseMac(attachment.mac);
  return (attachment.ip === undefined || canonicalIp(attachment.ip) === lease.ip) &&
    (attachment.ip6 === undefined || canonicalIp(attachment.ip6) === lease.ip6) &&
    (attachment.mac === undefined || (mac !== undefined && formatMac(mac) === lease.mac)) &&
    (state.network.v4 === undefined) === (lease.ip === undefined) &&
    (state.network.v6 === undefined) === (lease.ip6 === undefined);
}

/** Takes a container's addresses; keeps those of `previous` that suit. On failure nothing is taken. */
function takeLeases(
  s: Session,
  { name, attachments }: ReserveRequest,
  previous: readonly Lease[],
): { leases: Lease[]; undo: () => void } {
  const leases: Lease[] = [];
  const taken: { state: NetworkState; lease: Lease }[] = [];
  const undo = () => {
    for (const { state, lease } of taken) state.addresses.free(lease);
  };
  try {
    for (const attachment of attachments) {
      const state = findNetwork(s, attachment.network);
      if (leases.some((l) => l.network === state.network.name)) {
        throw invalid("networks", attachment.network, "the container is attached to it twice");
      }
      if (state.network.driver === "ipvlan" && attachment.mac !== undefined) {
        throw invalid(
          "mac address",
          attachment.mac,
          `all of ipvlan network ${state.network.name} share their parent's`,
        );
      }
      const old = previous.find((l) => l.network === state.network.name);
      if (old !== undefined && suits(old, attachment, state)) leases.push(old);
      else {
        const lease = state.addresses.take(attachment, `container ${name}`);
        taken.push({ state, lease });
        leases.push(lease);
      }
    }
  } catch (e) {
    undo();
    throw e;
  }
  return { leases, undo };
}

/**
 * Gives leases their interfaces: those of a running container keep theirs, and new ones get the lowest number that is free; one that
 * starts anew counts from the beginning.
 */
function place(leases: readonly Lease[], previous: readonly Lease[], running: boolean): Lease[] {
  if (leases.length > MOST_NETWORKS) {
    throw invalid("networks", leases.length, `a container can be in ${MOST_NETWORKS} networks at most`);
  }
  if (!running) {
    return leases.map((lease) => {
      if (lease.position === undefined) return lease;
      const { position: _, ...rest } = lease;
      return rest;
    });
  }
  const known = leases.map((lease) => {
    const at = previous.indexOf(lease);
    return at < 0 ? undefined : lease.position ?? at;
  });
  const taken = new Set(known);
  return leases.map((lease, i) => {
    let position = known[i];
    if (position === undefined) {
      for (position = 0; taken.has(position);) position++;
      taken.add(position);
    }
    return { ...lease, position };
  });
}

/**
 * Networks with the default routes: for each family that of the highest priority among those that have it and are not internal, the
 * first of equals. That of IPv6 is named where it is another one.
 */
export function gatewaysOf(
  places: readonly { network: Network; priority?: number }[],
): Pick<Reservation, "gateway" | "gateway6"> {
  const best = (family: "v4" | "v6") =>
    places.filter(({ network }) => !network.internal && network[family] !== undefined)
      .reduce<typeof places[number] | undefined>(
        (a, b) => a === undefined || (b.priority ?? 0) > (a.priority ?? 0) ? b : a,
        undefined,
      )?.network.name;
  const [four, six] = [best("v4"), best("v6")];
  const gateway = four ?? six;
  if (gateway === undefined) return {};
  return { gateway, ...(six === undefined || six === gateway ? {} : { gateway6: six }) };
}

/**
 * Families that published ports can lead to. A container that is in internal networks alone is reached by nobody outside; one on the
 * host's LAN, at its own address.
 */
function openFamilies(
  s: Session,
  { gateway, gateway6 = gateway }: Pick<Reservation, "gateway" | "gateway6">,
): PortFamilies {
  const open = (name: string | undefined, family: "v4" | "v6") => {
    const network = name === undefined ? undefined : findNetwork(s, name).network;
    return network !== undefined && !isDirect(network) && network[family] !== undefined;
  };
  return { v4: open(gateway, "v4"), v6: open(gateway6, "v6") };
}

/** Frees leases that are in no use any more. */
function freeLeases(s: Session, leases: readonly Lease[], except: readonly Lease[], name: string): void {
  for (const lease of leases) {
    const state = s.networks.get(lease.network);
    const kept = except.find((l) => l.network === lease.network);
    if (kept === lease || state === undefined) continue;
    state.addresses.free(lease);
    if (kept !== undefined) state.addresses.hold(kept, `container ${name}`);
  }
}

/**
 * Reserves in memory; the caller commits.
 *
 * @throws NyxError invalid_argument, not_found, already_exists with the holder, resource_exhausted; nothing changed then
 */
export function reserve(s: Session, request: ReserveRequest): Reservation {
  const { id, name, attachments, ports } = request;
  const previous = s.leases.get(id);
  const places = attachments.map((a) => ({
    network: findNetwork(s, a.network).network,
    ...(a.gatewayPriority === undefined ? {} : { priority: a.gatewayPriority }),
  }));
  const gateways = gatewaysOf(places);
  const open = openFamilies(s, gateways);
  const closed = !open.v4 && !open.v6;
  const has = (family: "v4" | "v6") => places.some(({ network }) => network[family] !== undefined);
  const families = closed ? { v4: has("v4"), v6: has("v6") } : open;
  const wanted = completePorts(ports, { defaultHostIp: s.defaultPublishIp, families });
  const { leases, undo } = takeLeases(s, request, previous?.leases ?? []);
  const running = s.active.has(id);
  let placed: Lease[];
  let reserved;
  try {
    placed = place(leases, previous?.leases ?? [], running);
    // Sockets of the container's own ports that are to change would pass for somebody else's.
    if (running) s.holds.set(id, previous?.ports.filter((p) => wanted.some((w) => samePort(p, w))) ?? []);
    reserved = s.ports.reserve(id, name, closed ? [] : wanted, running);
  } catch (e) {
    undo();
    if (running) s.holds.set(id, previous?.ports ?? []);
    throw e;
  }
  const reservation: Reservation = {
    name,
    leases: placed,
    ...gateways,
    ports: reserved,
  };
  if (previous !== undefined) freeLeases(s, previous.leases, placed, name);
  if (JSON.stringify(previous) !== JSON.stringify(reservation)) s.leases.set(id, reservation);
  return reservation;
}

/** Gives everything of a container back, in memory. */
export function release(s: Session, id: string): void {
  const reservation = s.leases.get(id);
  if (reservation !== undefined) freeLeases(s, reservation.leases, [], reservation.name);
  s.ports.free(id);
  s.leases.delete(id);
}

/** Puts a reservation back as it was before a failed operation; undefined means there was none. */
export function restore(s: Session, id: string, previous: Reservation | undefined): void {
  if (s.leases.get(id) === previous) return;
  release(s, id);
  if (previous !== undefined) hold(s, id, previous);
}

/** Marks a reservation as held, as it stands in the lease file. */
export function hold(s: Session, id: string, reservation: Reservation): void {
  for (const lease of reservation.leases) {
    s.networks.get(lease.network)?.addresses.hold(lease, `container ${reservation.name}`);
  }
  s.ports.hold(id, reservation.name, reservation.ports);
  if (s.leases.get(id) !== reservation) s.leases.set(id, reservation);
}
