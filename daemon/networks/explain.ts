/**
 * `nyx network explain`: what a packet to a published port, or to a container, meets on its way, in the order in which it meets it.
 * The network worker reads what is in the kernel; this puts it into sentences.
 */

import type { ContainerRecord } from "../persist/record.ts";
import type { ExplainPath, ExplainStep, NetworkFile } from "../spec/api.ts";
import type { PortMapping } from "../spec/container.ts";
import { invalid } from "../spec/errors.ts";
import { tryNormalizeIp } from "../spec/parse/ip.ts";
import type { Container } from "../supervisor/container.ts";
import type { Stages } from "../supervisor/deps.ts";
import { networkMode } from "../supervisor/launch.ts";
import { LIVE } from "../supervisor/machine.ts";
import type { NetworkEndpoint, PathFacts } from "../../workers/protocol.ts";
import type { NetworkRecord } from "./record.ts";

/** Where answers come from. */
export interface ExplainSources {
  users: { readonly all: Container[]; find(ref: string): Container };
  network: Stages["network"];
  networks: (name: string) => (NetworkRecord & { cni?: NetworkFile }) | undefined;
  /** Why the host does not have a network at present. */
  problem: (name: string) => string | undefined;
}

type Port = Required<PortMapping>;

/** A port of the host as a user writes it. */
interface HostPort {
  address?: string;
  port: number;
  protocol: "tcp" | "udp" | "sctp";
}

const ok = (text: string): ExplainStep => ({ verdict: "ok", text });
const stop = (text: string): ExplainStep => ({ verdict: "stop", text });
const note = (text: string): ExplainStep => ({ verdict: "note", text });

/** `8080`, `8080/udp`, `127.0.0.1:8080`, `[::1]:8080/tcp`; undefined for what is no port. */
export function tryHostPort(text: string): HostPort | undefined {
  const match = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):)?(\d{1,5})(?:\/(tcp|udp|sctp))?$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65535) return undefined;
  const given = match[1] ?? match[2];
  const address = given === undefined ? undefined : tryNormalizeIp(given);
  if (given !== undefined && address === undefined) return undefined;
  return { ...(address === undefined ? {} : { address }), port, protocol: (match[4] ?? "tcp") as HostPort["protocol"] };
}

function isAny(ip: string): boolean {
  return ip === "" || ip === "0.0.0.0" || ip === "::";
}

function isLoopback(ip: string): boolean {
  return ip.startsWith("127.") || ip === "::1";
}

function shown(ip: string): string {
  return ip.includes(":") ? `[${ip}]` : ip;
}

function contains(p: Port, { port, protocol, address }: HostPort): boolean {
  const at = p.hostPort <= port && port < p.hostPort + p.count && p.protocol === protocol;
  return at && (address === undefined || isAny(p.hostIp) ? true : p.hostIp === address);
}

/** Whether the process runs, and where it is. */
function stateSteps({ name, status, record }: Container): ExplainStep[] {
  if (status === "paused") {
    return [
      stop(`Container "${name}" is paused: the kernel takes connections, but nobody answers; run: nyx unpause ${name}`),
    ];
  }
  if (LIVE.has(status)) return [ok(`Container "${name}" runs (pid ${record.state.pid}).`)];
  return [stop(`Container "${name}" does not run (${status}); run: nyx start ${name}`)];
}

/** Links from the bridge into the container. */
function linkSteps(facts: PathFacts, network: string, sources: ExplainSources): ExplainStep[] {
  const problem = sources.problem(network);
  if (problem !== undefined) return [stop(`The host does not have network "${network}": ${problem}`)];
  if (facts.container === undefined) return [stop("The container has no network namespace; restart it.")];
  const link = facts.container.links.find((l) => l.network === network);
  if (link === undefined) return [stop(`The container is not connected with network "${network}".`)];
  const { bridge, bridgeUp, attached, up, interface: name } = link;
  if (bridge === "") {
    if (!up) return [stop(`Interface ${name} inside the container is missing or down.`)];
    return [ok(`The container's ${name} is up; what it leads to is the affair of network "${network}".`)];
  }
  if (!bridgeUp) {
    return [stop(`Bridge ${bridge} is missing or down; nyxd restores it within a second, else restart nyxd.`)];
  }
  if (!attached) return [stop(`The container's interface is not on bridge ${bridge}; restart the container.`)];
  if (!up) return [stop(`Interface ${name} inside the container is down: something in it turned it off.`)];
  return [ok(`Bridge ${bridge} of network "${network}" is up, and the container's ${name} is plugged into it.`)];
}

