/** Restart decisions, pure: whether a finished container is started again, and after how long. */

import type { RestartPolicy } from "../spec/container.ts";

/** Longest wait between attempts. */
export const MAX_BACKOFF_MS = 30_000;
/** A container that stayed up this long starts its count afresh. */
export const STABLE_AFTER_MS = 10_000;
const FIRST_BACKOFF_MS = 100;

/** Facts about one exit. */
export interface ExitFacts {
  exitCode: number;
  /** A user stopped or killed it by a stop command. */
  stoppedByUser: boolean;
  /** Restarts since it was last stable. */
  attempts: number;
  /** How long the process ran. */
  uptimeMs: number;
}

/** Whether the policy starts the container again after this exit. */
export function shouldRestart(policy: RestartPolicy, exit: ExitFacts): boolean {
  if (exit.stoppedByUser) return false;
  switch (policy.name) {
    case "no":
      return false;
    case "always":
    case "unless-stopped":
      return true;
    case "on-failure": {
      if (exit.exitCode === 0) return false;
      const limit = policy.maxRetries ?? 0;
      return limit === 0 || attemptsAfter(exit) < limit;
    }
  }
}

/** Restarts since stable, after taking this exit's uptime into account. */
export function attemptsAfter(exit: ExitFacts): number {
  return exit.uptimeMs >= STABLE_AFTER_MS ? 0 : exit.attempts;
}

/**
 * Wait before restart number `attempts` (from 0), in milliseconds: 100 ms doubled each time, at most
 * {@linkcode MAX_BACKOFF_MS}, with ±20 % jitter so that containers that died together do not come back together.
 *
 * @param random in [0, 1)
 */
export function backoffMs(attempts: number, random: number = Math.random()): number {
  const base = Math.min(FIRST_BACKOFF_MS * 2 ** Math.min(attempts, 20), MAX_BACKOFF_MS);
  return Math.min(Math.round(base * (0.8 + 0.4 * random)), MAX_BACKOFF_MS);
}

/** Whether a container that was running when the daemon or the host went down is started when it comes back. */
export function startsAtBoot(policy: RestartPolicy, stoppedByUser: boolean): boolean {
  if (policy.name === "always") return true;
  return policy.name === "unless-stopped" && !stoppedByUser;
}

/**
 * Wait until a restart that was written down is due. Never longer than a back-off can be: the clock may have been set back since.
 *
 * @param at RFC 3339; undefined is now
 */
export function dueInMs(at: string | undefined, nowMs: number): number {
  const due = at === undefined ? 0 : Date.parse(at) - nowMs;
  return Number.isNaN(due) ? 0 : Math.min(Math.max(0, due), MAX_BACKOFF_MS);
}
