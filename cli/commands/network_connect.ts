/** `nyx network connect`. */

import { parseInteger } from "../../daemon/spec/parse/cpus.ts";
import { parseHostname, parseIp, parseMac } from "../../daemon/spec/parse/network.ts";
import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";

/** `nyx network connect`. */
export const command = defineCommand({
  summary: "Connect a container with a network",
  flags: {
    alias: { type: "list", value: "NAME", help: "Further name on the network" },
    "driver-opt": { type: "list", help: "", refuse: "connections have no driver options" },
    "gw-priority": {
      type: "value",
      value: "N",
      help: "The default route leads to the network with the highest (default 0)",
    },
    ip: { type: "value", value: "IP", help: "IPv4 address" },
    ip6: { type: "value", value: "IP", help: "IPv6 address" },
    link: {
      type: "list",
      help: "",
      refuse: "legacy links are not supported; containers of one network find each other",
    },
    "link-local-ip": { type: "list", help: "", refuse: "interfaces have no link-local addresses of their own" },
    "mac-address": { type: "value", value: "MAC", help: "Hardware address" },
  },
  operands: [{ name: "NETWORK", complete: "networks" }, { name: "CONTAINER", complete: "containers" }],
  async run(context, flags, [network = "", container = ""]) {
    const priority = flags["gw-priority"];
    const mac = flags["mac-address"];
    await (await context.client()).networks.connect(network, {
      container,
      ...(flags.ip === undefined ? {} : { ip: parseIp(flags.ip, "ip", 4) }),
      ...(flags.ip6 === undefined ? {} : { ip6: parseIp(flags.ip6, "ip6", 6) }),
      ...(mac === undefined ? {} : { mac: parseMac(mac) }),
      ...(flags.alias.length === 0 ? {} : { aliases: flags.alias.map((text) => parseHostname(text, "alias")) }),
      ...(priority === undefined
        ? {}
        : { gatewayPriority: parseInteger(priority, "gw-priority", -1_000_000, 1_000_000) }),
    });
    return EXIT.ok;
  },
});
