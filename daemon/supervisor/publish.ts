/** Published ports of containers that exist: opened and closed while they run, and moved from one to another. */

import type { PublishChange } from "../spec/api.ts";
import type { NetworkAttachment, PortMapping } from "../spec/container.ts";
import { NyxError } from "../spec/errors.ts";
import { formatPublish } from "../spec/parse/ports.ts";
import { apply } from "./connect.ts";
import type { Container } from "./container.ts";
import type { SupervisorDeps } from "./deps.ts";
import { networkMode, networkRequest, ownsNetwork } from "./launch.ts";
import { assigned, numbered, type OpenPort, samePort, sameTarget } from "./ports.ts";

/** The published mapping that a user means: `80` is every one of that container port; a host port or address narrows it. */
function means(wanted: PortMapping, mapping: PortMapping, open: readonly OpenPort[]): boolean {
  if (!sameTarget(wanted, mapping)) return false;
  const known = [mapping, ...open];
  return (wanted.hostPort === 0 || known.some((p) => p.hostPort === wanted.hostPort)) &&
    (wanted.hostIp === undefined || known.some((p) => p.hostIp === wanted.hostIp));
}

function listOf(container: Container): string {
  const { spec, ports } = container.record;
  const publish = spec.publish ?? [];
  const open = assigned(publish, ports);
  const texts = numbered(publish, open).map(formatPublish);
  return texts.length === 0 ? "it publishes none" : `it publishes ${texts.join(", ")}`;
}

function without(container: Container, remove: readonly PortMapping[]): { rest: PortMapping[]; open: OpenPort[][] } {
  const publish = container.record.spec.publish ?? [];
  const open = assigned(publish, container.record.ports);
  const gone = new Set<number>();
  for (const wanted of remove) {
    const hits = publish.flatMap((m, i) => means(wanted, m, open[i] ?? []) ? [i] : []);
    if (hits.length === 0) {
      throw new NyxError(
        "not_found",
        `Could not stop publishing ${formatPublish(wanted)} of container "${container.name}": ${listOf(container)}`,
        { context: { field: "publishRemove", value: formatPublish(wanted) } },
      );
    }
    for (const i of hits) gone.add(i);
  }
  return { rest: publish.filter((_, i) => !gone.has(i)), open: open.filter((_, i) => !gone.has(i)) };
}

function refuse(container: Container, why: string): NyxError {
  return new NyxError("failed_precondition", `Could not publish ports of container "${container.name}": ${why}`);
}

/**
 * Opens and closes published ports. Others of the container stay open all the while, ephemeral ones under the number they have. The
 * caller holds the container's mailbox.
 *
 * @returns what the user should know
 * @throws NyxError already_exists with the holder, not_found, failed_precondition; nothing changed then
 */
export async function changePorts(
  container: Container,
  deps: SupervisorDeps,
  { add = [], remove = [] }: PublishChange,
): Promise<string[]> {
  const { record } = container;
  if (add.length + remove.length === 0) return [];
  const mode = networkMode(record);
  if (!ownsNetwork(mode)) throw refuse(container, `it has no network of its own (--network ${mode})`);
  if (mode === "none") throw refuse(container, "it has no network; connect it with one first");
  const { rest, open } = without(container, remove);
  for (const mapping of add) {
    if (rest.some((m) => samePort(m, mapping) && m.hostPort !== 0)) {
      throw new NyxError(
        "already_exists",
        `Could not publish ${formatPublish(mapping)}: container "${container.name}" publishes it already`,
        { context: { field: "publishAdd", value: formatPublish(mapping), holder: container.name } },
      );
    }
  }
  // What has a number keeps it: the worker is asked for that very port.
  const spec = { ...record.spec, publish: [...rest, ...add] };
  await apply(container, deps, { spec, ports: [...numbered(rest, open), ...add] });
  const { attachments } = networkRequest(record, deps.defaults.network);
  return unpublished({ attachments, ports: add }, record.ports, deps.networks);
}

/** Why none of the ports asked for is published, when none is open. They lead to the network with the default route. */
export function unpublished(
  { attachments, ports }: { attachments: readonly NetworkAttachment[]; ports: readonly PortMapping[] },
  open: readonly PortMapping[],
  networks: Pick<SupervisorDeps["networks"], "isInternal" | "isDirect">,
): string[] {
  if (ports.length === 0 || open.length > 0) return [];
  const names = attachments.map((a) => a.network).join(", ");
  const [route] = attachments.filter((a) => !networks.isInternal(a.network))
    .sort((a, b) => (b.gatewayPriority ?? 0) - (a.gatewayPriority ?? 0));
  if (route === undefined && names !== "") {
    return [
      `No port is published: nothing outside reaches the internal network ${names}; connect the container with another ` +
      "network as well",
    ];
  }
  if (route === undefined || !networks.isDirect(route.network)) return [];
  return [
    `No port is published: on network ${route.network} the container has an address of its own, which others reach as it is; ` +
    "programs of this host reach it by a bridge network alone",
  ];
}

/**
 * Moves published ports from one running container to another, in one transaction of the kernel: new connections reach `to`, those
 * already open go on to `from`. See the supervisor's method.
 */
export function movePorts(
  from: Container,
  to: Container,
  deps: SupervisorDeps,
  wanted?: readonly PortMapping[],
): Promise<{ moved: OpenPort[] }> {
  if (from === to) throw new NyxError("invalid_argument", "Could not move ports from a container to itself");
  const [first, second] = from.id < to.id ? [from, to] : [to, from];
  // In the order of ids, so that two moves never wait for each other.
  return first.mailbox.run(() => second.mailbox.run(() => move(from, to, deps, wanted)));
}

async function move(
  from: Container,
  to: Container,
  deps: SupervisorDeps,
  wanted: readonly PortMapping[] | undefined,
): Promise<{ moved: OpenPort[] }> {
  for (const container of [from, to]) {
    if (container.live && ownsNetwork(networkMode(container.record))) continue;
    throw new NyxError(
      "failed_precondition",
      `Could not move published ports from "${from.name}" to "${to.name}": ${container.name} must run, on a network of its own`,
    );
  }
  const publish = from.record.spec.publish ?? [];
  const open = assigned(publish, from.record.ports);
  const missing = wanted?.find((w) => !publish.some((m) => samePort(m, w)));
  if (missing !== undefined) {
    throw new NyxError(
      "not_found",
      `Could not move ${formatPublish(missing)} from container "${from.name}": ${listOf(from)}`,
    );
  }
  const goes = publish.map((m) => wanted === undefined || wanted.some((w) => samePort(m, w)));
  const moved = open.filter((_, i) => goes[i]).flat();
  if (moved.length === 0) return { moved };
  const result = await deps.stages.network.call("movePorts", { from: from.id, to: to.id, ports: moved });
  to.record.spec.publish = [...to.record.spec.publish ?? [], ...publish.filter((_, i) => goes[i])];
  from.record.spec.publish = publish.filter((_, i) => !goes[i]);
  enter(from, result.from);
  enter(to, result.to);
  // The taker first: after a crash between the two, the lease says who has the ports, and the giver's record is set right by it.
  await to.save();
  await from.save();
  for (const container of [from, to]) container.emit("update");
  return { moved };
}

function enter({ record }: Container, ports: OpenPort[]): void {
  record.ports = ports;
  if (record.network !== undefined) record.network = { ...record.network, ports };
}
