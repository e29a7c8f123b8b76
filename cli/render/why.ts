/** A person's answer to "why did it stop?". */

import { signalName } from "../../daemon/spec/parse/signal.ts";
import type { ContainerDetails } from "../../mod.ts";
import { escapeControls } from "./escape.ts";

/** What an exit code says by itself. */
function meaning(code: number): string {
  if (code === 0) return "it ended well";
  if (code === 125) return "it could not be started";
  if (code === 126) return "its program could not be run: it is no program, or may not be executed";
  if (code === 127) return "its program was not found";
  const signal = code > 128 ? signalName(code - 128) : undefined;
  if (signal !== undefined) return `a signal ended it: ${signal.startsWith("SIG") ? signal : `SIG${signal}`}`;
  return "its program ended with an error of its own";
}

function ended({ name, state }: ContainerDetails): string[] {
  const code = state.exit_code ?? 0;
  const when = state.finished_at === undefined ? "" : ` at ${state.finished_at}`;
  const lines = [`${name} is ${state.status}: exit code ${code}${when}: ${meaning(code)}.`];
  if (state.oom_killed) {
    lines.push("The kernel killed it because it reached its memory limit: give it more with nyx update --memory.");
  }
  return lines;
}

function header(details: ContainerDetails): string[] {
  const { name, state } = details;
  if (state.status === "created") return [`${name} was never started.`];
  if (state.running) return [`${name} is ${state.status} since ${state.started_at ?? "a moment ago"}.`];
  return ended(details);
}

/**
 * Sentences about a container's state, and its last lines.
 *
 * @param lastLines newest last
 */
export function why(details: ContainerDetails, lastLines: readonly string[]): string[] {
  const { state } = details;
  const lines = header(details);
  if (state.error !== undefined) lines.push(`nyxd says: ${escapeControls(state.error)}`);
  if (state.restart_count > 0) lines.push(`It was restarted ${state.restart_count} times by its restart policy.`);
  if (state.health !== undefined) {
    const last = state.health.log.at(-1);
    const said = last === undefined
      ? ""
      : `, last answer (code ${last.exitCode}): ${escapeControls(last.output.trim())}`;
    lines.push(`Health: ${state.health.status}, ${state.health.failing_streak} failures in a row${said}`);
  }
  if (state.log_dropped !== undefined) lines.push(`${state.log_dropped} lines of its output were not logged.`);
  if (lastLines.length > 0) lines.push("Its last lines:", ...lastLines.map((l) => `  ${escapeControls(l)}`));
  return lines;
}
