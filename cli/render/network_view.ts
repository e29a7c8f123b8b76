/** Networks for templates: nyx's own fields, and Docker's names for what scripts ask most. */

import type { NetworkInfo } from "../../mod.ts";

/** Details with Docker's sections beside nyx's. Field lookup ignores case and underscores, so `.Internal` needs no copy. */
export function dockerNetwork(info: NetworkInfo): Record<string, unknown> {
  const running = info.containers.filter((c) => c.ip !== undefined || c.ip6 !== undefined);
  return {
    ...info,
    Scope: "local",
    EnableIPv4: info.ipv4,
    EnableIPv6: info.ipv6,
    Attachable: false,
    Ingress: false,
    IPAM: {
      Driver: "default",
      Config: info.subnets.map(({ subnet, gateway, ipRange }) => ({
        Subnet: subnet,
        Gateway: gateway,
        IPRange: ipRange ?? "",
      })),
    },
    Options: { ...info.options, "com.docker.network.bridge.name": info.bridge },
    Containers: Object.fromEntries(running.map((c) => [c.id, {
      Name: c.name,
      IPv4Address: c.ip === undefined ? "" : `${c.ip}/${c.prefix}`,
      IPv6Address: c.ip6 ?? "",
      MacAddress: c.mac ?? "",
    }])),
  };
}
