/** Network flags of `run`: `--network`, `--add-host`, `--dns`, `--mac-address`, `--ip`, host names. */

import type { NetworkAttachment } from "../container.ts";
import { OBJECT_NAME } from "../container.ts";
import { invalid } from "../errors.ts";
import { parseInteger } from "./cpus.ts";
import { parseCsvLine } from "./csv.ts";
import { ipVersion, tryMac, tryNormalizeIp } from "./ip.ts";

/** One `--network`: a mode that takes no attachment, or an attachment. */
export type NetworkChoice =
  | { kind: "mode"; mode: string }
  | { kind: "attachment"; attachment: NetworkAttachment };

/** An address of one family, normalised. */
export function parseIp(text: string, field: string, version?: 4 | 6): string {
  const found = ipVersion(text);
  if (found === undefined || (version !== undefined && found !== version)) {
    throw invalid(
      field,
      text,
      `give an IPv${version ?? "4 or IPv6"} address, such as ${version === 6 ? "fd00::10" : "10.88.0.10"}`,
    );
  }
  return tryNormalizeIp(text) ?? text;
}

/** A unicast hardware address, in lower case with colons. */
export function parseMac(text: string, field = "mac-address"): string {
  const mac = tryMac(text);
  if (mac === undefined) {
    throw invalid(field, text, "give six hex octets of a unicast address, such as 02:42:ac:11:00:02");
  }
  return mac;
}

function attachmentOption(out: NetworkAttachment, key: string, value: string, text: string, field: string): void {
  if (key === "alias") out.aliases = [...(out.aliases ?? []), value];
  else if (key === "ip") out.ip = parseIp(value, field, 4);
  else if (key === "ip6") out.ip6 = parseIp(value, field, 6);
  else if (key === "mac-address") out.mac = parseMac(value, field);
  else if (key === "gw-priority") out.gatewayPriority = parseInteger(value, field, -1_000_000, 1_000_000);
  else {throw invalid(
      field,
      text,
      `unknown option "${key}"; known are name, alias, ip, ip6, mac-address and gw-priority`,
    );}
}

/**
 * One `--network` value: bridge, none, host, container:ID, a network's name, or `name=N,alias=A,ip=…`.
 *
 * @throws NyxError invalid_argument
 */
export function parseNetwork(text: string, field = "network"): NetworkChoice {
  if (text === "none" || text === "host") return { kind: "mode", mode: text };
  if (text === "bridge" || text === "default") return { kind: "mode", mode: "bridge" };
  if (text.startsWith("container:")) {
    if (!OBJECT_NAME.test(text.slice("container:".length))) {
      throw invalid(field, text, "write container:NAME or container:ID");
    }
    return { kind: "mode", mode: text };
  }
  const parts = parseCsvLine(text, field);
  const attachment: NetworkAttachment = { network: "" };
  for (const [index, part] of parts.entries()) {
    const equals = part.indexOf("=");
    if (equals < 0 && index === 0) attachment.network = part;
    else if (equals > 0 && part.slice(0, equals) === "name") attachment.network = part.slice(equals + 1);
    else if (equals > 0) attachmentOption(attachment, part.slice(0, equals), part.slice(equals + 1), text, field);
    else throw invalid(field, text, "write NAME or name=NAME,alias=ALIAS,ip=ADDRESS");
  }
  if (!OBJECT_NAME.test(attachment.network)) {
    throw invalid(field, text, "use bridge, none, host, container:NAME or a network's name");
  }
  return { kind: "attachment", attachment };
}

/** One `--add-host NAME:IP` (or NAME=IP); IP may be `host-gateway`. Normalised to name:ip. */
export function parseExtraHost(text: string, field = "add-host"): string {
  const match = /^([^:=\s]+)[:=](.+)$/.exec(text);
  const address = match?.[2]?.replace(/^\[(.*)\]$/, "$1") ?? "";
  const normalized = address === "host-gateway" ? address : tryNormalizeIp(address);
  if (match === null || normalized === undefined) {
    throw invalid(field, text, "write NAME:IP, or NAME:host-gateway for this host's address");
  }
  return `${parseHostname(match[1] ?? "", field)}:${normalized}`;
}

/** A host name (RFC 1123 labels, underscores tolerated), at most 64 bytes as the kernel allows for a UTS name. */
export function parseHostname(text: string, field = "hostname"): string {
  const labels = text.split(".");
  if (text.length > 64 || !labels.every((label) => /^[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?$/.test(label))) {
    throw invalid(field, text, "use letters, digits, hyphens and dots, 64 characters at most");
  }
  return text;
}

/** A DNS search domain; `.` alone asks for no search list. */
export function parseSearchDomain(text: string, field = "dns-search"): string {
  const bare = text.replace(/\.$/, "");
  const good = bare.length <= 253 &&
    bare.split(".").every((label) => /^[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?$/.test(label));
  if (text !== "." && !good) throw invalid(field, text, "give a domain such as example.org, or . for none");
  return text;
}
