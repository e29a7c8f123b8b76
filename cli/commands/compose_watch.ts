/** `nyx compose watch`. */

import { NyxError } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";
import { progressWriter } from "../compose/progress.ts";
import { Project } from "../compose/source.ts";
import { ProjectWatch } from "../compose/watch.ts";
import { EXIT } from "../failure.ts";

/** `nyx compose watch`. */
export const command = defineCommand({
  summary: "Bring services up, and carry over what changes in their files (develop.watch)",
  flags: {
    ...PROJECT_FLAGS,
    "no-up": { type: "bool", help: "Do not bring the services up first" },
    prune: { type: "bool", help: "", hidden: true },
    quiet: { type: "bool", help: "Do not show the progress of the start" },
  },
  operands: [{ name: "SERVICE", optional: true, variadic: true }],
  notes: "Files are watched and read on this side; their contents go to the containers.\n" +
    "Ctrl-C ends the watch and leaves the containers running.",
  async run(context, flags, services) {
    const fresh = () => Project.find(context, flags, true);
    const project = await fresh();
    const watch = await ProjectWatch.of(context, project, fresh, services);
    if (watch === undefined) {
      throw new NyxError("failed_precondition", "No service has anything to watch; write rules under develop.watch");
    }
    if (flags["no-up"] !== true) {
      const client = await context.client();
      const onEvent = progressWriter(context, { quiet: flags.quiet === true });
      const options = services.length === 0 ? {} : { services };
      await project.request((source) => client.compose.up({ ...source, ...options }, { onEvent }));
    }
    const over = new AbortController();
    const signals = ["SIGINT", "SIGTERM"] as const;
    const end = () => over.abort();
    for (const signal of signals) Deno.addSignalListener(signal, end);
    try {
      await watch.run(over.signal);
    } finally {
      for (const signal of signals) Deno.removeSignalListener(signal, end);
    }
    return EXIT.ok;
  },
});
