/** Setting a container's network up and taking it down. */

import { invalid } from "../../daemon/spec/errors.ts";
import { deleteLink } from "../../ffi/netlink/requests.ts";
import type { NetworkResult, NetworkStage } from "../protocol.ts";
import { isDirect } from "./definition.ts";
import type { Finding } from "./diagnose.ts";
import {
  describeEndpoint,
  type EndpointPlan,
  ensureEndpoint,
  forgetNeighbour,
  hasOwnMac,
  hostNamePrefix,
  isOwnKind,
  silencePort,
} from "./endpoint.ts";
import type { Reservation } from "./leases.ts";
import { type Netns, openNetns } from "./pool.ts";
import { reserve, restore } from "./reservation.ts";
import { occupy, publish, unpublish } from "./publish.ts";
import type { PortTarget } from "./ruleset.ts";
import { type ActiveContainer, Attempts, netnsPath, type Session } from "./session.ts";

/** Request of the `setup` operation. */
export type SetupRequest = NetworkStage["ops"]["setup"]["request"];

/** Connections of a container, in the order of its leases. A network that is gone is left out. */
export function planEndpoints(s: Session, { leases, gateway, gateway6 = gateway }: Reservation): EndpointPlan[] {
  return leases.flatMap((lease, index) => {
    const { position = index } = lease;
    const state = s.networks.get(lease.network);
    if (state === undefined) return [];
    const { network, bridge } = state;
    const shared = bridge.mac === undefined ? {} : { parentMac: bridge.mac };
    const routes = {
      route4: network.v4 !== undefined && lease.network === gateway,
      route6: network.v6 !== undefined && lease.network === gateway6,
    };
    return [{ network, bridgeIndex: bridge.index, ...shared, lease, name: `eth${position}`, position, ...routes }];
  });
}

/**
 * Addresses that published ports lead to: those of the connections with the default routes. Internal networks have none, nor have
 * those that share an interface of the host: there a container is reached at its own address.
 */
export function portTarget(plans: readonly EndpointPlan[]): PortTarget | undefined {
  const open = plans.filter((p) => !isDirect(p.network));
  const ip = open.find((p) => p.route4)?.lease.ip;
  const ip6 = open.find((p) => p.route6)?.lease.ip6;
  if (ip === undefined && ip6 === undefined) return undefined;
  return { ...(ip === undefined ? {} : { ip }), ...(ip6 === undefined ? {} : { ip6 }) };
}

/** Files of the network's sysctls with their values. */
export function sysctlPaths(sysctls: Record<string, string>): [string, string][] {
  return Object.entries(sysctls).filter(([key]) => key.startsWith("net.")).map(([key, value]) => {
    if (!/^net(\.[a-zA-Z0-9_-]+)+$/.test(key)) {
      throw invalid("sysctl", key, "write it with dots, such as net.core.somaxconn");
    }
    return [`/proc/sys/${key.replaceAll(".", "/")}`, value];
  });
}

/** Sets sysctls inside a namespace. */
export function writeSysctls(s: Session, netns: Netns, sysctls: Record<string, string>): void {
  const paths = sysctlPaths(sysctls);
  if (paths.length === 0) return;
  s.kernel.ns.withNetns(netns.fd, () => {
    for (const [path, value] of paths) {
      try {
        s.kernel.ns.writeKernelFile(path, value);
      } catch (e) {
        const key = path.slice("/proc/sys/".length).replaceAll("/", ".");
        throw invalid(`sysctl ${key}`, value, `the kernel refused it: ${(e as Error).message}`);
      }
    }
  });
}

/** All that happens in the kernel, in order; undone in reverse when a step fails. */
function build(s: Session, request: SetupRequest, reservation: Reservation): ActiveContainer {
  const { id, sysctls } = request;
  const path = netnsPath(s, id);
  const plans = planEndpoints(s, reservation);
  const undo: [string, () => void][] = [];
  const netns = s.pool.take();
  const active: ActiveContainer = {
    endpoints: plans.map(describeEndpoint),
    portIndexes: [],
    ports: reservation.ports,
    target: portTarget(plans),
  };
  try {
    undo.push(["unpin", () => s.kernel.ns.unpinNamespace(path)]);
    s.kernel.ns.pinNamespace(netns.fd, path);
    for (const plan of plans) {
      const index = ensureEndpoint(s.kernel.ns, s.rt, id, plan, netns);
      active.portIndexes.push(index);
      undo.push(["silence", () => silencePort(s.rt, index)]);
    }
    writeSysctls(s, netns, sysctls);
    s.active.set(id, active);
    undo.push(["unpublish", () => {
      s.active.delete(id);
      unpublish(s, id, active);
    }]);
    publish(s, id, active);
    return active;
  } catch (e) {
    const attempts = new Attempts();
    for (const [step, run] of undo.reverse()) attempts.try(step, run);
    if (!attempts.clean) s.log("error", "Could not undo a failed network set-up wholly", { id, error: String(e) });
    throw e;
  } finally {
    netns[Symbol.dispose]();
  }
}

