/** Networks as the API shows them. Pure. */

import type { NetworkInfo, NetworkMember } from "../spec/api.ts";
import type { Container } from "../supervisor/container.ts";
import { LIVE } from "../supervisor/machine.ts";
import { familyOf } from "./cidr.ts";
import type { NetworkRecord } from "./record.ts";

/** Whether a network has a label, `KEY` or `KEY=VALUE`. */
export function hasLabel({ labels }: NetworkRecord, wanted: string): boolean {
  const at = wanted.indexOf("=");
  if (at < 0) return Object.hasOwn(labels, wanted);
  return labels[wanted.slice(0, at)] === wanted.slice(at + 1);
}

function memberOf({ id, name, status, record }: Container, network: string): NetworkMember {
  const endpoint = LIVE.has(status) ? record.network?.endpoints.find((e) => e.network === network) : undefined;
  if (endpoint === undefined) return { id, name, status };
  const { ip, prefix, ip6, mac } = endpoint;
  const four = ip === undefined || prefix === undefined ? {} : { ip, prefix };
  return { id, name, status, ...four, ...(ip6 === undefined ? {} : { ip6 }), mac };
}

/** A network with its containers, and why the host does not have it. */
export function infoOf(record: NetworkRecord, users: readonly Container[], problem: string | undefined): NetworkInfo {
  const { v: _, ...fields } = record;
  const has = (family: 4 | 6) => record.subnets.some((s) => familyOf(s.subnet) === family);
  return {
    ...fields,
    // The file of a CNI network need not tell: its addresses may come from elsewhere.
    ipv4: has(4) || record.subnets.length === 0,
    ipv6: has(6),
    containers: users.map((c) => memberOf(c, record.name)),
    ...(problem === undefined ? {} : { problem }),
  };
}

/** What events about a network say of it. */
export function eventAttributes({ name, driver: type, labels }: NetworkRecord): Record<string, string> {
  return { name, type, ...Object.fromEntries(Object.entries(labels).map(([k, v]) => [`label.${k}`, v])) };
}
