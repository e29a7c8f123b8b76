/** Commands that run inside a container after its start and before its stop. */

import { FRAME, FrameDecoder } from "../spec/frames.ts";
import type { ContainerHook } from "../spec/container.ts";
import { NyxError, toNyxError } from "../spec/errors.ts";
import type { Container } from "./container.ts";
import type { SupervisorDeps } from "./deps.ts";
import { runExec } from "./exec.ts";

/** Longest that one command may take, milliseconds: a stop that somebody asked for must come to its end. */
const LIMIT_MS = 300_000;
/** Output that is told when a command fails, characters. */
const TOLD = 1000;

type Point = "postStart" | "preStop";

const CALLED: Readonly<Record<Point, string>> = { postStart: "post-start", preStop: "pre-stop" };

/**
 * Runs the commands of one point, in their order, up to the first that fails.
 *
 * @param limitMs for all of them together; what still runs then is killed
 * @throws NyxError failed_precondition with the command, its exit code and what it printed
 */
export async function runHooks(
  container: Container,
  point: Point,
  deps: SupervisorDeps,
  limitMs = Infinity,
): Promise<void> {
  const untilMs = performance.now() + limitMs;
  for (const hook of container.record.spec[point] ?? []) {
    const ownMs = Math.min(LIMIT_MS, untilMs - performance.now());
    const { code, output, late } = ownMs > 0
      ? await runHook(container, hook, deps, ownMs)
      : { code: -1, output: "", late: true };
    if (code === 0) continue;
    const how = late ? `did not end within ${Math.max(0, ownMs / 1000).toFixed()} s` : `ended with code ${code}`;
    const said = output.trim() === "" ? "" : `: ${output.trim()}`;
    throw new NyxError(
      "failed_precondition",
      `The ${CALLED[point]} command ${JSON.stringify(hook.argv[0])} of container "${container.name}" ${how}${said}`,
    );
  }
}

/** The same for those who cannot do anything about a failure: it goes to the log and the events. */
export async function tryHooks(
  container: Container,
  point: Point,
  deps: SupervisorDeps,
  limitMs?: number,
): Promise<void> {
  try {
    await runHooks(container, point, deps, limitMs);
  } catch (e) {
    hookFailed(container, point, e, deps);
  }
}

/** Tells of a failure in the log and the events. */
export function hookFailed(container: Container, point: Point, e: unknown, deps: SupervisorDeps): void {
  const error = toNyxError(e);
  deps.log.warn("A command of a container's life failed", { id: container.id, hook: CALLED[point], error });
  container.emit("hook_failed", { hook: CALLED[point], error: error.message });
}

async function runHook(
  container: Container,
  hook: ContainerHook,
  deps: SupervisorDeps,
  limitMs: number,
): Promise<{ code: number; output: string; late: boolean }> {
  const { attachment } = await runExec(container, hook, deps);
  if (attachment === undefined) {
    throw new NyxError("internal", `The command ${JSON.stringify(hook.argv[0])} did not start`);
  }
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    void attachment.input?.({ kind: "signal", signal: "KILL" }).catch(() => {});
  }, limitMs);
  try {
    const output = await lastOf(attachment.output);
    return { code: (await attachment.exit)?.code ?? -1, output, late };
  } finally {
    clearTimeout(timer);
  }
}

/** The end of what was printed. */
async function lastOf(output: AsyncIterable<Uint8Array>): Promise<string> {
  const frames = new FrameDecoder();
  const text = new TextDecoder();
  let kept = "";
  for await (const chunk of output) {
    for (const { kind, payload } of frames.push(chunk)) {
      if (kind !== FRAME.stdout && kind !== FRAME.stderr) continue;
      kept = (kept + text.decode(payload, { stream: true })).slice(-TOLD);
    }
  }
  return kept;
}
