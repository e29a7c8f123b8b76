/** Published ports in the kernel: elements of the table's maps, the sockets that keep the ports, and connections to forget. */

import { NyxError } from "../../daemon/spec/errors.ts";
import { type MapElements, NftError } from "../../ffi/nftables/nft.ts";
import type { NetworkStage } from "../protocol.ts";
import type { Reservation } from "./leases.ts";
import { portText, samePort } from "./ports.ts";
import { allElements, differences, mergeElements } from "./ruleset.ts";
import { type ActiveContainer, type Session, syncTable } from "./session.ts";

type Ports = Pick<ActiveContainer, "ports" | "target">;

function elementsOf(containers: readonly (Ports | undefined)[]): MapElements {
  return mergeElements(
    containers.flatMap((c) => c?.target === undefined ? [] : [allElements(c.ports, c.target)]),
  );
}

/**
 * Brings the table from what containers published before to what they publish now, in one transaction: what stays is not
 * touched, and a port that moves is never closed. A table that somebody damaged is made anew, so `active` must say what is to be.
 */
export function republish(
  s: Session,
  before: readonly (Ports | undefined)[],
  now: readonly (Ports | undefined)[],
): void {
  const { remove, add } = differences(elementsOf(before), elementsOf(now));
  try {
    if (s.tableStale) syncTable(s);
    else if (remove.size + add.size > 0) s.nft.change(s.table, remove, add);
  } catch (e) {
    s.tableStale = true;
    if (!(e instanceof NftError && (e.missing || e.exists))) throw e;
    syncTable(s);
  }
}

/** Opens a container's ports, which must be in `active`. Returns ports that a program on the host has, in words. */
export function publish(s: Session, id: string, active: ActiveContainer): string[] {
  republish(s, [], [active]);
  return occupy(s, id, active);
}

/** Holds the sockets of a container's ports, and forgets connections that began before a UDP port led to it. */
export function occupy(s: Session, id: string, { ports, target }: ActiveContainer): string[] {
  if (target === undefined || ports.length === 0) {
    s.holds.set(id, []);
    return [];
  }
  s.flows.published(ports, target);
  return s.holds.set(id, ports).map(([ip, n]) =>
    `Port ${n} of ${ip} is published, so a program on the host that has it as well gets no connections from outside; stop that program`
  );
}

/**
 * Takes a container's port elements away, with whatever an earlier failure left. The container must be out of `active`, or
 * undefined when there is none.
 */
export function unpublish(s: Session, id: string, active: ActiveContainer | undefined): void {
  s.holds.set(id, []);
  const { ports = [], target } = active ?? {};
  if ((target !== undefined && ports.length > 0) || s.tableStale) republish(s, [active], []);
}

function activeOf(
  s: Session,
  id: string,
  name: string | undefined,
): { active: ActiveContainer; reservation: Reservation } {
  const active = s.active.get(id);
  const reservation = s.leases.get(id);
  if (active?.target === undefined || reservation === undefined) {
    throw new NyxError(
      "failed_precondition",
      `Could not move published ports: container ${
        name ?? reservation?.name ?? id.slice(0, 12)
      } has no network with a way ` +
        "out; start it on one that is not internal",
    );
  }
  return { active, reservation };
}

/**
 * Moves published ports from one running container to another: packets of new connections go to the second from one transaction on;
 * those already tracked go on to the first.
 *
 * @throws NyxError failed_precondition, not_found; both containers are then as they were
 */
export async function movePorts(
  s: Session,
  { from, to, ports }: NetworkStage["ops"]["movePorts"]["request"],
): Promise<NetworkStage["ops"]["movePorts"]["result"]> {
  const giver = activeOf(s, from, undefined);
  const taker = activeOf(s, to, undefined);
  const missing = ports.find((p) => !giver.reservation.ports.some((q) => samePort(p, q)));
  if (missing !== undefined) {
    throw new NyxError(
      "not_found",
      `Could not move ${portText(missing)}: ${giver.reservation.name} does not publish it`,
    );
  }
  const { ip, ip6 } = taker.active.target ?? {};
  const lacking = ports.find((p) => (p.hostIp.includes(":") ? ip6 : ip) === undefined);
  if (lacking !== undefined) {
    throw new NyxError(
      "failed_precondition",
      `Could not move ${portText(lacking)}: no network of ${taker.reservation.name} has IPv${
        lacking.hostIp.includes(":") ? 6 : 4
      }`,
    );
  }
  const rest = giver.reservation.ports.filter((q) => !ports.some((p) => samePort(p, q)));
  const all = [...taker.reservation.ports, ...ports];
  assign(s, [[from, { ...giver, active: { ...giver.active, gaveAway: true } }, rest], [to, taker, all]]);
  try {
    republish(s, [giver.active, taker.active], [s.active.get(from), s.active.get(to)]);
    await s.leases.commit();
  } catch (e) {
    const now = [s.active.get(from), s.active.get(to)];
    assign(s, [[from, giver, giver.reservation.ports], [to, taker, taker.reservation.ports]]);
    try {
      republish(s, now, [giver.active, taker.active]);
    } catch (error) {
      s.log("error", "Could not undo a failed move of ports wholly", { from, to, error: String(error) });
    }
    s.leases.commit().catch((error) => s.log("error", "Could not write leases", { error: String(error) }));
    throw e;
  }
  return { from: rest, to: all };
}

/** Enters ports in memory: reservation, table of ports, what is active, and the sockets. The last takes over from those before. */
function assign(
  s: Session,
  changes: [string, { active: ActiveContainer; reservation: Reservation }, ActiveContainer["ports"]][],
): void {
  for (const [id, { active, reservation }, ports] of changes) {
    s.leases.set(id, { ...reservation, ports });
    s.ports.free(id);
    s.ports.hold(id, reservation.name, ports);
    s.active.set(id, { ...active, ports });
  }
  for (const [id, , ports] of changes.toReversed()) s.holds.set(id, ports);
}