/** Whether a program inside takes the packet. */
function listenerSteps(facts: PathFacts, port: { containerPort: number; protocol: string }, ip: string): ExplainStep[] {
  const found = facts.container?.listeners;
  const what = `${port.protocol} port ${port.containerPort}`;
  if (facts.container === undefined) return [];
  if (found === undefined) {
    return [note(`Whether a program in the container has ${what} cannot be seen on this kernel.`)];
  }
  if (found.length === 0) {
    return [stop(`No program in the container listens on ${what}: connections are refused.`)];
  }
  const reached = found.some((a) => isAny(a) || a === ip || a === `::ffff:${ip}`);
  if (reached) return [ok(`A program in the container listens on ${what} (${found.join(", ")}).`)];
  const loopback = found.every(isLoopback) ? "its loopback address alone" : found.join(", ");
  const any = ip.includes(":") ? "::" : "0.0.0.0";
  return [
    stop(`The program in the container listens on ${loopback}, not on ${ip}; let it listen on ${any} or ${ip}.`),
  ];
}

function firewallSteps(facts: PathFacts): ExplainStep[] {
  return facts.obstacles.length === 0
    ? [ok("No other firewall on this host drops forwarded packets or what containers send to the host.")]
    : facts.obstacles.map((o) => stop(`${o[0]?.toUpperCase()}${o.slice(1)}.`));
}

/** What CNI plugins did, and what they find of it now. */
function pluginSteps({ plugins, problems }: NonNullable<PathFacts["cni"]>): ExplainStep[] {
  if (problems.length > 0) return problems.map((text) => stop(`${text}; restart the container.`));
  return [ok(`CNI plugins attached the container, and find their work in place: ${plugins.join(", ")}.`)];
}

/** nyx's own part: forwarding, table, map element. */
function ruleSteps(facts: PathFacts, port: Port, hostPort: number, target: string): ExplainStep[] {
  const six = port.hostIp.includes(":");
  const steps: ExplainStep[] = [];
  const sysctl = six ? "net.ipv6.conf.all.forwarding" : "net.ipv4.ip_forward";
  const on = six ? facts.forwarding.v6 : facts.forwarding.v4;
  steps.push(
    on ? ok(`The host forwards packets (${sysctl} is 1).`) : stop(`${sysctl} is 0: no packet gets to a container.`),
  );
  if (facts.cni !== undefined) return [...steps, ...pluginSteps(facts.cni)];
  if (!facts.table) {
    return [...steps, stop("nyx's nftables table is missing or damaged; restart nyxd to make it anew.")];
  }
  const elements = facts.elements.filter((e) =>
    e.includes(" : ") && (e.split(" : ")[1] ?? "").split(" . ")[0] === target
  );
  const where = `${shown(port.hostIp)}:${hostPort}/${port.protocol}`;
  steps.push(
    elements.length > 0
      ? ok(`nyx's nftables map leads ${where} to ${shown(target)}:${port.containerPort + hostPort - port.hostPort}.`)
      : stop(`nyx's nftables map has no element for ${where}; restart the container, or nyxd.`),
  );
  return steps;
}

function scopeSteps(facts: PathFacts, port: Port, asked: string | undefined): ExplainStep[] {
  if (isLoopback(port.hostIp)) {
    const text = "It is published on a loopback address: programs of this host reach it, others are dropped.";
    return [asked === undefined || isLoopback(asked) ? note(text) : stop(text)];
  }
  if (isAny(port.hostIp)) {
    return [ok("It is published on all addresses of this host; packets to addresses of others pass untouched.")];
  }
  return facts.hostAddresses.includes(port.hostIp)
    ? [ok(`It is published on ${port.hostIp}, which this host has.`)]
    : [stop(`It is published on ${port.hostIp}, which is no address of this host at present.`)];
}

