/** `nyx network explain`. */

import type { ExplainPath, ExplainStep } from "../../mod.ts";
import { invalid } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../failure.ts";
import { escapeControls } from "../render/escape.ts";

const WORDS: Readonly<Record<ExplainStep["verdict"], string>> = { ok: "ok  ", note: "note", stop: "STOP" };

function pathText({ subject, open, steps }: ExplainPath, paint: Context["paintOut"]): string {
  const colour = { ok: paint.green, note: paint.yellow, stop: paint.red };
  const lines = steps.map(({ verdict, text }) => `  ${colour[verdict](WORDS[verdict])}  ${escapeControls(text)}\n`);
  const outcome = open ? paint.green("open") : paint.red("blocked");
  return `${escapeControls(subject)}: ${outcome}\n${lines.join("")}`;
}

/** `nyx network explain`. */
export const command = defineCommand({
  summary: "Show what lets packets to a port or a container through, or stops them",
  flags: { format: { type: "value", value: "FORMAT", help: "json", complete: ["json"] } },
  operands: [{ name: "PORT|CONTAINER", complete: "running" }],
  notes: "PORT is a port of the host: 8080, 8080/udp, 127.0.0.1:8080. Ends with 1 when something is in the way.",
  async run(context, flags, [target = ""]) {
    if (flags.format !== undefined && flags.format !== "json") throw invalid("format", flags.format, "use json");
    const paths = await (await context.client()).networks.explain(target);
    context.out.text(
      flags.format === "json"
        ? `${JSON.stringify(paths, null, 4)}\n`
        : paths.map((path) => pathText(path, context.paintOut)).join("\n"),
    );
    return paths.every((path) => path.open) ? EXIT.ok : EXIT.failure;
  },
});
