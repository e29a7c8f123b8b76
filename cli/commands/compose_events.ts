/** `nyx compose events`. */

import { defineCommand } from "../args/definition.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";
import { membersOf } from "../compose/members.ts";
import { Project } from "../compose/source.ts";
import { EXIT } from "../failure.ts";
import { escapeControls, safeJson } from "../render/escape.ts";
import { timeFlag } from "./logs.ts";

const LABEL = "label.com.docker.compose.";

/** `nyx compose events`. */
export const command = defineCommand({
  summary: "Show events of a project's containers, live",
  flags: {
    ...PROJECT_FLAGS,
    json: { type: "bool", help: "One JSON object a line" },
    since: { type: "value", value: "TIME", help: "Events from then on: a time, or a span back from now such as 10m" },
    until: { type: "value", value: "TIME", help: "Events before that time" },
  },
  operands: [{ name: "SERVICE", optional: true, variadic: true }],
  async run(context, flags, services) {
    const project = await Project.find(context, flags, false);
    const { project: name } = await membersOf(context, project, services);
    const client = await context.client();
    const events = client.system.events({
      filters: { type: ["container"] },
      ...(flags.since === undefined ? {} : { since: timeFlag(flags.since, "since") }),
      ...(flags.until === undefined ? {} : { until: timeFlag(flags.until, "until") }),
    });
    for await (const { time, type, action, id, attributes } of events) {
      const service = attributes[`${LABEL}service`] ?? "";
      if (attributes[`${LABEL}project`] !== name || (services.length > 0 && !services.includes(service))) continue;
      const record = { time, type, action, id, service, attributes };
      context.out.text(
        flags.json === true
          ? `${safeJson(record)}\n`
          : escapeControls(`${time} ${type} ${action} ${id} (name=${attributes["name"] ?? ""}, service=${service})`) +
            "\n",
      );
    }
    return EXIT.ok;
  },
});
