/** Content of the /etc files a container gets: hosts lines and resolv.conf. Pure. */

import type { ContainerConfig } from "../spec/container.ts";
import { invalid } from "../spec/errors.ts";
import type { NetworkDns } from "../../workers/protocol.ts";

/** Docker's value for "the host, as the container reaches it". */
export const HOST_GATEWAY = "host-gateway";

/**
 * Lines of /etc/hosts beside localhost's: extra hosts, then the container's own addresses.
 *
 * @param config extraHosts (`name:ip`, `name=ip`), domainname
 * @param own hostname and addresses of the container
 * @param gateway address that `host-gateway` stands for
 */
export function hostsLines(
  config: Pick<ContainerConfig, "extraHosts" | "domainname">,
  own: { hostname: string; addresses: string[]; aliases: string[] },
  gateway: string,
): [string, string[]][] {
  const lines: [string, string[]][] = [];
  for (const entry of config.extraHosts ?? []) {
    const at = entry.search(/[:=]/);
    const name = entry.slice(0, at);
    let ip = entry.slice(at + 1);
    if (at <= 0 || ip === "") throw invalid("extraHosts", entry, 'use "name:ip" or "name:host-gateway"');
    if (ip.startsWith("[") && ip.endsWith("]")) ip = ip.slice(1, -1);
    if (ip !== HOST_GATEWAY && !/^[0-9a-fA-F:.]+$/.test(ip)) {
      throw invalid("extraHosts", entry, "the part after the name must be an IP address or host-gateway");
    }
    if (/[\s#]/.test(name)) throw invalid("extraHosts", entry, "a host name has no space and no #");
    lines.push([ip === HOST_GATEWAY ? gateway : ip, [name]]);
  }
  const full = config.domainname ? [`${own.hostname}.${config.domainname}`] : [];
  for (const ip of own.addresses) lines.push([ip, [...full, own.hostname, ...own.aliases]]);
  return lines;
}

/** What resolv.conf depends on beside the container's settings. */
export interface ResolverPlace {
  /** False when the container uses the host's network. */
  ownNetwork: boolean;
  /** nyx's resolvers on the container's networks, the default route's first; empty when there are none. */
  embedded: string[];
  /** What the network's backend, such as a CNI plugin, gives; counts where nyx's resolvers are not. */
  given?: NetworkDns;
}

/**
 * resolv.conf of a container. Its own servers where given; else nyx's resolver on its network; else those that its network's
 * backend gives, with their search list and options; else the host's without loopback ones, which a network namespace of its own
 * cannot reach. Only one kind is listed: resolvers that know different
 * names would make the answer depend on which one is asked.
 *
 * With nyx's resolver a name is tried as it is before the search list (ndots:0, as Docker has it), so that the name of a
 * container is not asked outside with a suffix first.
 *
 * @param host text of the host's resolv.conf
 * @param place where the container is
 */
export function resolvConf(
  config: Pick<ContainerConfig, "dns" | "dnsSearch" | "dnsOptions">,
  host: string,
  place: ResolverPlace,
): string {
  const of = (key: string) =>
    host.split("\n").map((l) => l.trim().split(/\s+/)).filter((w) => w[0] === key).flatMap((w) => w.slice(1));
  const given = place.embedded.length > 0 ? undefined : place.given;
  const servers = serversFor(config.dns, of("nameserver"), place);
  const searched = config.dnsSearch ?? given?.search ?? of("search").concat(of("domain"));
  const search = searched.length === 1 && searched[0] === "." ? [] : searched;
  const options = [...config.dnsOptions ?? given?.options ?? of("options")];
  const embedded = place.embedded.length > 0 && !config.dns?.length;
  if (embedded && !options.some((o) => o.startsWith("ndots:"))) options.push("ndots:0");
  const lines = servers.map((ip) => `nameserver ${ip}`);
  if (search.length > 0) lines.push(`search ${search.join(" ")}`);
  if (options.length > 0) lines.push(`options ${options.join(" ")}`);
  for (const word of [...servers, ...search, ...options]) {
    if (/\s/.test(word)) throw invalid("dns", word, "a word of resolv.conf has no white space");
  }
  return lines.length === 0 ? "# This host has no resolver that a container can reach.\n" : lines.join("\n") + "\n";
}

/** resolv.conf(5) knows three servers. */
const MAX_SERVERS = 3;

function serversFor(
  own: string[] | undefined,
  host: string[],
  { ownNetwork, embedded, given }: ResolverPlace,
): string[] {
  if (own !== undefined && own.length > 0) return own;
  if (embedded.length > 0) return embedded.slice(0, MAX_SERVERS);
  if (given !== undefined && given.nameservers.length > 0) return given.nameservers.slice(0, MAX_SERVERS);
  const loopback = (ip: string) => ip.startsWith("127.") || ip === "::1";
  return host.filter((ip) => !ownNetwork || !loopback(ip)).slice(0, MAX_SERVERS);
}
