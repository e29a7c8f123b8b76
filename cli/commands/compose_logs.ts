/** `nyx compose logs`. */

import { type ContainerLogQuery, invalid } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { LONG_PROJECT_FLAGS } from "../compose/flags.ts";
import { copyLog, labelOf, LineWriter } from "../compose/log_lines.ts";
import { Project } from "../compose/source.ts";
import { EXIT } from "../failure.ts";
import { timeFlag } from "./logs.ts";

/** `nyx compose logs`. */
export const command = defineCommand({
  summary: "Show the output of a project's containers",
  flags: {
    ...LONG_PROJECT_FLAGS,
    follow: { type: "bool", short: "f", help: "Go on as lines are written" },
    index: { type: "value", value: "NUMBER", help: "Only the container with this number" },
    "no-color": { type: "bool", help: "No colours" },
    "no-log-prefix": { type: "bool", help: "No names before lines of output" },
    since: { type: "value", value: "TIME", help: "Lines from then on: a time, or a span back from now such as 10m" },
    tail: { type: "value", short: "n", value: "LINES", help: "Only so many lines from the end of each (default all)" },
    timestamps: { type: "bool", short: "t", help: "Put the time before each line" },
    until: { type: "value", value: "TIME", help: "Lines before that time" },
  },
  operands: [{ name: "SERVICE", optional: true, variadic: true }],
  async run(context, flags, services) {
    const project = await Project.find(context, flags, false);
    const query: ContainerLogQuery = { follow: flags.follow === true, timestamps: flags.timestamps === true };
    if (flags.tail !== undefined && flags.tail !== "all" && flags.tail !== "-1") {
      if (!/^\d{1,15}$/.test(flags.tail)) throw invalid("tail", flags.tail, "give a number of lines, or all");
      query.tail = Number(flags.tail);
    }
    if (flags.since !== undefined) query.since = timeFlag(flags.since, "since");
    if (flags.until !== undefined) query.until = timeFlag(flags.until, "until");
    const client = await context.client();
    const found = await project.request((source) => client.compose.ps(source));
    const shown = found.containers.filter((c) =>
      !c.oneoff && (services.length === 0 || services.includes(c.service)) &&
      (flags.index === undefined || String(c.number) === flags.index)
    ).map((c) => ({ id: c.id, label: labelOf(c.name, found.project) }));
    const writer = new LineWriter(context, {
      prefix: flags["no-log-prefix"] !== true,
      color: flags["no-color"] !== true,
    });
    writer.expect(shown.map((one) => one.label));
    await Promise.all(shown.map((one) => copyLog(context, writer, one, query)));
    return EXIT.ok;
  },
});
