/**
 * Published ports, `-p [HOSTIP:][HOSTPORT]:CONTAINERPORT[/PROTOCOL]`, and exposed ports, as Docker writes them. Ports may be
 * ranges `A-B`; an IPv6 host address stands in brackets.
 */

import type { PortMapping } from "../container.ts";
import { invalid } from "../errors.ts";
import { tryNormalizeIp } from "./ip.ts";

/** Transport protocols that can be published. */
export type PortProtocol = "tcp" | "udp" | "sctp";

interface Range {
  start: number;
  count: number;
}

const FORM = "write [HOST-IP:][HOST-PORT:]CONTAINER-PORT[/tcp|udp|sctp], such as 8080:80 or 127.0.0.1:5353:53/udp";

function isProtocol(text: string): text is PortProtocol {
  return text === "tcp" || text === "udp" || text === "sctp";
}

function parseProtocol(text: string | undefined, whole: string, field: string): PortProtocol {
  const protocol = text?.toLowerCase() ?? "tcp";
  if (!isProtocol(protocol)) throw invalid(field, whole, "the protocol is tcp, udp or sctp");
  return protocol;
}

function parseRange(text: string, whole: string, field: string, lowest: number): Range {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (match === null) throw invalid(field, whole, FORM);
  const start = Number(match[1]);
  const end = match[2] === undefined ? start : Number(match[2]);
  if (start < lowest || end > 65535) throw invalid(field, whole, `ports lie between ${lowest} and 65535`);
  if (end < start) throw invalid(field, whole, "a range ends at or after its start");
  if (start === 0 && end > 0) throw invalid(field, whole, "port 0 (any free port) cannot start a range");
  return { start, count: end - start + 1 };
}

/** Takes a host address off the front: `[v6]:`, or what stands before the second colon from the right. */
function splitHost(text: string, whole: string, field: string): { hostIp?: string; rest: string } {
  if (text.startsWith("[")) {
    const match = /^\[([^\]]*)\]:(.*)$/.exec(text);
    const ip = match?.[1] === undefined ? undefined : tryNormalizeIp(match[1]);
    if (match?.[2] === undefined || ip === undefined || !ip.includes(":")) {
      throw invalid(field, whole, "brackets hold an IPv6 address, such as [::1]:8080:80");
    }
    // In brackets an address is certain, so both ports must be spelt out: [::1]:8080:80 or [::1]::80.
    if (!match[2].includes(":")) throw invalid(field, whole, "after a host address write HOST-PORT:CONTAINER-PORT");
    return { hostIp: ip, rest: match[2] };
  }
  const parts = text.split(":");
  if (parts.length < 3) return { rest: text };
  if (parts.length > 3) throw invalid(field, whole, "write an IPv6 host address in brackets, such as [::1]:8080:80");
  const [host = "", ...ports] = parts;
  if (host === "") return { rest: ports.join(":") };
  const ip = tryNormalizeIp(host);
  if (ip === undefined) {
    throw invalid(field, whole, `"${host}" is not an IP address of this host; names do not work here`);
  }
  return { hostIp: ip, rest: ports.join(":") };
}

/**
 * One `-p` value. Without a host port (`-p 80`, `-p 127.0.0.1::80`) the daemon picks free ones (hostPort 0).
 *
 * @throws NyxError invalid_argument: bad grammar, ports out of range, ranges of different length, names for addresses
 */
export function parsePublish(text: string, field = "publish"): PortMapping {
  const slash = text.split("/");
  if (slash.length > 2) throw invalid(field, text, FORM);
  const protocol = parseProtocol(slash[1], text, field);
  const { hostIp, rest } = splitHost(slash[0] ?? "", text, field);
  const parts = rest.split(":");
  if (parts.length > 2) throw invalid(field, text, FORM);
  const containerText = parts.at(-1) ?? "";
  const hostText = parts.length === 2 ? parts[0] ?? "" : "";
  const container = parseRange(containerText, text, field, 1);
  const host = hostText === "" ? { start: 0, count: container.count } : parseRange(hostText, text, field, 0);
  if (host.start === 0) host.count = container.count;
  if (host.count !== container.count) {
    throw invalid(
      field,
      text,
      `the host range has ${host.count} ports and the container's ${container.count}; make them equal`,
    );
  }
  const mapping: PortMapping = { hostPort: host.start, containerPort: container.start, protocol };
  if (hostIp !== undefined) mapping.hostIp = hostIp;
  if (container.count > 1) mapping.count = container.count;
  return mapping;
}

/** The `-p` text of a mapping; {@linkcode parsePublish} reads it back to the same mapping. */
export function formatPublish(mapping: PortMapping): string {
  const count = mapping.count ?? 1;
  const range = (start: number) => count > 1 ? `${start}-${start + count - 1}` : String(start);
  const host = mapping.hostPort === 0 ? "" : range(mapping.hostPort);
  const ip = mapping.hostIp === undefined || mapping.hostIp === ""
    ? ""
    : `${mapping.hostIp.includes(":") ? `[${mapping.hostIp}]` : mapping.hostIp}:`;
  const left = ip === "" && host === "" ? "" : `${ip}${host}:`;
  return `${left}${range(mapping.containerPort)}/${mapping.protocol ?? "tcp"}`;
}

/** One exposed port or range, normalised to `80/tcp` or `7000-7010/udp`. */
export function parseExpose(text: string, field = "expose"): string {
  const slash = text.split("/");
  if (slash.length > 2 || slash[0] === undefined || slash[0].includes(":")) {
    throw invalid(field, text, "write PORT[-PORT][/tcp|udp|sctp]; to publish a port use -p");
  }
  const protocol = parseProtocol(slash[1], text, field);
  const { start, count } = parseRange(slash[0], text, field, 1);
  return `${count > 1 ? `${start}-${start + count - 1}` : start}/${protocol}`;
}