/** The way to one published port of a container. */
async function publishedPath(
  container: Container,
  port: Port,
  { hostPort, asked }: { hostPort: number; asked?: string },
  sources: ExplainSources,
): Promise<ExplainPath> {
  const { record, id } = container;
  const containerPort = port.containerPort + hostPort - port.hostPort;
  const { protocol } = port;
  const facts = await sources.network.call("facts", { id, hostPort, containerPort, protocol });
  const six = port.hostIp.includes(":");
  const endpoint = wayOut(record, six) ?? record.network?.endpoints[0];
  const target = (six ? endpoint?.ip6 : endpoint?.ip) ?? "";
  const subject = `${
    shown(port.hostIp)
  }:${hostPort}/${protocol} to container "${container.name}" port ${containerPort}`;
  const state = stateSteps(container);
  const steps = [...scopeSteps(facts, port, asked)];
  if (facts.hostListeners.some((a) => a === port.hostIp || isAny(a))) {
    steps.push(note(
      `A program of the host listens on ${protocol} port ${hostPort} too (${
        facts.hostListeners.join(", ")
      }); packets go to ` +
        "the container before it sees them.",
    ));
  }
  if (!LIVE.has(container.status)) return path(subject, [...steps, ...state]);
  steps.push(...ruleSteps(facts, port, hostPort, target), ...firewallSteps(facts));
  steps.push(...linkSteps(facts, endpoint?.network ?? "", sources), ...state);
  return path(subject, [...steps, ...listenerSteps(facts, { containerPort, protocol }, target)]);
}

/** The connection with a family's default route. */
function wayOut({ network }: ContainerRecord, six: boolean): NetworkEndpoint | undefined {
  const { gatewayNetwork, gatewayNetwork6 = gatewayNetwork, endpoints = [] } = network ?? {};
  return endpoints.find((e) => e.network === (six ? gatewayNetwork6 : gatewayNetwork));
}

/** Whether, and for what, a container's way out leads through one of its networks. */
function routeText(record: ContainerRecord, network: string): string {
  const { gatewayNetwork, gatewayNetwork6 } = record.network ?? {};
  if (gatewayNetwork6 === network) return "Its way out leads through this network for IPv6.";
  if (gatewayNetwork !== network) return "Its way out leads through another network.";
  return `Its way out leads through this network${gatewayNetwork6 === undefined ? "" : " for IPv4"}.`;
}

function path(subject: string, steps: ExplainStep[]): ExplainPath {
  return { subject, open: !steps.some((s) => s.verdict === "stop"), steps };
}

/** A port that no container publishes. */
async function strangersPath({ address, port, protocol }: HostPort, sources: ExplainSources): Promise<ExplainPath> {
  const facts = await sources.network.call("facts", { hostPort: port, protocol });
  const subject = `${address === undefined ? "" : `${shown(address)}:`}${port}/${protocol} of this host`;
  const at = (p: Port) => p.hostPort <= port && port < p.hostPort + p.count;
  const other = sources.users.all.flatMap((c) => c.record.ports.filter(at).map((p) => ({ c, p })))[0];
  const steps: ExplainStep[] = [];
  if (facts.hostListeners.length > 0) {
    steps.push(
      ok(`No container publishes it; a program of the host listens on it (${facts.hostListeners.join(", ")}).`),
    );
  } else steps.push(stop("No container publishes it, and no program of the host listens on it."));
  if (other !== undefined) {
    const { hostIp, hostPort, protocol: its } = other.p;
    steps.push(
      note(`Container "${other.c.name}" publishes ${shown(hostIp)}:${hostPort}/${its}, which is another port.`),
    );
  }
  return path(subject, steps);
}

