/** Published ports: checked, completed, free of conflicts with other containers and with programs on the host. */

import { invalid, NyxError } from "../../daemon/spec/errors.ts";
import type { PortMapping } from "../../daemon/spec/container.ts";
import { isErrno } from "../../ffi/errno.ts";
import { formatIp, tryParseIp } from "../../ffi/ip_address.ts";
import { addressesOfPort, localPorts } from "../../ffi/netlink/sock_diag.ts";
import { IPPROTO_TCP, IPPROTO_UDP, type SocketKernel } from "../../ffi/socket.ts";
import { bindPort } from "./holds.ts";
import { isAnyAddress, type PublishedPort } from "./ruleset.ts";

/** What sockets are there cannot be listed on this kernel. */
const NO_SOCK_DIAG = ["ENOENT", "EOPNOTSUPP", "EPROTONOSUPPORT", "EINVAL"] as const;
/** Ports in a range from which a listing of all sockets is cheaper than a probe of each. */
const LISTING_PAYS = 16;

/** How a port or range reads in messages. */
export function portText({ hostIp, hostPort, count, protocol }: PublishedPort): string {
  const host = hostIp.includes(":") ? `[${hostIp}]` : hostIp;
  return `${host}:${hostPort}${count > 1 ? `-${hostPort + count - 1}` : ""}/${protocol}`;
}

function checkRange(field: string, first: number, count: number, least: number): void {
  if (!Number.isInteger(first) || first < least || first + count - 1 > 65535) {
    const shown = count > 1 ? `${first}-${first + count - 1}` : first;
    throw invalid(field, shown, `ports are ${least} to 65535`);
  }
}

/** Families of the addresses that published ports can lead to. */
export interface PortFamilies {
  v4: boolean;
  v6: boolean;
}

function hostAddress(text: string, { v4, v6 }: PortFamilies): string[] {
  if (text === "") return [...(v4 ? ["0.0.0.0"] : []), ...(v6 ? ["::"] : [])];
  const bytes = tryParseIp(text.replace(/^\[(.*)\]$/, "$1"));
  if (bytes === undefined) throw invalid("publish host address", text, "write an IP address, not a name");
  const ip = formatIp(bytes);
  if (bytes.length === 16 && !v6) {
    throw invalid("publish host address", text, "no network of the container has IPv6");
  }
  if (bytes.length === 4 && !v4) {
    throw invalid(
      "publish host address",
      text,
      "the container's network has IPv6 alone; publish on an IPv6 address such as [::], or give the container a network with IPv4",
    );
  }
  if (ip === "::1") {
    throw invalid("publish host address", text, "the kernel cannot translate ::1; publish on 127.0.0.1");
  }
  return [ip];
}

/**
 * Checks mappings and fills in defaults. A mapping for all addresses becomes one for each family the container has; an
 * ephemeral one keeps hostPort 0.
 *
 * @throws NyxError invalid_argument
 */
export function completePorts(
  ports: readonly PortMapping[],
  options: { defaultHostIp: string; families: PortFamilies },
): PublishedPort[] {
  return ports.flatMap((mapping) => {
    const { hostPort, containerPort, count = 1, protocol = "tcp" } = mapping;
    if (!["tcp", "udp", "sctp"].includes(protocol)) throw invalid("publish protocol", protocol, "use tcp, udp or sctp");
    if (!Number.isInteger(count) || count < 1) throw invalid("publish range", count, "it must hold at least one port");
    checkRange("publish host port", hostPort, count, 0);
    if (hostPort === 0 && count > 65535) throw invalid("publish range", count, "it holds more ports than there are");
    checkRange("publish container port", containerPort, count, 1);
    const asked = mapping.hostIp === undefined || mapping.hostIp === "" ? options.defaultHostIp : mapping.hostIp;
    return hostAddress(asked, options.families).map((hostIp) => ({
      hostIp,
      hostPort,
      containerPort,
      count,
      protocol,
    }));
  });
}

/** Whether two published ports want a common address and port. */
export function collides(a: PublishedPort, b: PublishedPort): boolean {
  if (a.protocol !== b.protocol || a.hostIp.includes(":") !== b.hostIp.includes(":")) return false;
  if (a.hostIp !== b.hostIp && !isAnyAddress(a.hostIp) && !isAnyAddress(b.hostIp)) return false;
  return a.hostPort < b.hostPort + b.count && b.hostPort < a.hostPort + a.count;
}

