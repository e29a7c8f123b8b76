/** `nyx volume ls`. */

import type { VolumeInfo } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";
import { matchesLabel, parseFilters, VOLUME_FILTERS } from "../filters.ts";
import { labelsText } from "../render/container_view.ts";
import { renderRows } from "../render/rows.ts";
import { FORMAT_NOTES } from "./ps.ts";

function keeps(volume: VolumeInfo, filters: Record<string, string[]>): boolean {
  const dangling = filters.dangling?.at(-1);
  if (dangling !== undefined && (dangling === "true") !== (volume.usedBy.length === 0)) return false;
  if (filters.driver !== undefined && !filters.driver.includes(volume.driver)) return false;
  if (filters.name !== undefined && !filters.name.some((part) => volume.name.includes(part))) return false;
  return (filters.label ?? []).every((wanted) => matchesLabel(volume.labels, wanted));
}

/** `nyx volume ls`. */
export const command = defineCommand({
  summary: "List volumes",
  flags: {
    filter: {
      type: "list",
      short: "f",
      value: "KEY=VALUE",
      help: `Only those that match: ${Object.keys(VOLUME_FILTERS).join(", ")}`,
      complete: Object.keys(VOLUME_FILTERS).map((key) => `${key}=`),
    },
    format: { type: "value", value: "FORMAT", help: "table, json, or a Go template", complete: ["table", "json"] },
    quiet: { type: "bool", short: "q", help: "Only show names" },
  },
  operands: [],
  notes: FORMAT_NOTES,
  async run(context, flags) {
    const filters = parseFilters(flags.filter, VOLUME_FILTERS);
    const found = (await (await context.client()).volumes.list()).filter((volume) => keeps(volume, filters));
    found.sort((a, b) => a.name < b.name ? -1 : 1);
    if (flags.quiet === true && flags.format === undefined) {
      context.out.text(found.map((volume) => `${volume.name}\n`).join(""));
      return EXIT.ok;
    }
    const views = found.map((volume) => ({
      Driver: volume.driver,
      Name: volume.name,
      Mountpoint: volume.mountpoint,
      CreatedAt: volume.created,
      Labels: labelsText(volume.labels),
      Links: String(volume.usedBy.length),
    }));
    context.out.text(renderRows(views, {
      format: flags.format,
      columns: ["Driver", "Name"],
      heads: { Name: "VOLUME NAME" },
      terminal: context.out.isTerminal,
    }));
    return EXIT.ok;
  },
});
