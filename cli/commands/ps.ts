/** `nyx ps`. */

import { parseInteger } from "../../daemon/spec/parse/cpus.ts";
import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";
import { CONTAINER_FILTERS, parseFilters } from "../filters.ts";
import { CONTAINER_HEADS, containerView } from "../render/container_view.ts";
import { renderRows } from "../render/rows.ts";

/** Last paragraph of the help of every list. */
export const FORMAT_NOTES =
  `Formats: table (default), json (one object a line), 'table TEMPLATE', or a Go template such as
'{{.ID}} {{.Names}}'. Functions: json, join, lower, upper, title, split, index, len, printf, eq and others.`;

/** `nyx ps`. */
export const command = defineCommand({
  summary: "List containers",
  flags: {
    all: { type: "bool", short: "a", help: "Show all containers, not only running ones" },
    filter: {
      type: "list",
      short: "f",
      value: "KEY=VALUE",
      help: `Only those that match: ${Object.keys(CONTAINER_FILTERS).join(", ")}`,
      complete: Object.keys(CONTAINER_FILTERS).map((key) => `${key}=`),
    },
    format: { type: "value", value: "FORMAT", help: "table, json, or a Go template", complete: ["table", "json"] },
    last: {
      type: "value",
      short: "n",
      value: "NUMBER",
      help: "Only the containers created last (includes all states)",
    },
    latest: { type: "bool", short: "l", help: "Only the container created last (includes all states)" },
    "no-trunc": { type: "bool", help: "Do not shorten anything" },
    quiet: { type: "bool", short: "q", help: "Only show ids" },
    size: {
      type: "bool",
      short: "s",
      help: "",
      refuse: "sizes of single containers are not measured; see: nyx system df",
    },
  },
  operands: [],
  notes: FORMAT_NOTES,
  async run(context, flags) {
    const filters = parseFilters(flags.filter, CONTAINER_FILTERS);
    const last = flags.latest === true ? 1 : flags.last === undefined ? undefined : parseInteger(flags.last, "last", 1);
    const all = flags.all === true || last !== undefined || filters.status !== undefined ||
      filters.exited !== undefined;
    const client = await context.client();
    const found = await client.containers.list({ all, filters });
    found.sort((a, b) => a.created < b.created ? 1 : a.created > b.created ? -1 : 0);
    const shown = last === undefined ? found : found.slice(0, last);
    const noTrunc = flags["no-trunc"] === true;
    if (flags.quiet === true && flags.format === undefined) {
      context.out.text(shown.map((container) => `${noTrunc ? container.id : container.short_id}\n`).join(""));
      return EXIT.ok;
    }
    const views = shown.map((container) => containerView(container, { noTrunc, nowMs: Date.now() }));
    context.out.text(renderRows(views, {
      format: flags.format,
      columns: ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"],
      heads: CONTAINER_HEADS,
      terminal: context.out.isTerminal,
    }));
    return EXIT.ok;
  },
});
