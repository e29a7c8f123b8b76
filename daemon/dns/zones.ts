/**
 * What the names of running containers mean, network by network.
 *
 * A network sees its own names only, so that the `db` of two projects never meet. A container in several networks sees the
 * names of all of them, its asking network's first.
 */

import { addressBytes, type Block, blockHas, tryBlock } from "./address.ts";
import { isWithin, lower, type Name, reverseName, tryName } from "./name.ts";

/** Domain below which every container has a full name. */
export const DOMAIN = "nyxd.local";
/** Names of the host as containers reach it: nyx's own, Docker's and Podman's. */
export const HOST_NAMES: readonly string[] = [
  `host.${DOMAIN}`,
  "host.docker.internal",
  "host.containers.internal",
];

/** A network as the resolver needs it. */
export interface DnsNetwork {
  name: string;
  /** CIDR. */
  subnet?: string;
  gateway?: string;
  subnet6?: string;
  gateway6?: string;
  /** Its containers reach nothing outside, so nothing is asked outside for them. While it is unknown they get no answer yet. */
  internal?: boolean | "unknown";
}

/** A container's place in one network. */
export interface DnsEndpoint {
  network: string;
  ip?: string;
  ip6?: string;
  aliases: string[];
}

/** A container's names and addresses. */
export interface DnsRegistration {
  id: string;
  name: string;
  hostname: string;
  endpoints: DnsEndpoint[];
}

/** What a name has: addresses in their bytes, or names that an address belongs to. */
export interface LocalRecords {
  a: Uint8Array[];
  aaaa: Uint8Array[];
  ptr: Name[];
}

/** Outcome of a look-up: `local` says that the name is nobody else's to answer; `zone` owns it. */
export type Lookup = { found: LocalRecords; zone: Name } | { found?: undefined; local: boolean; zone: Name };

/** Holder of the host's names. */
const HOST_ID = "";

interface Holder {
  id: string;
  records: LocalRecords;
}

const NYX_DOMAIN = lower(tryName(DOMAIN) ?? "");
const REVERSE_4 = tryName("in-addr.arpa") ?? "";
const REVERSE_6 = tryName("ip6.arpa") ?? "";
const LOCALHOST = tryName("localhost") ?? "";
const INVALID = tryName("invalid") ?? "";
const NOTHING: LocalRecords = { a: [], aaaa: [], ptr: [] };
const LOOPBACK_BLOCKS = ["127.0.0.0/8", "::1/128"].map(tryBlock).filter((b) => b !== undefined);
const LOOPBACK: LocalRecords = {
  a: [Uint8Array.of(127, 0, 0, 1)],
  aaaa: [addressBytes("::1") ?? new Uint8Array(16)],
  ptr: [],
};

/** Names of one network. */
class Zone {
  readonly network: DnsNetwork;
  readonly blocks: Block[];
  readonly names = new Map<Name, Holder[]>();
  /** Names that exist only because one below them does, with how many do. */
  readonly parents = new Map<Name, number>();
  /** Names by container. */
  readonly #entered = new Map<string, Name[]>();
  /** Container by its address in text. */
  readonly clients = new Map<string, string>();

  constructor(network: DnsNetwork) {
    this.network = network;
    this.blocks = [network.subnet, network.subnet6].map((cidr) => cidr === undefined ? undefined : tryBlock(cidr))
      .filter((b) => b !== undefined);
  }

  add(text: string, id: string, records: LocalRecords): void {
    const name = tryName(text.toLowerCase());
    if (name !== undefined && name !== "") this.addName(name, id, records);
  }

  addName(name: Name, id: string, records: LocalRecords): void {
    const holders = this.names.get(name) ?? [];
    if (holders.some((h) => h.id === id)) return;
    this.names.set(name, [...holders, { id, records }]);
    const entered = this.#entered.get(id);
    if (entered === undefined) this.#entered.set(id, [name]);
    else entered.push(name);
    this.#countParents(name, 1);
  }

  remove(id: string): void {
    for (const name of this.#entered.get(id) ?? []) {
      const rest = (this.names.get(name) ?? []).filter((h) => h.id !== id);
      if (rest.length === 0) this.names.delete(name);
      else this.names.set(name, rest);
      this.#countParents(name, -1);
    }
    this.#entered.delete(id);
  }