/** What the daemon is told of a container that is set up. */
export function describeActive(s: Session, id: string, { endpoints, ports }: ActiveContainer): NetworkResult {
  const bridges = new Set(endpoints.map((e) => s.networks.get(e.network)?.network.bridge));
  const concerns = ({ bridge }: Finding) => bridge === undefined || bridges.has(bridge);
  const warnings = endpoints.length === 0 ? [] : s.advice.recent().filter(concerns).map((f) => f.text);
  const { gateway, gateway6 } = s.leases.get(id) ?? {};
  const routes = {
    ...(gateway === undefined ? {} : { gatewayNetwork: gateway }),
    ...(gateway6 === undefined ? {} : { gatewayNetwork6: gateway6 }),
  };
  return { netnsPath: netnsPath(s, id), endpoints, ...routes, ports, warnings };
}

/** Sets a container up, or finds it set up. Validates everything before anything is made. */
export async function setup(s: Session, request: SetupRequest): Promise<NetworkResult> {
  const { id, name, mode, sysctls } = request;
  const known = s.active.get(id);
  if (known !== undefined && s.kernel.ns.isPinned(netnsPath(s, id))) return describeActive(s, id, known);
  if (mode === "none" && request.ports.length > 0) {
    throw invalid("publish", request.ports.length, "a container without a network cannot publish ports");
  }
  const [first] = s.networks.keys();
  const attachments = mode === "none"
    ? []
    : request.attachments.length > 0
    ? request.attachments
    : [{ network: first ?? "default" }];
  sysctlPaths(sysctls);
  if (s.kernel.ns.isPinned(netnsPath(s, id))) {
    takeDown(s, id).finish(`clear what was left of the network of container ${name}`);
  }
  const previous = s.leases.get(id);
  const reservation = reserve(s, { id, name, attachments, ports: request.ports });
  const durable = s.leases.commit();
  durable.catch(() => {});
  try {
    const active = build(s, { ...request, attachments }, reservation);
    await durable;
    return describeActive(s, id, active);
  } catch (e) {
    const attempts = takeDown(s, id);
    restore(s, id, previous);
    if (!attempts.clean) s.log("error", "Could not take down a failed network set-up wholly", { id });
    s.leases.commit().catch((error) => s.log("error", "Could not write leases", { error: String(error) }));
    throw e;
  }
}

/**
 * Takes interfaces that share one of the host out of a container's namespace: a process that outlives the container in it must not go on
 * with an address that is given out again. (Of a bridge the host-side port is silenced, which is quicker.)
 */
function leaveLan(s: Session, id: string, active: ActiveContainer | undefined): void {
  const names = active?.endpoints.filter(({ network }) => {
    const state = s.networks.get(network);
    return state !== undefined && isDirect(state.network);
  }).map((e) => e.interface) ?? [];
  if (names.length === 0 || !s.kernel.ns.isPinned(netnsPath(s, id))) return;
  using netns = openNetns(s.kernel, netnsPath(s, id), s.buffer);
  for (const name of names) {
    const link = netns.rt.link(name);
    if (link !== undefined && link.kind !== "veth" && isOwnKind(link)) netns.rt.run(deleteLink(link.index));
  }
}

/** Tries every step of a teardown. Nothing there is no failure. */
export function takeDown(s: Session, id: string): Attempts {
  const attempts = new Attempts();
  const active = s.active.get(id);
  s.active.delete(id);
  attempts.try("unpublish ports", () => unpublish(s, id, active));
  for (const index of active?.portIndexes ?? []) attempts.try("silence interface", () => silencePort(s.rt, index));
  for (const lease of active === undefined ? [] : s.leases.get(id)?.leases ?? []) {
    const bridge = s.networks.get(lease.network)?.bridge;
    if (bridge !== undefined && hasOwnMac(lease)) {
      attempts.try("forget neighbour", () => forgetNeighbour(s.rt, bridge.index, lease));
    }
  }
  attempts.try("take off the host's LAN", () => leaveLan(s, id, active));
  attempts.try("unpin namespace", () => s.kernel.ns.unpinNamespace(netnsPath(s, id)));
  if (active?.target !== undefined && (active.ports.length > 0 || active.gaveAway === true)) {
    s.flows.gone(active.target);
  }
  return attempts;
}

/** Takes out connections that no lease knows: an earlier worker died while it changed the container's networks. */
function unplugStrays(s: Session, id: string, plans: readonly EndpointPlan[], netns: Netns): void {
  const known = new Set(plans.map((p) => p.name));
  for (const link of netns.rt.links()) {
    if (link.kind !== "veth" || !/^eth\d+$/.test(link.name) || known.has(link.name)) continue;
    const near = s.rt.links().find((l) => l.index === link.peer);
    if (near?.name.startsWith(hostNamePrefix(id))) netns.rt.run(deleteLink(link.index));
  }
}

/** Takes a running container over from an earlier worker, and repairs what is missing. Warnings say what could not be. */
export function adopt(s: Session, id: string, reservation: Reservation): string[] {
  const path = netnsPath(s, id);
  const plans = planEndpoints(s, reservation);
  const active: ActiveContainer = {
    endpoints: plans.map(describeEndpoint),
    portIndexes: [],
    ports: reservation.ports,
    target: portTarget(plans),
  };
  const warnings: string[] = [];
  using netns = openNetns(s.kernel, path, s.buffer);
  unplugStrays(s, id, plans, netns);
  for (const plan of plans) {
    try {
      active.portIndexes.push(ensureEndpoint(s.kernel.ns, s.rt, id, plan, netns));
    } catch (e) {
      warnings.push(
        `Could not restore network ${plan.network.name} of container ${reservation.name}: ${(e as Error).message}; ` +
          "restart the container",
      );
    }
  }
  s.active.set(id, active);
  return [...warnings, ...occupy(s, id, active)];
}
