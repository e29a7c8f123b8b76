/** `nyx system prune`. */

import { type NyxClient, NyxError } from "../../mod.ts";
import { formatSize } from "../../daemon/spec/parse/size.ts";
import { defineCommand } from "../args/definition.ts";
import { confirmPrune } from "../confirm_prune.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../failure.ts";

/** Steps of builds; those of builds under way stay, which is said and no failure. */
async function pruneBuilds(context: Context, client: NyxClient): Promise<{ reclaimed: number }> {
  try {
    return await client.build.prune();
  } catch (e) {
    if (!(e instanceof NyxError) || e.code !== "failed_precondition") throw e;
    context.err.text(`nyx: ${e.message}\n`);
    return { reclaimed: 0 };
  }
}

/** `nyx system prune`. */
export const command = defineCommand({
  summary: "Remove everything that is not used",
  flags: {
    all: { type: "bool", short: "a", help: "Also images that have a name but no container, and steps of builds" },
    force: { type: "bool", short: "f", help: "Do not ask" },
    volumes: { type: "bool", help: "Also anonymous volumes that no container uses" },
  },
  operands: [],
  async run(context, flags) {
    const what = [
      "all containers that do not run",
      "networks without containers",
      flags.all === true ? "all images without containers" : "images without a name",
      ...(flags.all === true ? ["the steps of earlier builds"] : []),
      ...(flags.volumes === true ? ["anonymous volumes without containers"] : []),
    ];
    if (!await confirmPrune(context, flags.force === true, `This removes ${what.join(", ")}`)) return EXIT.ok;
    const client = await context.client();
    // In this order: containers hold the others.
    const containers = await client.containers.prune();
    const networks = await client.networks.prune();
    const volumes = flags.volumes === true ? await client.volumes.prune() : { removed: [], reclaimed: 0 };
    const before = (await client.system.df()).rows.find((r) => r.type === "images")?.size ?? 0;
    const images = await client.images.prune({ all: flags.all === true });
    const builds = flags.all === true ? await pruneBuilds(context, client) : { reclaimed: 0 };
    const after = (await client.system.df()).rows.find((r) => r.type === "images")?.size ?? 0;
    for (const list of [containers.removed, networks.removed, volumes.removed, images.removed]) {
      for (const name of list) context.out.text(`Removed: ${name}\n`);
    }
    const freed = containers.reclaimed + volumes.reclaimed + builds.reclaimed + Math.max(0, before - after);
    context.out.text(`Space freed: ${formatSize(freed)}\n`);
    return EXIT.ok;
  },
});
