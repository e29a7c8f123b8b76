/** Results of plugins (CNI specification 0.3.0 to 1.1.0, section 5), checked: what they say ends up in /etc/hosts and resolv.conf. */

import { NyxError } from "../../daemon/spec/errors.ts";
import { formatIp, type IpBytes, tryParseCidr, tryParseIp, tryParseMac } from "../../ffi/ip_address.ts";
import type { NetworkDns, NetworkEndpoint } from "../protocol.ts";
import { isObject } from "./conflist.ts";

/** An interface that a plugin made. */
export interface ResultInterface {
  name: string;
  mac?: string;
  /** Namespace it is in; missing on the host's side. */
  sandbox?: string;
}

/** An address that a plugin gave. */
export interface ResultIp {
  ip: IpBytes;
  prefix: number;
  gateway?: IpBytes;
  /** Index into the interfaces. */
  interface?: number;
}

/** A checked result. */
export interface CniResult {
  interfaces: ResultInterface[];
  ips: ResultIp[];
  dns: NetworkDns;
  /** As the plugin wrote it: the next one gets it as `prevResult`. */
  raw: Record<string, unknown>;
}

const MOST_ENTRIES = 64;
/** Interface names of Linux: no slash, no white space, no colon. */
const INTERFACE_NAME = /^[^\s/:\0]{1,15}$/;
/** A word of resolv.conf. */
// deno-lint-ignore no-control-regex
const WORD = /^[^\s\x00-\x1f\x7f;#]{1,255}$/;

/** Thrown with the value that is wrong; {@linkcode parseResult} says whose it is. */
class Wrong extends Error {}

function listOf(value: unknown, field: string): unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new Wrong(`${field} is no list`);
  if (value.length > MOST_ENTRIES) throw new Wrong(`${field} has ${value.length} entries; ${MOST_ENTRIES} is the most`);
  return value;
}

function interfaceOf(value: unknown): ResultInterface {
  if (!isObject(value) || typeof value.name !== "string" || !INTERFACE_NAME.test(value.name)) {
    throw new Wrong(`${JSON.stringify(value)} is no interface`);
  }
  const { name, mac, sandbox } = value;
  const bytes = typeof mac === "string" && mac !== "" ? tryParseMac(mac) : undefined;
  if (typeof mac === "string" && mac !== "" && bytes === undefined) {
    throw new Wrong(`${JSON.stringify(mac)} is no hardware address`);
  }
  return {
    name,
    ...(bytes === undefined ? {} : { mac: mac as string }),
    ...(typeof sandbox === "string" && sandbox !== "" ? { sandbox } : {}),
  };
}

function ipOf(value: unknown, interfaces: number): ResultIp {
  const { address, gateway, interface: at } = isObject(value) ? value : {};
  // The block's host bits are the address itself.
  const [ipText = "", prefixText = ""] = typeof address === "string" ? address.split("/") : [];
  const ip = tryParseIp(ipText);
  if (ip === undefined || tryParseCidr(`${ipText}/${prefixText}`) === undefined) {
    throw new Wrong(`${JSON.stringify(address) ?? "nothing"} is no address with a prefix length`);
  }
  const via = typeof gateway === "string" && gateway !== "" ? tryParseIp(gateway) : undefined;
  if (typeof gateway === "string" && gateway !== "" && via?.length !== ip.length) {
    throw new Wrong(`${JSON.stringify(gateway)} is no gateway for ${ipText}`);
  }
  if (at !== undefined && !(Number.isInteger(at) && (at as number) >= -1 && (at as number) < interfaces)) {
    throw new Wrong(`address ${ipText} is on interface number ${JSON.stringify(at)}, which is not in the result`);
  }
  return {
    ip,
    prefix: Number(prefixText),
    ...(via === undefined ? {} : { gateway: via }),
    ...(typeof at === "number" && at >= 0 ? { interface: at } : {}),
  };
}

