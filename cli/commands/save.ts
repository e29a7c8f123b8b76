/** `nyx save`. */

import { invalid } from "../../mod.ts";
import { OUTPUT_FLAG, writeArchive } from "../archive_output.ts";
import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";

const FORMATS = ["docker-archive", "oci-archive"] as const;

/** `nyx save`. */
export const command = defineCommand({
  summary: "Save images to an archive",
  flags: {
    format: {
      type: "value",
      value: "FORMAT",
      help: "docker-archive or oci-archive (default docker-archive)",
      complete: FORMATS,
    },
    output: OUTPUT_FLAG,
    platform: { type: "value", help: "", refuse: "an image is kept for one platform, which is saved" },
  },
  operands: [{ name: "IMAGE", variadic: true, complete: "images" }],
  async run(context, flags, operands) {
    const format = FORMATS.find((word) => word === (flags.format ?? "docker-archive"));
    if (format === undefined) throw invalid("format", flags.format, `use ${FORMATS.join(" or ")}`);
    const source = (await context.client()).images.save(operands, { format });
    await writeArchive(context, flags.output, source);
    return EXIT.ok;
  },
});
