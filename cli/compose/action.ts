/** Commands that do one thing to a project's containers: start, stop, restart, pause, unpause, kill. */

import type { ComposeAction, ComposeActionRequest } from "../../mod.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../failure.ts";
import type { ProjectFlags } from "./flags.ts";
import { Project } from "./source.ts";

const PAST: Readonly<Record<ComposeAction, string>> = {
  start: "Started",
  stop: "Stopped",
  restart: "Restarted",
  pause: "Paused",
  unpause: "Unpaused",
  kill: "Killed",
  rm: "Removed",
};

/** Does it, and tells what was done on standard error. @returns exit code */
export async function act(
  context: Context,
  action: ComposeAction,
  flags: ProjectFlags,
  services: readonly string[],
  options: Omit<ComposeActionRequest, "files" | "services"> = {},
): Promise<number> {
  const project = await Project.find(context, flags, false);
  const client = await context.client();
  const before = await project.request((source) => client.compose.ps(source));
  const names = new Map(before.containers.map((c) => [c.id, c.name]));
  const { ids } = await project.request((source) =>
    client.compose.act(action, { ...source, ...options, ...(services.length === 0 ? {} : { services: [...services] }) })
  );
  for (const id of ids) {
    context.err.text(
      ` ${context.paintErr.green("✔")} Container ${names.get(id) ?? id.slice(0, 12)}  ${PAST[action]}\n`,
    );
  }
  return EXIT.ok;
}