function wordsOf(value: unknown, field: string): string[] {
  return listOf(value, field).map((word) => {
    if (typeof word !== "string" || !WORD.test(word)) throw new Wrong(`${field} has ${JSON.stringify(word)}`);
    return word;
  });
}

function dnsOf(value: unknown): NetworkDns {
  if (value === undefined || value === null) return { nameservers: [], search: [], options: [] };
  if (!isObject(value)) throw new Wrong("dns is no object");
  const nameservers = wordsOf(value.nameservers, "dns.nameservers");
  const bad = nameservers.find((text) => tryParseIp(text) === undefined);
  if (bad !== undefined) throw new Wrong(`dns.nameservers has ${JSON.stringify(bad)}, which is no address`);
  const { domain } = value;
  const own = typeof domain === "string" && domain !== "" ? wordsOf([domain], "dns.domain") : [];
  return {
    nameservers,
    search: [...new Set([...own, ...wordsOf(value.search, "dns.search")])],
    options: wordsOf(value.options, "dns.options"),
  };
}

/**
 * Reads a result.
 *
 * @param text what the plugin wrote
 * @param who the plugin and the network, for the message
 * @throws NyxError internal: the plugin is at fault, not the user
 */
export function parseResult(text: string, who: string): CniResult {
  try {
    const raw: unknown = JSON.parse(text);
    if (!isObject(raw)) throw new Wrong("it is no JSON object");
    const interfaces = listOf(raw.interfaces, "interfaces").map(interfaceOf);
    const ips = listOf(raw.ips, "ips").map((v) => ipOf(v, interfaces.length));
    return { interfaces, ips, dns: dnsOf(raw.dns), raw };
  } catch (e) {
    const shown = text.length > 200 ? `${text.slice(0, 200)}…` : text;
    throw new NyxError(
      "internal",
      `Could not use the result of ${who}: ${(e as Error).message}; it wrote ${JSON.stringify(shown)}`,
      { cause: e },
    );
  }
}

/** What a result without any address is refused with. */
function addressless(network: string): NyxError {
  return new NyxError(
    "failed_precondition",
    `Could not use network "${network}": its plugins gave the container no address; let one of them have an ipam section`,
    { context: { network } },
  );
}

/**
 * The container's end of an attachment.
 *
 * @param ifname name that ADD asked for
 * @throws NyxError failed_precondition for a result without an address
 */
export function endpointOf(
  result: CniResult,
  { network, ifname, bridged }: { network: string; ifname: string; bridged: boolean },
): NetworkEndpoint {
  const inside = (at: number | undefined) => at === undefined || result.interfaces[at]?.sandbox !== undefined;
  const mine = result.ips.filter((ip) => inside(ip.interface));
  const v4 = mine.find((i) => i.ip.length === 4);
  const v6 = mine.find((i) => i.ip.length === 16);
  if (v4 === undefined && v6 === undefined) throw addressless(network);
  const named = result.interfaces.find((i) => i.sandbox !== undefined && i.name === ifname) ??
    result.interfaces.find((i) => i.sandbox !== undefined);

  return {
    network,
    interface: named?.name ?? ifname,
    ...(v4 === undefined ? {} : { ip: formatIp(v4.ip), prefix: v4.prefix }),
    ...(v4?.gateway === undefined ? {} : { gateway: formatIp(v4.gateway) }),
    mac: named?.mac ?? "",
    ...(v6 === undefined ? {} : { ip6: formatIp(v6.ip), prefix6: v6.prefix }),
    ...(v6?.gateway === undefined ? {} : { gateway6: formatIp(v6.gateway) }),
    ...(bridged ? {} : { foreign: true }),
  };
}

/** Host-side interfaces of a result, the one plugged into the container last. */
export function hostInterfaces({ interfaces }: CniResult): string[] {
  return interfaces.filter((i) => i.sandbox === undefined).map((i) => i.name);
}
