/** Waits until a container is in a condition. */

import { NyxError } from "../spec/errors.ts";
import type { ExitStatus } from "../../workers/protocol.ts";
import type { Container } from "./container.ts";

/** What can be waited for. */
export type WaitCondition = "not-running" | "next-exit" | "removed" | "healthy";

/** What was waited for. */
export interface WaitAnswer {
  exitCode: number;
  error?: string;
}

function canceled(container: Container): NyxError {
  return new NyxError("canceled", `Waiting for container "${container.name}" was canceled`);
}

function answer(container: Container, exit?: ExitStatus): WaitAnswer {
  const { state } = container.record;
  const error = exit?.error ?? state.error;
  return { exitCode: exit?.code ?? state.exitCode ?? 0, ...(error === undefined ? {} : { error }) };
}

async function nextExit(container: Container, signal: AbortSignal): Promise<WaitAnswer> {
  const ended = Promise.withResolvers<never>();
  const onAbort = () => ended.reject(canceled(container));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    if (signal.aborted) onAbort();
    return answer(container, await Promise.race([container.exited, ended.promise]));
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Whether it is healthy now; throws when it never will be. */
function isHealthy(container: Container, down: boolean): boolean {
  const { state, spec } = container.record;
  if (state.health?.status === "healthy" && container.live) return true;
  if (spec.healthcheck === undefined) {
    throw new NyxError(
      "failed_precondition",
      `Could not wait for container "${container.name}" to be healthy: it has no health check`,
    );
  }
  if (down) {
    throw new NyxError(
      "failed_precondition",
      `Container "${container.name}" ended with code ${state.exitCode ?? 0} before it was healthy`,
    );
  }
  return false;
}

/**
 * Waits.
 *
 * @param known whether the container still exists
 * @param signal ends the wait
 * @returns the exit code the container then has
 */
export async function waitFor(
  container: Container,
  condition: WaitCondition,
  known: () => boolean,
  signal: AbortSignal,
): Promise<WaitAnswer> {
  if (condition === "next-exit") return await nextExit(container, signal);
  while (known()) {
    const down = !container.live && container.status !== "restarting" && container.status !== "starting";
    if (condition === "not-running" && down) return answer(container);
    if (condition === "healthy" && isHealthy(container, down)) return { exitCode: 0 };
    if (signal.aborted) throw canceled(container);
    await container.changed(signal);
  }
  return answer(container);
}
