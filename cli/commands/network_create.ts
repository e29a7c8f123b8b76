/** `nyx network create`. */

import { invalid, type NetworkCreateRequest } from "../../mod.ts";
import { parseLabel } from "../../daemon/spec/parse/label_file.ts";
import { parseName } from "../../daemon/spec/parse/modes.ts";
import { ipVersion } from "../../daemon/spec/parse/ip.ts";
import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";

type Subnet = NonNullable<NetworkCreateRequest["subnets"]>[number];

function familyOf(text: string, field: string): 4 | 6 {
  const found = ipVersion(text.split("/")[0] ?? "");
  if (found === undefined) throw invalid(field, text, "write an address, or a block such as 10.89.7.0/24");
  return found;
}

/** Gateways and ranges go with the subnet of their family. */
function subnetsOf(
  flags: { subnet: string[]; gateway: string[]; "ip-range": string[]; "aux-address": string[] },
): Subnet[] {
  const subnets: Subnet[] = flags.subnet.map((subnet) => ({ subnet }));
  const place = (field: "gateway" | "ipRange", texts: string[], flag: string) => {
    for (const text of texts) {
      const family = familyOf(text, flag);
      const home = subnets.find((s) => s[field] === undefined && familyOf(s.subnet ?? "", "subnet") === family);
      if (home === undefined) {
        throw invalid(flag, text, `give a --subnet of IPv${family} with it`);
      }
      home[field] = text;
    }
  };
  place("gateway", flags.gateway, "gateway");
  place("ipRange", flags["ip-range"], "ip-range");
  for (const text of flags["aux-address"]) {
    const [, name, ip = ""] = /^([^=]+)=(.+)$/.exec(text) ?? [];
    if (name === undefined) throw invalid("aux-address", text, "write NAME=IP, such as router=192.168.1.1");
    const family = familyOf(ip, "aux-address");
    const home = subnets.find((s) => familyOf(s.subnet ?? "", "subnet") === family);
    if (home === undefined) throw invalid("aux-address", text, `give a --subnet of IPv${family} with it`);
    home.auxAddresses = { ...home.auxAddresses, [name]: ip };
  }
  return subnets;
}

/** `nyx network create`. */
export const command = defineCommand({
  summary: "Create a network",
  flags: {
    attachable: {
      type: "bool",
      help: "",
      refuse: "it concerns Docker's swarm mode; every network of nyx is attachable",
    },
    "aux-address": {
      type: "list",
      value: "NAME=IP",
      help: "An address that another machine has: it is never given out",
    },
    "config-from": { type: "value", help: "", refuse: "it concerns Docker's swarm mode" },
    "config-only": { type: "bool", help: "", refuse: "it concerns Docker's swarm mode" },
    driver: {
      type: "value",
      short: "d",
      value: "DRIVER",
      help: "Driver: bridge, macvlan, ipvlan; with CNI networks bridge, macvlan, ptp",
      complete: ["bridge", "macvlan", "ipvlan", "ptp"],
    },
    gateway: { type: "list", value: "IP", help: "The host's address in the subnet (default its first)" },
    ingress: { type: "bool", help: "", refuse: "it concerns Docker's swarm mode" },
    internal: { type: "bool", help: "No way in or out; no port is published" },
    "ip-range": { type: "list", value: "CIDR", help: "Part of the subnet that addresses are given out from" },
    "ipam-driver": { type: "value", help: "", hidden: true },
    "ipam-opt": { type: "list", help: "", refuse: "nyx gives out addresses itself, and its way has no options" },
    ipv4: { type: "bool", help: "IPv4 (default true); --ipv4=false --ipv6: IPv6 alone" },
    ipv6: { type: "bool", help: "Also IPv6: with --subnet as you say, else a unique local /64" },
    label: { type: "list", value: "KEY[=VALUE]", help: "Set a label" },
    opt: {
      type: "list",
      short: "o",
      value: "KEY=VALUE",
      help: "com.docker.network.driver.mtu, com.docker.network.bridge.name; parent, macvlan_mode, ipvlan_mode",
      complete: [
        "com.docker.network.driver.mtu=",
        "com.docker.network.bridge.name=",
        "parent=",
        "macvlan_mode=",
        "ipvlan_mode=",
      ],
    },
    scope: { type: "value", help: "", hidden: true },
    subnet: { type: "list", value: "CIDR", help: "Its addresses; one for each family (default: a free /24)" },
  },
  operands: [{ name: "NETWORK" }],
  async run(context, flags, [name = ""]) {
    if (flags["ipam-driver"] !== undefined && flags["ipam-driver"] !== "default") {
      throw invalid("ipam-driver", flags["ipam-driver"], "nyx gives out addresses itself; leave it out");
    }
    if (flags.scope !== undefined && flags.scope !== "local") {
      throw invalid("scope", flags.scope, "nyx is one host: local");
    }
    const subnets = subnetsOf(flags);
    const request: NetworkCreateRequest = {
      name: parseName(name),
      ...(flags.driver === undefined ? {} : { driver: flags.driver }),
      ...(subnets.length === 0 ? {} : { subnets }),
      ...(flags.internal === undefined ? {} : { internal: flags.internal }),
      ...(flags.ipv4 === undefined ? {} : { ipv4: flags.ipv4 }),
      ...(flags.ipv6 === undefined ? {} : { ipv6: flags.ipv6 }),
      ...(flags.label.length === 0 ? {} : { labels: Object.fromEntries(flags.label.map((text) => parseLabel(text))) }),
      ...(flags.opt.length === 0
        ? {}
        : { options: Object.fromEntries(flags.opt.map((text) => parseLabel(text, "opt"))) }),
    };
    context.out.text(`${(await (await context.client()).networks.create(request)).id}\n`);
    return EXIT.ok;
  },
});
