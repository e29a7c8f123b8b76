/** `nyx compose images`. */

import { defineCommand } from "../args/definition.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";
import { membersOf } from "../compose/members.ts";
import { Project } from "../compose/source.ts";
import { EXIT } from "../failure.ts";
import { imageId } from "../render/image_view.ts";
import { renderRows } from "../render/rows.ts";

/** `nyx compose images`. */
export const command = defineCommand({
  summary: "List the images that a project's containers were made from",
  flags: {
    ...PROJECT_FLAGS,
    format: { type: "value", value: "FORMAT", help: "table, json, or a Go template", complete: ["table", "json"] },
    quiet: { type: "bool", short: "q", help: "Only show ids" },
  },
  operands: [{ name: "SERVICE", optional: true, variadic: true }],
  async run(context, flags, services) {
    const project = await Project.find(context, flags, false);
    const { containers } = await membersOf(context, project, services);
    if (flags.quiet === true) {
      context.out.text([...new Set(containers.map((c) => imageId(c.image_id, true)))].map((id) => `${id}\n`).join(""));
      return EXIT.ok;
    }
    const views = containers.map((c) => ({ Container: c.name, Image: c.image, ID: imageId(c.image_id, false) }));
    context.out.text(renderRows(views, {
      format: flags.format,
      columns: ["Container", "Image", "ID"],
      heads: { Container: "CONTAINER", Image: "IMAGE", ID: "IMAGE ID" },
      terminal: context.out.isTerminal,
    }));
    return EXIT.ok;
  },
});