/** Outcome of a probe: the first port somebody has, or why the address cannot be used. */
export type ProbeResult = { state: "free" } | { state: "taken"; port: number } | { state: "no-address" };

function probeOne(kernel: SocketKernel, port: PublishedPort, n: number): ProbeResult["state"] {
  const bound = bindPort(kernel, port, n);
  if (bound === "no-protocol") return "free";
  if (typeof bound === "string") return bound;
  kernel.closeSocket(bound.fd);
  return "free";
}

/**
 * Ports of a range that are worth a probe: all of a short one; of a long one those that some socket has, whatever its address,
 * as one listing tells.
 */
function suspects(kernel: SocketKernel, { hostPort, count, protocol }: PublishedPort): number[] {
  const all = Array.from({ length: count }, (_, i) => hostPort + i);
  if (count <= LISTING_PAYS || protocol === "sctp") return all;
  try {
    const used = localPorts(kernel, protocol === "udp" ? IPPROTO_UDP : IPPROTO_TCP);
    return all.filter((n) => n === hostPort || used.has(n));
  } catch (e) {
    if (isErrno(e, ...NO_SOCK_DIAG)) return all;
    throw e;
  }
}

/** Port of nyx's own resolvers. */
const DNS_PORT = 53;

/** Whether nobody but nyx's resolvers, on addresses of their own, has the DNS port: it can be published on all others. */
function isOwnResolver(kernel: SocketKernel, { hostIp, protocol }: PublishedPort, n: number, own: string[]): boolean {
  if (n !== DNS_PORT || !isAnyAddress(hostIp) || protocol === "sctp" || own.length === 0) return false;
  try {
    const holders = addressesOfPort(kernel, protocol === "udp" ? IPPROTO_UDP : IPPROTO_TCP, n);
    return holders.length > 0 && holders.every((address) => own.includes(formatIp(address)));
  } catch (e) {
    if (isErrno(e, ...NO_SOCK_DIAG)) return false;
    throw e;
  }
}

/**
 * Tries to bind a port or range in the calling thread's namespace, and lets go at once.
 *
 * @param own addresses on which nyx itself answers DNS
 */
export function probePort(kernel: SocketKernel, port: PublishedPort, own: string[] = []): ProbeResult {
  for (const n of suspects(kernel, port)) {
    const state = probeOne(kernel, port, n);
    if (state === "taken" && isOwnResolver(kernel, port, n, own)) continue;
    if (state === "taken") return { state, port: n };
    if (state === "no-address") return { state };
  }
  return { state: "free" };
}

/** What ports are reserved, by whom, and where ephemeral ones come from. */
export class PortTable {
  readonly #kernel: SocketKernel;
  readonly #byId = new Map<string, { name: string; ports: PublishedPort[] }>();
  readonly #ephemeral: { first: number; last: number };
  readonly #resolvers: () => string[];
  #cursor: number;

  /**
   * @param kernel for probes, in the host's network namespace
   * @param ephemeral range that ephemeral ports are taken from, both ends included
   * @param resolvers addresses on which nyx itself answers DNS, which publish nothing
   */
  constructor(kernel: SocketKernel, ephemeral: { first: number; last: number }, resolvers: () => string[] = () => []) {
    this.#kernel = kernel;
    this.#ephemeral = ephemeral;
    this.#resolvers = resolvers;
    this.#cursor = ephemeral.first;
  }

  /** Marks ports that are reserved already, without a probe. */
  hold(id: string, name: string, ports: PublishedPort[]): void {
    if (ports.length > 0) this.#byId.set(id, { name, ports });
  }

  /** Gives all ports of a container back. */
  free(id: string): void {
    this.#byId.delete(id);
  }

  /**
   * Reserves ports for a container in place of those it had; an ephemeral mapping gets the port it had when that is still
   * free.
   *
   * @param running the container has its ports open: those that stay are not looked at anew
   * @throws NyxError already_exists with the holder, failed_precondition for a foreign address; nothing changes then
   */
  reserve(id: string, name: string, wanted: PublishedPort[], running = false): PublishedPort[] {
    const before = [...this.#byId.get(id)?.ports ?? []];
    const open = running ? [...before] : [];
    const chosen: PublishedPort[] = [];
    let pair: { source: PublishedPort; hostPort: number } | undefined;
    for (const port of wanted) {
      let settled: PublishedPort;
      if (port.hostPort === 0) {
        const paired = pair !== undefined && isTwin(pair.source, port) ? pair.hostPort : undefined;
        settled = this.#settleEphemeral(id, port, { paired, before, chosen, open });
        pair = { source: port, hostPort: settled.hostPort };
      } else {
        this.#refuseConflict(id, name, port, chosen);
        if (!open.some((p) => samePort(p, port))) this.#refuseForeign(port);
        settled = port;
      }
      chosen.push(settled);
    }
    this.#byId.delete(id);
    this.hold(id, name, chosen);
    return chosen;
  }

  #holder(id: string, port: PublishedPort): { name: string; port: PublishedPort } | undefined {
    for (const [other, { name, ports }] of this.#byId) {
      if (other === id) continue;
      const hit = ports.find((p) => collides(p, port));
      if (hit !== undefined) return { name, port: hit };
    }
    return undefined;
  }

