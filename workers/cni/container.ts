/** Setting a container's networks up by plugins, and taking them down. */

import { invalid, type NyxError } from "../../daemon/spec/errors.ts";
import type { NetworkResult, NetworkStage } from "../protocol.ts";
import { sysctlPaths, takeDown as takeDownNative, writeSysctls } from "../network/container.ts";
import type { Reservation } from "../network/leases.ts";
import { openNetns } from "../network/pool.ts";
import { restore } from "../network/reservation.ts";
import { netnsPath } from "../network/session.ts";
import { activate, attach, describeContainer, detach } from "./attach.ts";
import type { CachedAttachment } from "./cache.ts";
import { checkRange, type Plan, plan, reserve } from "./reservation.ts";
import { attachmentsOf, type CniSession } from "./session.ts";

/** Request of the `setup` operation. */
export type SetupRequest = NetworkStage["ops"]["setup"]["request"];

async function build(
  s: CniSession,
  request: SetupRequest,
  { wanted, gateway }: Plan,
  reservation: Reservation,
): Promise<void> {
  const { id, name, sysctls } = request;
  const path = netnsPath(s.net, id);
  using netns = s.net.pool.take();
  s.net.kernel.ns.pinNamespace(netns.fd, path);
  writeSysctls(s.net, netns, sysctls);
  for (const [i, { attachment, target }] of wanted.entries()) {
    await attach(s, {
      id,
      name,
      attachment,
      target,
      ifname: `eth${i}`,
      gateway: target.name === gateway,
      reservation,
    });
  }
}

/** Sets a container up, or finds it set up. Validates everything before a plugin runs. */
export async function setup(s: CniSession, request: SetupRequest): Promise<NetworkResult> {
  const { id, name, mode } = request;
  const { net } = s;
  const known = net.active.get(id);
  if (known !== undefined && net.kernel.ns.isPinned(netnsPath(net, id))) return describeContainer(s, id, known);
  if (mode === "none" && request.ports.length > 0) {
    throw invalid("publish", request.ports.length, "a container without a network cannot publish ports");
  }
  const [first] = net.networks.keys();
  const listed = request.attachments.length > 0 ? request.attachments : [{ network: first ?? "default" }];
  const attachments = mode === "none" ? [] : listed;
  sysctlPaths(request.sysctls);
  checkRange(request.ports);
  const wanted = { id, name, attachments, ports: request.ports };
  const planned = plan(s, wanted);
  if (net.kernel.ns.isPinned(netnsPath(net, id)) || s.cache.of(id).length > 0) await takeDown(s, id);
  const previous = net.leases.get(id);
  const reservation = reserve(s, wanted, planned);
  try {
    await net.leases.commit();
    await build(s, request, planned, reservation);
    return describeContainer(s, id, activate(s, id));
  } catch (e) {
    await takeDown(s, id).catch((error) =>
      net.log("error", "Could not take down a failed network set-up wholly", { id, error: String(error) })
    );
    restore(net, id, previous);
    net.leases.commit().catch((error) => net.log("error", "Could not write leases", { error: String(error) }));
    throw e;
  }
}

/** Takes down everything of a container; nothing there is no failure. */
export async function takeDown(s: CniSession, id: string): Promise<void> {
  const target = s.net.active.get(id)?.target;
  const published = (s.net.leases.get(id)?.ports.length ?? 0) > 0;
  for (const attachment of s.cache.of(id).toReversed()) await detach(s, attachment);
  takeDownNative(s.net, id).finish(`take down the network of container ${id.slice(0, 12)}`);
  if (target !== undefined && published) s.net.flows.gone(target);
}

/**
 * Takes a running container over from an earlier worker.
 *
 * @returns what could not be
 */
export async function adopt(s: CniSession, id: string): Promise<string[]> {
  const { net } = s;
  const attachments = s.cache.of(id);
  const name = net.leases.get(id)?.name ?? id.slice(0, 12);
  if (!net.kernel.ns.isPinned(netnsPath(net, id))) {
    if (attachments.length === 0 || !net.pinsKept) return [];
    return [
      `Could not find the network namespace of running container ${name} at ${netnsPath(net, id)}; ` +
      "restart the container to give it a network again",
    ];
  }
  // Without a result an attachment is one that a crash cut off.
  for (const half of attachments.filter((a) => a.result === undefined)) await detach(s, half);
  activate(s, id);
  return [];
}

/**
 * Whether a complaint is none: portmap (up to 1.1.1 at least) looks for the rules of each family in the tables of both. So it misses
 * those of IPv4 in ip6tables, also for a container without IPv6, and the other way round.
 */
function isMistaken(error: NyxError, { result }: CachedAttachment): boolean {
  const family = /could not check ipv([46]) dnat/.exec(error.message)?.[1];
  if (error.details.context?.["plugin"] !== "portmap" || family === undefined) return false;
  const has = result?.ips.some((i) => i.ip.length === (family === "6" ? 16 : 4)) === true;
  const foreign = family === "6" ? /--to-destination \d/ : /--to-destination \[/;
  return !has || foreign.test(error.message);
}

/** What CHECK says of a container's attachments: what is not as its plugins made it. */
export async function checkContainer(s: CniSession, id: string): Promise<string[]> {
  const problems: string[] = [];
  for (const attachment of attachmentsOf(s, id)) {
    if (attachment.result === undefined) continue;
    const errors = await s.chain.check(attachment, attachment.result.raw);
    problems.push(...errors.filter((e) => !isMistaken(e, attachment)).map((e) => e.message));
  }
  return problems;
}

/** Plugins whose ADD finds the rules it made before, and adds those that are missing. */
const MENDING = new Set(["portmap", "firewall"]);

/**
 * Puts back what somebody took out of the host's rules under a container, such as by `nft flush ruleset`.
 *
 * @returns what is not as it was all the same
 */
export async function mend(s: CniSession, id: string): Promise<string[]> {
  const errors: NyxError[] = [];
  for (const attachment of attachmentsOf(s, id)) {
    if (attachment.result === undefined) continue;
    errors.push(...await s.chain.mend(attachment, attachment.result.raw, MENDING));
  }
  return [...errors.map((e) => e.message), ...await checkContainer(s, id)];
}

/** Names of interfaces inside that exist, for messages and choices. */
export function interfacesInside(s: CniSession, id: string): string[] {
  using netns = openNetns(s.net.kernel, netnsPath(s.net, id), s.net.buffer);
  return netns.rt.links().map((l) => l.name);
}
