/** `nyx compose wait`. */

import { NyxError } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";
import { membersOf } from "../compose/members.ts";
import { Project } from "../compose/source.ts";

/** `nyx compose wait`. */
export const command = defineCommand({
  summary: "Wait until the first container of some services has stopped; return its exit code",
  flags: {
    ...PROJECT_FLAGS,
    "down-project": { type: "bool", help: "Take the project down then" },
  },
  operands: [{ name: "SERVICE", variadic: true }],
  async run(context, flags, services) {
    const project = await Project.find(context, flags, false);
    const { containers } = await membersOf(context, project, services);
    const client = await context.client();
    if (containers.length === 0) {
      throw new NyxError(
        "failed_precondition",
        `Services ${services.join(", ")} have no containers; bring them up first`,
      );
    }
    const over = new AbortController();
    const waits = containers.map((c) => client.containers.wait(c.id, "not-running", { signal: over.signal }));
    // Those that are given up are of no interest any more.
    for (const wait of waits) wait.catch(() => {});
    const { exitCode } = await Promise.race(waits);
    over.abort();
    context.out.text(`${exitCode}\n`);
    if (flags["down-project"] === true) await project.request((source) => client.compose.down(source));
    return exitCode;
  },
});
