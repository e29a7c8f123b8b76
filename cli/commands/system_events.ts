/** `nyx events` and `nyx system events`. */

import type { EventQuery, EventRecord } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";
import { EVENT_FILTERS, parseFilters } from "../filters.ts";
import { escapeControls, safeJson } from "../render/escape.ts";
import { Template, unescapeFormat } from "../render/template.ts";
import { timeFlag } from "./logs.ts";

function eventLine(event: EventRecord): string {
  const attributes = Object.entries(event.attributes).sort(([a], [b]) => a < b ? -1 : 1).map(([key, value]) =>
    `${key}=${value}`
  );
  const tail = attributes.length === 0 ? "" : ` (${attributes.join(", ")})`;
  return escapeControls(`${event.time} ${event.type} ${event.action} ${event.id}${tail}`);
}

/** `nyx events`. */
export const command = defineCommand({
  summary: "Show events of the daemon, live",
  flags: {
    filter: {
      type: "list",
      short: "f",
      value: "KEY=VALUE",
      help: `Only those that match: ${Object.keys(EVENT_FILTERS).join(", ")}`,
      complete: Object.keys(EVENT_FILTERS).map((key) => `${key}=`),
    },
    format: { type: "value", value: "FORMAT", help: "json, or a Go template", complete: ["json"] },
    since: { type: "value", value: "TIME", help: "Events from then on: a time, or a span back from now such as 10m" },
    until: { type: "value", value: "TIME", help: "Events before that time" },
  },
  operands: [],
  async run(context, flags) {
    const { event, ...filters } = parseFilters(flags.filter, EVENT_FILTERS);
    if (event !== undefined) filters.action = [...filters.action ?? [], ...event];
    const query: EventQuery = { filters };
    if (flags.since !== undefined) query.since = timeFlag(flags.since, "since");
    if (flags.until !== undefined) query.until = timeFlag(flags.until, "until");
    const template = flags.format === undefined || flags.format === "json"
      ? undefined
      : new Template(unescapeFormat(flags.format));
    for await (const record of (await context.client()).system.events(query)) {
      const line = template !== undefined
        ? template.execute(record)
        : flags.format === "json"
        ? safeJson(record)
        : eventLine(record);
      context.out.text(`${line}\n`);
    }
    return EXIT.ok;
  },
});