  #refuseConflict(id: string, name: string, port: PublishedPort, chosen: PublishedPort[]): void {
    const own = chosen.find((p) => collides(p, port));
    if (own !== undefined) {
      throw invalid("publish", portText(port), `the container publishes ${portText(own)} as well; one of them must go`);
    }
    const holder = this.#holder(id, port);
    if (holder === undefined) return;
    throw new NyxError(
      "already_exists",
      `Could not publish ${portText(port)} for ${name}: container ${holder.name} has ${portText(holder.port)}; ` +
        "choose another host port, or remove that container",
      { context: { field: "publish", value: portText(port), holder: holder.name } },
    );
  }

  #refuseForeign(port: PublishedPort): void {
    const probe = probePort(this.#kernel, port, this.#resolvers());
    if (probe.state === "taken") {
      const flag = port.protocol === "udp" ? "u" : port.protocol === "sctp" ? "S" : "t";
      throw new NyxError(
        "already_exists",
        `Could not publish ${portText(port)}: a program on the host has port ${probe.port}; ` +
          `see who with "ss -Hlnp${flag} sport = :${probe.port}", or choose another host port`,
        { context: { field: "publish", value: portText(port), holder: "host" } },
      );
    }
    if (probe.state === "no-address") {
      throw new NyxError(
        "failed_precondition",
        `Could not publish ${portText(port)}: ${port.hostIp} is no address of this host; see "ip address"`,
        { context: { field: "publish", value: portText(port) } },
      );
    }
  }

  #settleEphemeral(
    id: string,
    port: PublishedPort,
    { paired, before, chosen, open }: {
      paired: number | undefined;
      before: PublishedPort[];
      chosen: PublishedPort[];
      open: PublishedPort[];
    },
  ): PublishedPort {
    const had = before.findIndex((p) => samePort({ ...p, hostPort: 0 }, port));
    const kept = had < 0 ? undefined : before.splice(had, 1)[0];
    const fits = (candidate: PublishedPort) =>
      !chosen.some((p) => collides(p, candidate)) && this.#holder(id, candidate) === undefined &&
      (open.some((p) => samePort(p, candidate)) || probePort(this.#kernel, candidate).state === "free");
    for (const hostPort of [kept?.hostPort, paired]) {
      if (hostPort !== undefined && fits({ ...port, hostPort })) return { ...port, hostPort };
    }
    const { first, last } = this.#ephemeral;
    const places = last - first + 1 - (port.count - 1);
    for (let i = 0; i < places; i++) {
      const candidate = { ...port, hostPort: first + (this.#cursor - first + i) % places };
      const six = { ...candidate, hostIp: "::" };
      const also = port.hostIp === "0.0.0.0" ? this.#holder(id, six) === undefined : true;
      if (!also || !fits(candidate)) continue;
      this.#cursor = candidate.hostPort + port.count;
      if (this.#cursor > last) this.#cursor = first;
      return candidate;
    }
    throw new NyxError(
      "resource_exhausted",
      `Could not find ${port.count} free ${port.protocol} port(s) on ${port.hostIp} in ${first}-${last}; ` +
        "name the host port, or widen net.ipv4.ip_local_port_range",
    );
  }
}

/** Whether two published ports are the same in everything. */
export function samePort(a: PublishedPort, b: PublishedPort): boolean {
  return a.hostIp === b.hostIp && a.hostPort === b.hostPort && a.containerPort === b.containerPort &&
    a.count === b.count && a.protocol === b.protocol;
}

/** Whether a mapping is the IPv6 half of another on all addresses, so that both families get the same ephemeral port. */
export function isTwin(v4: PublishedPort, v6: PublishedPort): boolean {
  return v4.hostIp === "0.0.0.0" && v6.hostIp === "::" && samePort({ ...v4, hostIp: "::" }, v6);
}
