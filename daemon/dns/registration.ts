/** A container's record as the resolver sees it. */

import type { ContainerRecord } from "../persist/record.ts";
import type { DnsNetwork, DnsRegistration } from "./zones.ts";

/**
 * Names and addresses that a record says its container has. Aliases belong to the network they were given for.
 *
 * @param defaultNetwork name of the network that attachments call `bridge` or `default`
 */
export function registrationOf(record: ContainerRecord, defaultNetwork: string): DnsRegistration {
  const { id, name, hostname, network } = record;
  const aliases = new Map<string, string[]>();
  for (const attachment of record.spec.networks ?? []) {
    const named = attachment.network;
    const own = named === "bridge" || named === "default" ? defaultNetwork : named;
    aliases.set(own, [...aliases.get(own) ?? [], ...attachment.aliases ?? []]);
  }
  return {
    id,
    name,
    hostname,
    endpoints: (network?.endpoints ?? []).map(({ network, ip, ip6 }) => ({
      network,
      ...(ip === undefined ? {} : { ip }),
      ...(ip6 === undefined ? {} : { ip6 }),
      aliases: aliases.get(network) ?? [],
    })),
  };
}

/**
 * The networks that a record's container was in, as far as its endpoints tell; not those whose gateway is not nyx's. The default
 * one is never internal; of others that is not known.
 */
export function networksOf({ network }: ContainerRecord, defaultNetwork: string): DnsNetwork[] {
  return (network?.endpoints ?? []).filter((e) => e.foreign !== true).map((e) => ({
    name: e.network,
    ...(e.ip === undefined || e.prefix === undefined ? {} : { subnet: `${e.ip}/${e.prefix}` }),
    ...(e.gateway === undefined ? {} : { gateway: e.gateway }),
    ...(e.ip6 === undefined || e.prefix6 === undefined ? {} : { subnet6: `${e.ip6}/${e.prefix6}` }),
    ...(e.gateway6 === undefined ? {} : { gateway6: e.gateway6 }),
    ...(e.network === defaultNetwork ? {} : { internal: "unknown" as const }),
  }));
}
