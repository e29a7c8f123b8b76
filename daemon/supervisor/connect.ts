/** Connecting containers with networks and disconnecting them, while they run or not. */

import { registrationOf } from "../dns/registration.ts";
import type { ContainerRecord } from "../persist/record.ts";
import type { ContainerConfig, NetworkAttachment, PortMapping } from "../spec/container.ts";
import { NyxError, toNyxError } from "../spec/errors.ts";
import type { NetworkResult } from "../../workers/protocol.ts";
import type { Container } from "./container.ts";
import type { SupervisorDeps } from "./deps.ts";
import { resolvConf } from "./etc_files.ts";
import {
  addressesOf,
  embeddedResolvers,
  givenResolvers,
  networkMode,
  networkRequest,
  ownsNetwork,
  readHostResolvConf,
} from "./launch.ts";
import { assigned, numbered, portKey } from "./ports.ts";

/** The configuration with another set of attachments. */
function withAttachments(
  spec: ContainerConfig,
  attachments: NetworkAttachment[],
  defaultNetwork: string,
): ContainerConfig {
  const { networks: _, ...rest } = spec;
  const [first] = attachments;
  if (first === undefined) return { ...rest, networkMode: "none" };
  const mode = spec.networkMode ?? "bridge";
  const main = mode === "bridge" || mode === "default" ? defaultNetwork : mode;
  const kept = attachments.some((a) => a.network === main);
  return { ...rest, networkMode: kept ? mode : first.network, networks: attachments };
}

function refuseForeign(container: Container, action: string): void {
  const mode = networkMode(container.record);
  if (ownsNetwork(mode)) return;
  throw new NyxError(
    "failed_precondition",
    `Could not ${action} container "${container.name}": it has no network of its own (--network ${mode})`,
  );
}

/** Attaches a container to one more network. */
export function connect(container: Container, deps: SupervisorDeps, added: NetworkAttachment): Promise<void> {
  return container.mailbox.run(async () => {
    const action = `connect network "${added.network}" with`;
    refuseForeign(container, action);
    const { attachments } = networkRequest(container.record, deps.defaults.network);
    if (attachments.some((a) => a.network === added.network)) {
      throw new NyxError(
        "already_exists",
        `Could not ${action} container "${container.name}": it is connected with it already`,
      );
    }
    await applyNetworks(container, deps, [...attachments, added]);
  });
}

/** Detaches a container from a network. Without any it keeps loopback alone. */
export function disconnect(container: Container, deps: SupervisorDeps, network: string): Promise<void> {
  return container.mailbox.run(async () => {
    const action = `disconnect network "${network}" from`;
    refuseForeign(container, action);
    const { attachments } = networkRequest(container.record, deps.defaults.network);
    const rest = attachments.filter((a) => a.network !== network);
    if (rest.length === attachments.length) {
      const names = attachments.map((a) => a.network).join(", ") || "none";
      throw new NyxError(
        "failed_precondition",
        `Could not ${action} container "${container.name}": it is not connected with it; its networks: ${names}`,
      );
    }
    await applyNetworks(container, deps, rest);
  });
}

/**
 * Makes leases and links agree with the record, after a crash between a change in the network worker and the record of it. The
 * record is what was confirmed.
 */
export function agree(container: Container, deps: SupervisorDeps): Promise<void> {
  return container.mailbox.run(async () => {
    const { record } = container;
    const found = deps.networks.foundAtStart(container.id);
    if (found === undefined || container.status === "removing" || !ownsNetwork(networkMode(record))) return;
    const { attachments } = networkRequest(record, deps.defaults.network);
    const networks = new Set(found.networks).symmetricDifference(new Set(attachments.map((a) => a.network)));
    const ports = new Set(found.ports.map(portKey)).symmetricDifference(new Set(record.ports.map(portKey)));
    if (networks.size === 0 && ports.size === 0) return;
    deps.log.warn("A change of a container's networks or ports was cut off; its record counts", { id: container.id });
    const { spec } = record;
    const publish = spec.publish ?? [];
    const open = assigned(publish, record.ports);
    try {
      await apply(container, deps, { spec, ports: numbered(publish, open) });
    } catch (e) {
      const { code, details } = toNyxError(e);
      if (ports.size === 0 || code !== "already_exists") throw e;
      // Ports that another container has were moved to it: the record of that one was written, this one's was not.
      const moved = details.context?.["holder"] !== "host";
      const kept = new Set(found.ports.map(portKey));
      const left = publish.filter((_, i) => open[i]?.every((p) => kept.has(portKey(p))));
      await apply(container, deps, { spec: { ...spec, publish: moved ? left : publish } });
    }
  });
}