/** How others get to a container, one network at a time. */
async function networkPaths(container: Container, sources: ExplainSources): Promise<ExplainPath[]> {
  const { record, id, name } = container;
  const facts = await sources.network.call("facts", { id, protocol: "tcp" });
  const endpoints = record.network?.endpoints ?? [];
  if (endpoints.length === 0) {
    return [path(`network of container "${name}"`, [
      ...stateSteps(container),
      stop("It is in no network: it has loopback alone; run: nyx network connect NETWORK " + name),
    ])];
  }
  return endpoints.map((e) => {
    const network = sources.networks(e.network);
    const addresses = [e.ip, e.ip6].filter((ip) => ip !== undefined).join(", ");
    const steps = [...stateSteps(container), ...linkSteps(facts, e.network, sources)];
    if (facts.cni !== undefined) steps.push(...pluginSteps(facts.cni));
    if (network?.bridge === "" || network?.cni !== undefined) {
      steps.push(
        note(`Who reaches it at ${addresses} is decided by ${network.cni?.file ?? `driver ${network.driver}`}.`),
      );
      return path(`network "${e.network}" to container "${name}"`, steps);
    }
    steps.push(ok(`Containers of network "${e.network}", and this host, reach every port of it at ${addresses}.`));
    if (network?.internal === true) {
      steps.push(note("The network is internal: nothing of it gets out, nothing comes in, no port is published."));
    } else {
      steps.push(note("Other networks and other hosts reach its published ports alone, by an address of this host."));
      steps.push(note(routeText(record, e.network)));
      steps.push(...firewallSteps(facts));
    }
    return path(`network "${e.network}" to container "${name}"`, steps);
  });
}

function portsOf(record: ContainerRecord): Port[] {
  return record.ports.filter((p) => p.count > 0);
}

async function containerPaths(container: Container, sources: ExplainSources): Promise<ExplainPath[]> {
  const mode = networkMode(container.record);
  if (mode === "host") {
    return [path(`container "${container.name}"`, [
      ...stateSteps(container),
      note("It uses the host's network: its ports are the host's, and nyx has no rule for them."),
    ])];
  }
  if (mode.startsWith("container:")) {
    const owner = sources.users.find(mode.slice("container:".length));
    return await containerPaths(owner, sources);
  }
  if (!LIVE.has(container.status)) return [path(`container "${container.name}"`, stateSteps(container))];
  const published = await Promise.all(
    portsOf(container.record).map((p) => publishedPath(container, p, { hostPort: p.hostPort }, sources)),
  );
  return [...published, ...await networkPaths(container, sources)];
}

/**
 * Explains.
 *
 * @param target a port of the host such as `8080`, `8080/udp` or `127.0.0.1:8080`, or a container
 * @throws NyxError not_found for what is neither
 */
export async function explain(target: string, sources: ExplainSources): Promise<ExplainPath[]> {
  const wanted = tryHostPort(target);
  if (wanted === undefined) {
    if (/[/[\]]/.test(target)) throw invalid("target", target, "write PORT[/PROTOCOL], ADDRESS:PORT or a container");
    return await containerPaths(sources.users.find(target), sources);
  }
  const matches = sources.users.all.flatMap((c) =>
    portsOf(c.record).filter((p) => contains(p, wanted)).map((p) => ({ c, p }))
  );
  // Ports of containers that do not run stay reserved, and say why nobody answers; one that runs comes first.
  matches.sort((a, b) => Number(LIVE.has(b.c.status)) - Number(LIVE.has(a.c.status)));
  const live = matches.filter(({ c }) => LIVE.has(c.status));
  const relevant = live.length > 0 ? live : matches;
  if (relevant.length > 0) {
    return await Promise.all(relevant.map(({ c, p }) =>
      publishedPath(c, p, {
        hostPort: wanted.port,
        ...(wanted.address === undefined ? {} : { asked: wanted.address }),
      }, sources)
    ));
  }
  const named = sources.users.all.some((c) => c.name === target);
  if (named) return await containerPaths(sources.users.find(target), sources);
  return [await strangersPath(wanted, sources)];
}