  #countParents(name: Name, change: 1 | -1): void {
    if (!isWithin(name, NYX_DOMAIN)) return;
    for (let parent = above(name); parent.length > NYX_DOMAIN.length; parent = above(parent)) {
      const count = (this.parents.get(parent) ?? 0) + change;
      if (count === 0) this.parents.delete(parent);
      else this.parents.set(parent, count);
    }
  }
}

function above(name: Name): Name {
  return name.slice(1 + name.charCodeAt(0));
}

/** The address that a reverse name stands for, or undefined when it is no whole one. */
export function addressOfReverse(name: Name): Uint8Array | undefined {
  const four = isWithin(name, REVERSE_4);
  if (!four && !isWithin(name, REVERSE_6)) return undefined;
  const bytes: number[] = [];
  const labels: string[] = [];
  const end = name.length - (four ? REVERSE_4 : REVERSE_6).length;
  for (let at = 0; at < end; at += 1 + name.charCodeAt(at)) {
    labels.push(name.slice(at + 1, at + 1 + name.charCodeAt(at)));
  }
  labels.reverse();
  if (four) bytes.push(...labels.map((l) => /^\d{1,3}$/.test(l) ? Number(l) : 256));
  else {
    const nibbles = labels.map((l) => /^[0-9a-f]$/.test(l) ? Number.parseInt(l, 16) : 256);
    for (let i = 0; i < nibbles.length; i += 2) bytes.push((nibbles[i] ?? 256) << 4 | (nibbles[i + 1] ?? 256));
  }
  return bytes.length === (four ? 4 : 16) && bytes.every((b) => b < 256) ? Uint8Array.from(bytes) : undefined;
}

/** All zones. */
export class Zones {
  readonly #zones = new Map<string, Zone>();
  readonly #registrations = new Map<string, DnsRegistration>();
  #turn = 0;

  /** Adds a network, or takes its changed definition. */
  addNetwork(network: DnsNetwork): void {
    const zone = new Zone(network);
    this.#zones.set(network.name, zone);
    const host = {
      a: [addressBytes(network.gateway ?? "")].filter((b) => b !== undefined),
      aaaa: [addressBytes(network.gateway6 ?? "")].filter((b) => b !== undefined),
      ptr: [],
    };
    for (const name of HOST_NAMES) zone.add(name, HOST_ID, host);
    const ptr = { a: [], aaaa: [], ptr: [tryName(`host.${DOMAIN}`) ?? ""] };
    for (const address of [...host.a, ...host.aaaa]) zone.addName(reverseName(address), HOST_ID, ptr);
    for (const registration of this.#registrations.values()) this.#enter(registration, network.name);
  }

  /** Forgets a network. */
  removeNetwork(name: string): void {
    this.#zones.delete(name);
  }

  /** Enters a container's names; what was known of it before is replaced. */
  register(registration: DnsRegistration): void {
    this.deregister(registration.id);
    this.#registrations.set(registration.id, registration);
    this.#enter(registration);
  }

  #enter({ id, name, hostname, endpoints }: DnsRegistration, only?: string): void {
    for (const { network, ip, ip6, aliases } of endpoints) {
      const zone = this.#zones.get(network);
      if (zone === undefined || (only !== undefined && only !== network)) continue;
      const addresses = [ip, ip6].filter((text) => text !== undefined);
      const bytes = addresses.map(addressBytes).filter((b) => b !== undefined);
      const records = { a: bytes.filter((b) => b.length === 4), aaaa: bytes.filter((b) => b.length === 16), ptr: [] };
      for (const text of new Set([name, id.slice(0, 12), hostname, ...aliases])) {
        zone.add(text, id, records);
        zone.add(`${text}.${DOMAIN}`, id, records);
        zone.add(`${text}.${network}`, id, records);
      }
      const ptr = { a: [], aaaa: [], ptr: [tryName(`${name}.${DOMAIN}`) ?? ""] };
      for (const address of bytes) zone.addName(reverseName(address), id, ptr);
      for (const address of addresses) zone.clients.set(address, id);
    }
  }

  /** Forgets a container's names; one that is unknown is no error. */
  deregister(id: string): void {
    const registration = this.#registrations.get(id);
    if (registration === undefined) return;
    this.#registrations.delete(id);
    for (const { network } of registration.endpoints) {
      const zone = this.#zones.get(network);
      if (zone === undefined) continue;
      zone.remove(id);
      for (const [address, owner] of zone.clients) if (owner === id) zone.clients.delete(address);
    }
  }