/** Whether a container was found with ports that its record does not know. It must give them up before another can have them. */
export function holdsUnknown({ id, record }: Container, deps: SupervisorDeps): boolean {
  const known = new Set(record.ports.map(portKey));
  return deps.networks.foundAtStart(id)?.ports.some((p) => !known.has(portKey(p))) ?? false;
}

function applyNetworks(container: Container, deps: SupervisorDeps, attachments: NetworkAttachment[]): Promise<void> {
  return apply(container, deps, { spec: withAttachments(container.record.spec, attachments, deps.defaults.network) });
}

/**
 * Makes the kernel, the leases and the record what a changed configuration says of networks and ports. The caller holds the
 * container's mailbox.
 *
 * @param change `ports` in place of those of the configuration, when their numbers are known
 */
export async function apply(
  container: Container,
  deps: SupervisorDeps,
  { spec, ports }: { spec: ContainerConfig; ports?: PortMapping[] },
): Promise<void> {
  const { record } = container;
  if (container.status === "removing") {
    throw new NyxError("failed_precondition", `Could not change container "${container.name}": it is being removed`);
  }
  const { id, name, attachments, ports: listed } = networkRequest({ ...record, spec }, deps.defaults.network);
  const request = { id, name, attachments, ports: ports ?? listed };
  if (container.live) {
    const before = record.network;
    const network = await deps.stages.network.call("change", request);
    record.spec = spec;
    entered(record, network);
    deps.dns.register(registrationOf(record, deps.defaults.network));
    await rewriteEtc(deps, record, before, network).catch((error) =>
      deps.log.warn("A container's resolv.conf and hosts could not be brought up to date", { id, error })
    );
  } else {
    record.ports = (await deps.stages.network.call("reserve", request)).ports;
    record.spec = spec;
    delete record.network;
    delete record.ip;
  }
  await container.save();
}

/** Notes in the record what the network worker set up. */
export function entered(record: ContainerRecord, network: NetworkResult): void {
  record.network = network;
  record.ports = network.ports;
  const [first] = addressesOf(network);
  if (first === undefined) delete record.ip;
  else record.ip = first;
}

/**
 * Lines of a hosts file after a change of addresses: those of addresses that went are gone, those that came stand at the end with the
 * container's names. What the container wrote itself stays.
 */
export function changedHosts(text: string, before: string[], after: string[], names: string[]): string {
  const gone = new Set(before.filter((ip) => !after.includes(ip)));
  const kept = text.split("\n").filter((l) => l !== "" && !gone.has(l.split(/\s/)[0] ?? ""));
  const come = after.filter((ip) => !before.includes(ip)).map((ip) => `${ip}\t${names.join(" ")}`);
  return `${[...kept, ...come].join("\n")}\n`;
}

/** Writes into the file as it is: it is mounted into the container, where a file put in its place would not be seen. */
async function overwrite(path: string, text: string): Promise<void> {
  await Deno.writeTextFile(path, text, { create: false });
}

/** Brings a running container's files up to date. A resolv.conf that does not name nyx's resolvers is the container's own affair. */
async function rewriteEtc(
  deps: SupervisorDeps,
  record: ContainerRecord,
  before: NetworkResult | undefined,
  after: NetworkResult,
): Promise<void> {
  const { hostname, bundleDir, spec } = record;
  const aliases = (spec.networks ?? []).flatMap((a) => a.aliases ?? []);
  const full = spec.domainname === undefined ? [] : [`${hostname}.${spec.domainname}`];
  const hosts = `${bundleDir}/hosts`;
  const text = await Deno.readTextFile(hosts);
  await overwrite(hosts, changedHosts(text, addressesOf(before), addressesOf(after), [...full, hostname, ...aliases]));
  if (spec.dns !== undefined && spec.dns.length > 0) return;
  const path = `${bundleDir}/resolv.conf`;
  const servers = [...(await Deno.readTextFile(path)).matchAll(/^nameserver\s+(\S+)/gm)].map((m) => m[1] ?? "");
  const gateways = before?.endpoints.flatMap((e) => [e.gateway, e.gateway6]) ?? [];
  const ours = new Set([...gateways.filter((ip) => ip !== undefined), ...before?.dns?.nameservers ?? []]);
  if (ours.size > 0 && !servers.every((s) => ours.has(s))) return;
  const host = await readHostResolvConf(deps.defaults.resolvConfPath);
  const embedded = await embeddedResolvers(deps, record, after);
  await overwrite(path, resolvConf(spec, host, { ownNetwork: true, embedded, ...givenResolvers(deps, after) }));
}
