/** `nyx network ls`. */

import type { NetworkInfo } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";
import { matchesLabel, NETWORK_FILTERS, parseFilters } from "../filters.ts";
import { labelsText } from "../render/container_view.ts";
import { renderRows } from "../render/rows.ts";
import { FORMAT_NOTES } from "./ps.ts";

function keeps(network: NetworkInfo, filters: Record<string, string[]>): boolean {
  const dangling = filters.dangling?.at(-1);
  if (dangling !== undefined && (dangling === "true") !== (network.containers.length === 0 && !network.default)) {
    return false;
  }
  const some = (key: string, test: (value: string) => boolean) => filters[key]?.some(test) ?? true;
  return some("driver", (v) => network.driver === v) && some("id", (v) => network.id.startsWith(v)) &&
    some("name", (v) => network.name.includes(v)) && some("type", (v) => (v === "builtin") === network.default) &&
    (filters.label ?? []).every((wanted) => matchesLabel(network.labels, wanted));
}

/** `nyx network ls`. */
export const command = defineCommand({
  summary: "List networks",
  flags: {
    filter: {
      type: "list",
      short: "f",
      value: "KEY=VALUE",
      help: `Only those that match: ${Object.keys(NETWORK_FILTERS).join(", ")}`,
      complete: Object.keys(NETWORK_FILTERS).map((key) => `${key}=`),
    },
    format: { type: "value", value: "FORMAT", help: "table, json, or a Go template", complete: ["table", "json"] },
    "no-trunc": { type: "bool", help: "Show whole ids" },
    quiet: { type: "bool", short: "q", help: "Only show ids" },
  },
  operands: [],
  notes: FORMAT_NOTES,
  async run(context, flags) {
    const filters = parseFilters(flags.filter, NETWORK_FILTERS);
    const found = (await (await context.client()).networks.list()).filter((network) => keeps(network, filters));
    const idOf = ({ id }: NetworkInfo) => flags["no-trunc"] === true ? id : id.slice(0, 12);
    if (flags.quiet === true && flags.format === undefined) {
      context.out.text(found.map((network) => `${idOf(network)}\n`).join(""));
      return EXIT.ok;
    }
    const views = found.map((network) => ({
      ID: idOf(network),
      Name: network.name,
      Driver: network.driver,
      Scope: "local",
      Subnet: network.subnets.map((s) => s.subnet).join(", "),
      Containers: String(network.containers.length),
      Internal: String(network.internal),
      IPv6: String(network.ipv6),
      IPv4: String(network.ipv4),
      CreatedAt: network.created,
      Labels: labelsText(network.labels),
    }));
    context.out.text(renderRows(views, {
      format: flags.format,
      columns: ["ID", "Name", "Driver", "Subnet", "Containers"],
      heads: { ID: "NETWORK ID" },
      terminal: context.out.isTerminal,
    }));
    return EXIT.ok;
  },
});