  /**
   * Whether `client` may ask the resolver of `network`: its containers, and the host itself, by the gateway's address or a
   * loopback one, which no packet from outside can have.
   */
  admits(network: string, client: string): boolean {
    const zone = this.#zones.get(network);
    if (zone === undefined) return false;
    if (zone.clients.has(client)) return true;
    const bytes = addressBytes(client);
    return bytes !== undefined && [...zone.blocks, ...LOOPBACK_BLOCKS].some((b) => blockHas(b, bytes));
  }

  /** Whether questions of `client` may be asked outside: not when all its networks are internal. */
  mayForward(network: string, client: string): boolean | "unknown" {
    const internal = this.#visible(network, client).map((zone) => zone.network.internal ?? false);
    if (internal.includes(false)) return true;
    return internal.includes("unknown") ? "unknown" : false;
  }

  #visible(network: string, client: string): Zone[] {
    const own = this.#zones.get(network);
    if (own === undefined) return [];
    const registration = this.#registrations.get(own.clients.get(client) ?? "");
    if (registration === undefined || registration.endpoints.length < 2) return [own];
    const others = registration.endpoints.map((e) => this.#zones.get(e.network));
    return [own, ...others.filter((z) => z !== undefined && z !== own)] as Zone[];
  }

  /**
   * Looks up a name for a client.
   *
   * @param name in lower case
   * @returns all addresses of all who have the name, in an order that rotates
   */
  lookup(network: string, client: string, name: Name): Lookup {
    const zones = this.#visible(network, client);
    for (const [i, zone] of zones.entries()) {
      const holders = zone.names.get(name);
      if (holders === undefined) continue;
      return { found: bothFamilies(this.#rotated(holders), holders, zones.slice(i + 1), name), zone: zoneOf(name) };
    }
    if (isWithin(name, LOCALHOST)) return { found: LOOPBACK, zone: LOCALHOST };
    if (isWithin(name, NYX_DOMAIN)) {
      const exists = name === NYX_DOMAIN || zones.some((z) => z.parents.has(name));
      return exists ? { found: NOTHING, zone: NYX_DOMAIN } : { local: true, zone: NYX_DOMAIN };
    }
    if (isWithin(name, INVALID)) return { local: true, zone: INVALID };
    const address = addressOfReverse(name);
    const ours = address !== undefined && zones.some((z) => z.blocks.some((b) => blockHas(b, address)));
    return { local: ours, zone: zoneOf(name) };
  }

  #rotated(all: Holder[]): LocalRecords {
    // A container that is called like the host wins.
    const holders = all.length > 1 ? all.filter((h) => h.id !== HOST_ID) : all;
    const [first] = holders;
    if (first !== undefined && holders.length === 1) return first.records;
    const start = this.#turn++ % holders.length;
    const order = [...holders.slice(start), ...holders.slice(0, start)].map((h) => h.records);
    return {
      a: order.flatMap((r) => r.a),
      aaaa: order.flatMap((r) => r.aaaa),
      ptr: order.flatMap((r) => r.ptr),
    };
  }
}

/**
 * Records with the family that they lack, where the same containers have it in a network farther back: of two networks one may have
 * IPv4 and the other IPv6 alone.
 */
function bothFamilies(found: LocalRecords, holders: Holder[], others: readonly Zone[], name: Name): LocalRecords {
  const { a, aaaa, ptr } = found;
  if (others.length === 0 || (a.length > 0 && aaaa.length > 0) || ptr.length > 0) return found;
  const ids = new Set(holders.map((h) => h.id));
  const more = others.flatMap((z) => z.names.get(name) ?? []).filter((h) => ids.has(h.id)).map((h) => h.records);
  return {
    a: a.length > 0 ? a : more.flatMap((r) => r.a),
    aaaa: aaaa.length > 0 ? aaaa : more.flatMap((r) => r.aaaa),
    ptr,
  };
}

/** Owner of the SOA record of a negative answer: the domain of nyx, the reverse tree, or the name itself. */
function zoneOf(name: Name): Name {
  for (const zone of [NYX_DOMAIN, REVERSE_4, REVERSE_6]) if (isWithin(name, zone)) return zone;
  return name;
}
