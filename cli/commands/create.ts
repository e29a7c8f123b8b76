/** `nyx create`. */

import { NyxError } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { parsePullPolicy } from "../container_config.ts";
import { CONTAINER_FLAGS } from "../container_flags.ts";
import { EXIT } from "../failure.ts";
import { prepareCidfile, pullFor, requestedContainer, showWarnings } from "../run_request.ts";

/** `nyx create`. */
export const command = defineCommand({
  summary: "Create a new container",
  flags: CONTAINER_FLAGS,
  operands: [
    { name: "IMAGE", complete: "images" },
    { name: "COMMAND", optional: true },
    { name: "ARG", optional: true, variadic: true },
  ],
  optionsFirst: true,
  usageExit: EXIT.engine,
  async run(context, flags, operands) {
    const config = requestedContainer(context, flags, operands);
    const pull = parsePullPolicy(flags.pull);
    const writeCid = prepareCidfile(flags.cidfile);
    const client = await context.client();
    const pulling = () => pullFor(context, config.image, { platform: config.platform, quiet: flags.quiet === true });
    if (pull === "always") await pulling();
    const made = await client.containers.create(config).catch(async (e: unknown) => {
      if (pull !== "missing" || !(e instanceof NyxError) || e.code !== "not_found") throw e;
      await pulling();
      return await client.containers.create(config);
    });
    writeCid(made.id);
    showWarnings(context, made.warnings);
    context.out.text(`${made.id}\n`);
    return EXIT.ok;
  },
});
