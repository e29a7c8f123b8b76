/** How mappings of a configuration and ports that the network worker has opened belong together. Pure. */

import type { PortMapping } from "../spec/container.ts";

/** A published port with everything filled in, as the network worker names it. */
export type OpenPort = Required<PortMapping>;

/** The same ports of the container. */
export function sameTarget(mapping: PortMapping, port: PortMapping): boolean {
  return mapping.containerPort === port.containerPort && (mapping.count ?? 1) === (port.count ?? 1) &&
    (mapping.protocol ?? "tcp") === (port.protocol ?? "tcp");
}

/** The same port on the same address, whatever stands for the default. */
export function samePort(a: PortMapping, b: PortMapping): boolean {
  return sameTarget(a, b) && a.hostPort === b.hostPort && (a.hostIp ?? "") === (b.hostIp ?? "");
}

/**
 * What each mapping of a configuration came to: one port, or one for each address family, in the order of the mappings. Empty for a
 * container that holds none.
 */
export function assigned(publish: readonly PortMapping[], ports: readonly OpenPort[]): OpenPort[][] {
  let at = 0;
  return publish.map((mapping) => {
    const first = ports[at];
    if (first === undefined || !sameTarget(mapping, first)) return [];
    at++;
    const second = ports[at];
    const twin = (mapping.hostIp ?? "") === "" && second?.hostIp === "::" && first.hostIp !== "::" &&
      sameTarget(mapping, second) && second.hostPort === first.hostPort;
    if (!twin || second === undefined) return [first];
    at++;
    return [first, second];
  });
}

/** Mappings with the host ports that they came to, so that a free one of before is asked for again by its number. */
export function numbered(publish: readonly PortMapping[], open: readonly OpenPort[][]): PortMapping[] {
  return publish.map((mapping, i) => ({ ...mapping, hostPort: open[i]?.[0]?.hostPort ?? mapping.hostPort }));
}

/** All of a port as one text. */
export function portKey({ hostIp, hostPort, containerPort, count, protocol }: OpenPort): string {
  return [hostIp, hostPort, containerPort, count, protocol].join();
}
