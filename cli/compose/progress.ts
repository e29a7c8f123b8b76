/** What happens during `up`, one line a step on standard error. */

import type { ComposeEvent, PlanAction } from "../../mod.ts";
import type { Context } from "../context.ts";
import { escapeControls, escapeControlsInLines } from "../render/escape.ts";

const PAST: Readonly<Record<PlanAction, string>> = {
  pull: "Pulled",
  build: "Built",
  "create-network": "Created",
  "recreate-network": "Recreated",
  "create-volume": "Created",
  create: "Started",
  recreate: "Recreated",
  update: "Updated",
  restart: "Restarted",
  start: "Started",
  stop: "Stopped",
  remove: "Removed",
  "remove-network": "Removed",
  "remove-volume": "Removed",
  keep: "Running",
};

function kindOf(action: PlanAction): string {
  if (action.endsWith("network")) return "Network";
  if (action.endsWith("volume")) return "Volume";
  return action === "pull" || action === "build" ? "Image" : "Container";
}

/** Writes lines about events. `noStart`: containers are created, not started. */
export function progressWriter(
  context: Context,
  options: { quiet?: boolean; noStart?: boolean } = {},
): (event: ComposeEvent) => void {
  const begun = new Map<string, number>();
  const { paintErr } = context;
  const write = (line: string) => context.err.text(`${escapeControlsInLines(line)}\n`);
  return (event) => {
    if (event.event === "warning") {
      context.err.text(`${paintErr.yellow("nyx: warning:")} ${escapeControlsInLines(event.message)}\n`);
    } else if (event.event === "step" && options.quiet !== true) {
      const { id, action, target, state, message = "" } = event;
      const name = escapeControls(`${kindOf(action)} ${target}`);
      if (state === "working") {
        begun.set(id, performance.now());
        if (action === "pull") write(` ${name}  Pulling`);
        return;
      }
      const seconds = `${((performance.now() - (begun.get(id) ?? performance.now())) / 1000).toFixed(1)}s`;
      const word = options.noStart === true && (action === "create" || action === "recreate")
        ? "Created"
        : PAST[action];
      if (state === "done") context.err.text(` ${paintErr.green("✔")} ${name}  ${word}  ${paintErr.dim(seconds)}\n`);
      else if (state === "waiting") write(` ${name}  Waiting ${message}`);
      else if (state === "failed") context.err.text(` ${paintErr.red("✘")} ${name}  Failed\n`);
      else write(` ${name}  Skipped: ${message}`);
    }
  };
}
