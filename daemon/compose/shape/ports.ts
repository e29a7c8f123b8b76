/** The `ports` of a service: short texts and long mappings to one canonical mapping per container port. */

import { tryNormalizeIp } from "../../spec/parse/ip.ts";
import { mapAt, type MapNode, type Node, scalarText } from "../node.ts";
import { badValue, int, loose, oneOf, scalar, text, ValueError } from "./scalar.ts";
import { list, map, type Shape, type ShapeContext, wrongType } from "./shape.ts";

interface Range {
  first: number;
  last: number;
}

/** One port as the short syntax means it. */
interface ShortPort {
  hostIp?: string;
  published?: string;
  target: number;
  protocol: string;
}

const FORM = "write [HOST-IP:][HOST-PORT:]CONTAINER-PORT[/tcp|udp|sctp], such as 8080:80 or 127.0.0.1:5353:53/udp";
/** Most ports that one range may open. */
const MAX_RANGE = 20_000;

function range(text: string, lowest: number): Range {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (match === null) throw new ValueError(FORM);
  if (first < lowest || last > 65535) throw new ValueError(`ports lie between ${lowest} and 65535`);
  if (last < first) throw new ValueError("a range ends at or after its start");
  if (last - first >= MAX_RANGE) throw new ValueError(`a range has at most ${MAX_RANGE} ports`);
  return { first, last };
}

function splitHost(text: string): { hostIp?: string; rest: string } {
  const bracket = /^\[([^\]]*)\]:(.*)$/.exec(text);
  const lastColon = text.lastIndexOf(":");
  const secondColon = lastColon <= 0 ? -1 : text.lastIndexOf(":", lastColon - 1);
  if (bracket === null && secondColon < 0) return { rest: text };
  const host = bracket?.[1] ?? text.slice(0, secondColon);
  const rest = bracket?.[2] ?? text.slice(secondColon + 1);
  if (host === "") return { rest };
  const ip = tryNormalizeIp(host);
  if (ip === undefined) throw new ValueError(`"${host}" is no IP address; ${FORM}`);
  return { hostIp: ip, rest };
}

/** All ports that one short text opens. */
function parseShort(whole: string): ShortPort[] {
  const [address = "", protocolText, ...more] = whole.trim().split("/");
  if (more.length > 0) throw new ValueError(FORM);
  const protocol = (protocolText ?? "tcp").toLowerCase();
  if (!["tcp", "udp", "sctp"].includes(protocol)) throw new ValueError("the protocol is tcp, udp or sctp");
  const { hostIp, rest } = splitHost(address);
  const colon = rest.lastIndexOf(":");
  const hostText = colon < 0 ? "" : rest.slice(0, colon);
  const container = range(rest.slice(colon + 1), 1);
  const ip = hostIp === undefined ? {} : { hostIp };
  const size = container.last - container.first + 1;
  if (hostText === "") {
    return Array.from({ length: size }, (_, i) => ({ ...ip, target: container.first + i, protocol }));
  }
  const host = range(hostText, 0);
  if (size === 1) return [{ ...ip, published: hostText, target: container.first, protocol }];
  const hosts = host.last - host.first + 1;
  if (hosts !== size) {
    throw new ValueError(`the host range has ${hosts} ports and the container's ${size}; make them equal`);
  }
  return Array.from(
    { length: size },
    (_, i) => ({ ...ip, published: String(host.first + i), target: container.first + i, protocol }),
  );
}

const published = scalar("it must be a port or a range", (value) => {
  if (value === "") return value;
  range(value, 0);
  return value;
});

const long: Shape = map({
  name: text(),
  mode: oneOf("host", "ingress"),
  host_ip: scalar("it must be an IP address", (value) => {
    const ip = tryNormalizeIp(value.replace(/^\[(.*)\]$/, "$1"));
    if (ip === undefined && value !== "") throw new ValueError("write an IP address such as 127.0.0.1");
    return ip ?? "";
  }),
  target: int(1, 65535),
  published,
  protocol: scalar("it must be tcp, udp or sctp", (value) => {
    const word = value.toLowerCase();
    if (!["tcp", "udp", "sctp"].includes(word)) throw new ValueError("write tcp, udp or sctp");
    return word;
  }),
  app_protocol: text(),
}, { required: ["target"] });

function complete(node: MapNode): MapNode {
  const entries = new Map(node.entries);
  const defaults = mapAt(node.origin, { mode: "ingress", protocol: "tcp" });
  for (const [key, entry] of defaults.entries) if (!entries.has(key)) entries.set(key, entry);
  for (const key of ["published", "host_ip"]) if (scalarText(entries.get(key)?.value) === "") entries.delete(key);
  return { ...node, entries };
}

/** Identity of a port: what it is bound to, and what it leads to. */
function portKey(node: Node): string | undefined {
  if (node.kind !== "map") return scalarText(node);
  const field = (key: string, missing: string) => scalarText(node.entries.get(key)?.value) ?? missing;
  return `${field("host_ip", "0.0.0.0")}:${field("published", "")}:${field("target", "")}/${field("protocol", "tcp")}`;
}

function expand(node: Node, ctx: ShapeContext, path: string): Node[] {
  if (node.kind === "map") {
    const canon = long.canon(node, ctx, path);
    return canon?.kind === "map" ? [complete(canon)] : [];
  }
  if (node.kind !== "scalar" || node.value === null) {
    wrongType(node, ctx, path, "a port is a text such as 8080:80, a number or a mapping", FORM);
    return [];
  }
  try {
    return parseShort(String(node.value)).map((port) =>
      mapAt(node.origin, {
        mode: "ingress",
        host_ip: port.hostIp,
        target: port.target,
        published: port.published,
        protocol: port.protocol,
      })
    );
  } catch (e) {
    badValue(node, ctx, path, e);
    return [];
  }
}

/** The `ports` of a service. */
export const ports: Shape = list({ ...long, expand }, { key: portKey, rule: "it must be a list of ports" });

/** The `expose` of a service: ports or ranges, with an optional protocol. */
export const expose: Shape = list(
  loose((value) => {
    const [portText = "", protocol = "tcp", ...more] = value.split("/");
    if (more.length > 0 || !["tcp", "udp", "sctp"].includes(protocol.toLowerCase())) {
      throw new ValueError("write PORT[-PORT][/tcp|udp|sctp]");
    }
    range(portText, 1);
  }),
  { key: (node) => scalarText(node), single: true },
);
