/** `nyx volume create`. */

import { invalid, type VolumeCreateRequest } from "../../mod.ts";
import { parseLabel } from "../../daemon/spec/parse/label_file.ts";
import { parseName } from "../../daemon/spec/parse/modes.ts";
import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";

/** `nyx volume create`. */
export const command = defineCommand({
  summary: "Create a volume",
  flags: {
    driver: { type: "value", short: "d", value: "DRIVER", help: "Driver: local", complete: ["local"] },
    label: { type: "list", value: "KEY[=VALUE]", help: "Set a label" },
    name: { type: "value", help: "", hidden: true },
    opt: { type: "list", short: "o", value: "KEY=VALUE", help: "Option of the driver: type, device, o" },
  },
  operands: [{ name: "VOLUME", optional: true }],
  async run(context, flags, [operand]) {
    const request: VolumeCreateRequest = {};
    const name = operand ?? flags.name;
    if (name !== undefined) request.name = parseName(name);
    if (flags.driver !== undefined && flags.driver !== "local") {
      throw invalid("driver", flags.driver, "there is the local driver alone");
    }
    if (flags.label.length > 0) request.labels = Object.fromEntries(flags.label.map((text) => parseLabel(text)));
    if (flags.opt.length > 0) request.options = Object.fromEntries(flags.opt.map((text) => parseLabel(text, "opt")));
    context.out.text(`${(await (await context.client()).volumes.create(request)).name}\n`);
    return EXIT.ok;
  },
});
